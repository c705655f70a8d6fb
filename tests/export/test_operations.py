"""The scan in ONNX's operators gives what PyTorch's gives."""

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

from segmend.export.operations import OPSET, pad_to_stride, scan  # noqa: E402
from segmend.ops.padding import pad_to_stride as padded  # noqa: E402
from segmend.ops.scan import LEFT, scan4  # noqa: E402
from segmend.ops.scan import scan as scan1  # noqa: E402

ANY = torch.export.Dim.DYNAMIC
SIZES = [(1, 1, 1), (2, 5, 7), (1, 1, 9), (3, 9, 1), (1, 40, 30)]


def session(module, *example):
    """A module of a map and gates, or of a map, for any batch, height and width."""
    shapes = tuple({0: ANY, value.ndim - 2: ANY, value.ndim - 1: ANY} for value in example)
    table = {torch.ops.segmend.scan.default: scan, torch.ops.segmend.pad_to_stride.default: pad_to_stride}
    program = torch.onnx.export(
        module.eval(),
        example,
        dynamo=True,
        dynamic_shapes=shapes,
        custom_translation_table=table,
        opset_version=OPSET,
        verbose=False,
    )
    loaded = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [value.name for value in loaded.get_inputs()]
    return lambda *values: loaded.run(None, dict(zip(names, (v.numpy() for v in values), strict=True)))[0]


class Scan(torch.nn.Module):
    def __init__(self, pooled):
        super().__init__()
        self.pooled = pooled

    def forward(self, x, gates):
        return scan1(x, gates[:, LEFT], LEFT) if self.pooled is None else scan4(x, gates, self.pooled)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("pooled", "groups", "neighbours"), [("max", 1, 3), ("sum", 3, 3), ("sum", 1, 1), (None, 3, 1), (None, 1, 3)]
)
def test_scans_of_any_size(pooled, groups, neighbours):
    module = Scan(pooled)
    run = session(module, torch.rand(2, 3, 5, 7), torch.rand(2, 4, groups, neighbours, 5, 7))
    torch.manual_seed(0)
    for batch, height, width in SIZES:
        # Gates from outside the image are not 0: both have to leave them out.
        x, gates = (
            torch.rand(batch, 3, height, width),
            torch.randn(batch, 4, groups, neighbours, height, width) / 6,
        )
        assert np.allclose(run(x, gates), module(x, gates), atol=2e-6)


class Padding(torch.nn.Module):
    def forward(self, map_):
        return padded(map_, 8)


@pytest.mark.filterwarnings("ignore")
def test_padding_of_any_size():
    run = session(Padding(), torch.rand(2, 3, 5, 7))
    for batch, height, width in [*SIZES, (1, 16, 8)]:
        map_ = torch.rand(batch, 3, height, width)
        assert (run(map_) == padded(map_, 8).numpy()).all()
