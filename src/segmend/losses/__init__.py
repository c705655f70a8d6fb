"""Losses that forgive imperfect labels, as functions and as modules."""

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
