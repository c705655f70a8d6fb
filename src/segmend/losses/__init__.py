"""Losses for imperfect labels, as functions and as modules, in place of `torch.nn.CrossEntropyLoss`.

All take logits ``[B, C, H, W]`` and labels ``[B, H, W]``, and `weight`, `ignore_index` and `reduction` with the
meanings that they have in PyTorch. Two defaults differ: `ignore_index` is 255, the void of segmend's label maps,
and the mean over no pixels is 0, not NaN.
"""

from segmend.losses.consensus import ConsensusLoss, consensus_loss, pixelwise_blob_loss
from segmend.losses.relaxation import RelaxedCrossEntropy
from segmend.ops.relaxed_cross_entropy import relaxed_cross_entropy

__all__ = [
    "ConsensusLoss",
    "RelaxedCrossEntropy",
    "consensus_loss",
    "pixelwise_blob_loss",
    "relaxed_cross_entropy",
]


def __dir__() -> list[str]:
    return __all__
