"""Better image segmentation from imperfect labels.

>>> import segmend
>>> refiner = segmend.load("crf")  # or the folder of a trained corrector
>>> refined = refiner.refine(image, coarse)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"
__all__ = ["Classes", "InvalidInput", "Refinement", "Refiner", "Segmenter", "load", "open_dataset"]

if TYPE_CHECKING:
    from segmend.data.dataset import open_dataset
    from segmend.labels import Classes, InvalidInput
    from segmend.refiners import Refinement, Refiner, load
    from segmend.segmenters.base import Segmenter

_HOMES = {
    "Classes": "segmend.labels",
    "InvalidInput": "segmend.labels",
    "Refinement": "segmend.refiners",
    "Refiner": "segmend.refiners",
    "Segmenter": "segmend.segmenters.base",
    "load": "segmend.refiners",
    "open_dataset": "segmend.data.dataset",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: `import segmend` alone loads no torch."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'segmend' has no attribute {name!r}")
