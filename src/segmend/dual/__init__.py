"""Dual image segmentation (DIS, Luo et al., ICCV 2017): learn from few label maps and many tags."""

from segmend.dual.inference import Inferred, infer, infer_at
from segmend.dual.model import DualFeatures, DualSegmentation, combined
from segmend.dual.prediction import DualPrediction, DualPredictor, load_dual
from segmend.dual.reconstruction import Guide, reconstruct_by_colours

__all__ = [
    "DualFeatures",
    "DualPrediction",
    "DualPredictor",
    "DualSegmentation",
    "Guide",
    "Inferred",
    "combined",
    "infer",
    "infer_at",
    "load_dual",
    "reconstruct_by_colours",
]


def __dir__() -> list[str]:
    return __all__
