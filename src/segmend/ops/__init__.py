"""Operations on tensors, as pure functions: native on a CPU where the library was built, else in PyTorch."""

from segmend.ops.blobs import (
    Blobs,
    blob_log_means,
    blob_softmax_sums,
    blob_sums,
    components,
    find_blobs,
    label_components,
    numbered_blobs,
)
from segmend.ops.distances import neighbour_distances, similarity_gates
from segmend.ops.elu import elu
from segmend.ops.gaussian_means import gaussian_means
from segmend.ops.matching_costs import matching_costs
from segmend.ops.relaxed_cross_entropy import relaxed_cross_entropy
from segmend.ops.scan import DOWN, LEFT, RIGHT, UP, normalize_gates, scan, scan4, spread
from segmend.ops.vote import vote_labels
from segmend.ops.warp import compose, inside, warp, warp_labels
from segmend.ops.winners import present, winners

__all__ = [
    "DOWN",
    "LEFT",
    "RIGHT",
    "UP",
    "Blobs",
    "blob_log_means",
    "blob_softmax_sums",
    "blob_sums",
    "components",
    "compose",
    "elu",
    "find_blobs",
    "gaussian_means",
    "inside",
    "label_components",
    "matching_costs",
    "neighbour_distances",
    "normalize_gates",
    "numbered_blobs",
    "present",
    "relaxed_cross_entropy",
    "scan",
    "scan4",
    "similarity_gates",
    "spread",
    "vote_labels",
    "warp",
    "warp_labels",
    "winners",
]


def __dir__() -> list[str]:
    return __all__
