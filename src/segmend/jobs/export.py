"""Write a model as a file in ONNX's format, and compare it with PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segmend.data.files import InvalidFile, atomic_write
from segmend.export import (
    TOLERANCE,
    Difference,
    Graph,
    RefinerGraph,
    SegmenterGraph,
    UniversalMapsGraph,
    UniversalMasksGraph,
    differences,
    onnx_model,
)
from segmend.labels import InvalidInput
from segmend.models import load
from segmend.refiners import (
    ECN,
    BorderNetwork,
    RefinerNetwork,
    SpatialPropagation,
    UniversalPropagation,
    UniversalRefiner,
)
from segmend.segmenters import Segmenter

Part = Literal["maps", "masks"]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        graph: what the file computes.
        differences: from PyTorch, by size; None where onnxruntime is not installed.
    """

    graph: Graph
    differences: list[Difference] | None

    @property
    def largest(self) -> float:
        """The largest difference of any value."""
        return max(found.largest for found in self.differences or ())


def export(model: str | Path, out: Path | str, part: Part | None = None) -> Exported:
    """Write a model folder, or the refiner that comes with the package, as a file in ONNX's format.

    The file is compared with PyTorch before it is written, where onnxruntime is installed.

    Args:
        model: what `segmend.load` takes.
        out: the file, ``.onnx``.
        part: of the class-agnostic refiner: its network for probability ``maps`` (None: this one), or that for
            ``masks``.

    Raises:
        InvalidInput: no such model, one that is no network or cannot be exported, packages that are not installed,
            or a file that computes something else.
        InvalidFile: `out` is no ``.onnx`` file.

    Example::

        exported = export("runs/corrector", "corrector.onnx")
        exported.largest  # 2e-6
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise InvalidFile(out, "expected the name of a file that ends with .onnx")
    graph = graph_of(model, part)
    content = onnx_model(graph).SerializeToString()
    try:
        found = differences(content, graph)
    except ImportError:
        found = None
    exported = Exported(graph, found)
    if found and not exported.largest <= TOLERANCE:
        raise InvalidInput(
            f"{model}: onnxruntime's results differ from PyTorch's by {exported.largest:.2g}, more than "
            f"{TOLERANCE:g}: nothing was written. Use the model with segmend"
        )
    atomic_write(out, content)
    return exported


def graph_of(model: str | Path, part: Part | None = None) -> Graph:
    """What to export of a model (see `export`).

    Raises:
        InvalidInput: it is no network that can be exported.
    """
    loaded = load(model)
    if part is not None and not isinstance(loaded, UniversalRefiner):
        raise InvalidInput(f"--part {part}: {model} is one network, a {type(loaded).__name__}: leave it out")
    if isinstance(loaded, UniversalRefiner):
        if part == "masks":
            return UniversalMasksGraph(loaded.masks).eval()
        return UniversalMapsGraph(loaded.maps, loaded.min_confidence).eval()
    if isinstance(loaded, Segmenter):
        return SegmenterGraph(loaded).eval()
    if isinstance(loaded, UniversalPropagation):
        return UniversalMapsGraph(loaded, loaded.min_confidence).eval()
    if isinstance(loaded, BorderNetwork):
        return UniversalMasksGraph(loaded).eval()
    if isinstance(loaded, ECN | SpatialPropagation):
        return RefinerGraph(loaded, loaded.min_confidence).eval()
    raise InvalidInput(f"{model}: {_why_not(loaded)}")


def _why_not(loaded: object) -> str:
    found = type(loaded).__name__
    networks = "segmenters, ECN, SPN and `universal` can be exported"
    if found == "DualPredictor":
        return (
            "predictions of dual image segmentation are optimised for each image: use `segmend predict`, or train "
            f"a segmenter on them (`segmend predict --dataset`) and export it; {networks}"
        )
    if found == "MotionNet":
        return f"a network of motion works between video frames: use `segmend propagate --model`; {networks}"
    assert not isinstance(loaded, RefinerNetwork)
    return f"a {found} is no network, but an algorithm in Python: use `segmend refine --refiner`; {networks}"
