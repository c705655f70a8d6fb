"""Structure via consensus (SVC eq. 5 to 8): the pixels of a blob should agree with each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmend.labels import VOID
from segmend.ops.blobs import Blobs, blob_log_means, blob_softmax_sums, find_blobs

MIN_PROBABILITY = 1e-30
"""Mean probabilities below it are computed in log space."""


def consensus_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 10.0,
    beta: float = 5.0,
    void: int = VOID,
    blobs: Blobs | None = None,
) -> Tensor:
    """Each blob's mean prediction should be right, and each of its pixels should agree with it.

    For a blob c with label y and mean prediction ``q = mean_s p(s)`` (eq. 6): ``alpha * -log q_y + beta * mean_s
    KL(q || p(s))`` (eq. 7, 8); mean over the blobs of an image, then over the images that hold one. Computed in
    log space: finite for any logits.

    Args:
        logits: ``[B, C, H, W]``, floats; half precision is computed in float32.
        target: labels, integers ``[B, H, W]``; pixels of `void` are in no blob.
        blobs: those of `target`, where they are known already, or others than `find_blobs` finds by itself.

    Returns:
        A scalar; 0 where no image holds a blob.

    Raises:
        ValueError: shapes that do not fit, or a blob whose label is no class.
    """
    found = _checked(logits, target, void, blobs)
    if not len(found):
        return logits.sum() * 0
    sizes, labels = found.sizes.unsqueeze(1), found.labels.unsqueeze(1)
    shares, log_shares = (sums / sizes for sums in blob_softmax_sums(logits, found))
    if bool((shares.detach().gather(1, labels) < MIN_PROBABILITY).any()):
        log_q = blob_log_means(_log_softmax(logits), found)  # a mean that is lost below float32
    else:
        log_q = shares.clamp_min(MIN_PROBABILITY).log()
    right = log_q.gather(1, labels).squeeze(1)
    disagreement = (log_q.exp() * (log_q - log_shares)).sum(dim=1)
    return _over_images(beta * disagreement - alpha * right, found)


def pixelwise_blob_loss(logits: Tensor, target: Tensor, *, void: int = VOID, blobs: Blobs | None = None) -> Tensor:
    """Cross-entropy in which all blobs of an image weigh the same, whatever their size (eq. 5)."""
    found = _checked(logits, target, void, blobs)
    if not len(found):
        return logits.sum() * 0
    _, sums = blob_softmax_sums(logits, found)
    return _over_images(-sums.gather(1, found.labels.unsqueeze(1)).squeeze(1) / found.sizes, found)


class ConsensusLoss(nn.Module):
    """`consensus_loss` with its options fixed.

    Args:
        alpha, beta, void: see there.
        by_class: each class of an image is one blob, not each of its connected areas (the paper, for parts of
            faces). Small areas then count by their pixels.
    """

    def __init__(self, alpha: float = 10.0, beta: float = 5.0, void: int = VOID, by_class: bool = False) -> None:
        super().__init__()
        self.alpha, self.beta, self.void, self.by_class = alpha, beta, void, by_class

    def forward(self, logits: Tensor, target: Tensor, blobs: Blobs | None = None) -> Tensor:
        if blobs is None:
            blobs = find_blobs(target, self.void, self.by_class)
        return consensus_loss(logits, target, alpha=self.alpha, beta=self.beta, void=self.void, blobs=blobs)


def _checked(logits: Tensor, target: Tensor, void: int, blobs: Blobs | None) -> Blobs:
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"expected [B, C, H, W] and [B, H, W], found {list(logits.shape)} and {list(target.shape)}"
        )
    found = find_blobs(target, void) if blobs is None else blobs
    if found.ids.shape != target.shape:
        raise ValueError(f"expected blobs of the target {list(target.shape)}, found {list(found.ids.shape)}")
    if len(found) and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < logits.shape[1]:
        raise ValueError(f"expected labels 0..{logits.shape[1] - 1} in blobs, found {int(found.labels.max())}")
    return found


def _log_softmax(logits: Tensor) -> Tensor:
    precise = logits if logits.dtype == torch.float64 else logits.float()
    return precise.log_softmax(dim=1)


def _over_images(losses: Tensor, blobs: Blobs) -> Tensor:
    """Mean over the blobs of each image, then over the images that hold one."""
    images = blobs.ids.shape[0]
    count = torch.bincount(blobs.images, minlength=images)
    sums = losses.new_zeros(images).index_add(0, blobs.images, losses)
    return (sums / count.clamp_min(1)).sum() / (count > 0).sum()
