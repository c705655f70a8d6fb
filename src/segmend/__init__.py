"""Better image segmentation from imperfect labels.

>>> import segmend
>>> better = segmend.refine(image, mask)  # files, images of Pillow, arrays or tensors  # doctest: +SKIP
>>> snapped, expected_iou = segmend.refine_region(image, mask_of_one_object)  # doctest: +SKIP
>>> refiner = segmend.load("universal")  # or "crf", "guided", or a folder that `segmend train` wrote
>>> refined = refiner.refine(image, coarse)  # with confidence, and what changed  # doctest: +SKIP

The functions and classes of `segmend.losses`, `segmend.metrics` and `segmend.ops` work in any PyTorch code;
`segmend.video` propagates labels through videos, `segmend.borders` finds how far masks are off,
`segmend.tidy` removes islands and holes and smooths borders.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Classes",
    "InvalidInput",
    "Refinement",
    "Refiner",
    "Segmenter",
    "__version__",
    "borders",
    "dual",
    "load",
    "losses",
    "metrics",
    "open_dataset",
    "ops",
    "refine",
    "refine_objects",
    "refine_region",
    "tidy",
    "video",
]

if TYPE_CHECKING:
    from segmend import borders, dual, losses, metrics, ops, tidy, video
    from segmend.data.dataset import open_dataset
    from segmend.labels import Classes, InvalidInput
    from segmend.models import load, refine, refine_objects, refine_region
    from segmend.refiners import Refinement, Refiner
    from segmend.segmenters.base import Segmenter

_HOMES = {
    "Classes": "segmend.labels",
    "InvalidInput": "segmend.labels",
    "Refinement": "segmend.refiners",
    "Refiner": "segmend.refiners",
    "Segmenter": "segmend.segmenters.base",
    "load": "segmend.models",
    "open_dataset": "segmend.data.dataset",
    "refine": "segmend.models",
    "refine_objects": "segmend.models",
    "refine_region": "segmend.models",
}
_SUBMODULES = ("borders", "dual", "losses", "metrics", "ops", "tidy", "video")


def __getattr__(name: str) -> Any:
    """The public names, imported at their first use: `import segmend` alone loads no torch."""
    import importlib

    if name in _SUBMODULES:
        return importlib.import_module(f"segmend.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'segmend' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
