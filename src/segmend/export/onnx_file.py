"""A graph as a model in ONNX's format, and how far a runtime's results are from PyTorch's."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from segmend import __version__
from segmend.export.graphs import Graph
from segmend.labels import InvalidInput

if TYPE_CHECKING:
    import onnx

TRACED = (2, 45, 70)
"""Batch, height and width of the example that is traced. No side is 1 or a multiple of any stride."""

CHECKED = ((2, 45, 70), (1, 64, 96), (1, 1, 1), (1, 33, 130))
"""Sizes at which a file is compared with PyTorch."""

TOLERANCE = 1e-3
"""Largest difference of a probability that rounding explains: a corrector's displacements, of up to 32 px, move a
map's borders by a ten-thousandth of a pixel."""


class Difference(NamedTuple):
    """The largest difference of any value at one size."""

    size: tuple[int, int, int]
    largest: float


def onnx_model(graph: Graph) -> onnx.ModelProto:
    """The graph as a model whose batch, height and width are dynamic, and its classes where any number is taken.

    Its metadata (``metadata_props``) hold ``segmend_version``, ``kind``, ``classes`` (a JSON list, where they are
    fixed), and for each input and the output what it is.

    Raises:
        InvalidInput: the packages are not installed, or the network cannot be exported.
    """
    try:
        from segmend.export.operations import OPSET, pad_to_stride, scan, sigmoid
    except ImportError as error:
        raise InvalidInput(f"export needs a package ({error.name}): pip install 'segmend[onnx]'") from None

    exported = _with_fixed_padding(graph)
    translations: dict[Callable[..., Any], Callable[..., Any]] = {
        torch.ops.segmend.scan.default: scan,
        torch.ops.segmend.pad_to_stride.default: pad_to_stride,
        torch.ops.aten.sigmoid.default: sigmoid,
    }
    try:
        with torch.no_grad(), _quiet():
            traced = torch.export.export(
                exported,
                graph.example(*TRACED),
                dynamic_shapes=tuple(
                    dict.fromkeys(graph.axes[name], torch.export.Dim.DYNAMIC) for name in graph.inputs
                ),
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
            program = torch.onnx.export(
                traced,
                input_names=list(graph.inputs),
                output_names=[graph.output],
                dynamo=True,
                opset_version=OPSET,
                custom_translation_table=translations,
                verbose=False,
            )
    except Exception as error:  # whatever a network of the user's does that cannot be traced
        reason = str(error).strip().partition("\n")[0]
        raise InvalidInput(
            f"this network cannot be exported ({type(error).__name__}: {reason}): it must compute with tensors "
            "alone, for any height and width; use it with `segmend predict`"
        ) from error
    assert program is not None
    model = program.model_proto
    _name_axes(model, graph)
    metadata = {
        "segmend_version": __version__,
        "kind": graph.kind,
        **({} if graph.classes is None else {"classes": json.dumps(list(graph.classes.names))}),
        **{f"input.{name}": text for name, text in graph.inputs.items()},
        f"output.{graph.output}": graph.meaning,
    }
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return model


def differences(content: bytes, graph: Graph, sizes: Iterable[tuple[int, int, int]] = CHECKED) -> list[Difference]:
    """The largest difference between onnxruntime's and PyTorch's results of the same examples, for each size.

    Args:
        content: of the file.
        sizes: batch, height and width of each example.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = []
    for size in sizes:
        arguments = graph.example(*size)
        with torch.no_grad():
            expected: Tensor = graph(*arguments)
        fed = {name: value.numpy() for name, value in zip(graph.inputs, arguments, strict=True)}
        result = torch.from_numpy(session.run([graph.output], fed)[0])
        largest = (result - expected).abs().max() if result.shape == expected.shape else torch.inf
        found.append(Difference(size, float(largest)))
    return found


def _name_axes(model: onnx.ModelProto, graph: Graph) -> None:
    """Give axes their names in place of the exporter's symbols: ``s72`` is the ``batch``."""
    names = {}
    for value in model.graph.input:
        for axis, name in graph.axes[value.name].items():
            names[value.type.tensor_type.shape.dim[axis].dim_param] = name
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = names.get(dimension.dim_param, dimension.dim_param)
    del model.graph.value_info[:]  # shapes in the exporter's symbols, which nothing needs


def _with_fixed_padding(graph: Graph) -> Graph:
    """A copy whose convolutions with TensorFlow's padding pad by constants.

    That padding depends on the size of the map, by rounding that no exporter follows. Maps are padded to a
    multiple of a network's stride before, so that every layer sees a multiple of its own: then it is constant.
    """
    try:
        from timm.layers.conv2d_same import Conv2dSame
    except ImportError:
        return graph
    copied = copy.deepcopy(graph)
    for module in list(copied.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, Conv2dSame):
                setattr(module, name, _padded(layer))
    return copied.eval()


def _padded(layer: nn.Conv2d) -> nn.Sequential:
    shape = zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
    down, across = (max((kernel - 1) * dilation + 1 - stride, 0) for kernel, dilation, stride in shape)
    conv = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        dilation=layer.dilation,  # type: ignore[arg-type]
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    conv.weight, conv.bias = layer.weight, layer.bias
    return nn.Sequential(nn.ZeroPad2d((across // 2, across - across // 2, down // 2, down - down // 2)), conv)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own messages."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
