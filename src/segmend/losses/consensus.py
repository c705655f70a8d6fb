"""Structure via consensus (SVC eq. 5 to 8): the pixels of a blob should agree with each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmend.labels import VOID
from segmend.ops.blobs import Blobs, blob_log_means, blob_softmax_sums, find_blobs
from segmend.ops.relaxed_cross_entropy import Reduction, check_options

LOG_SPACE_BELOW = 1e-30
"""Blobs whose mean probability of their label is lower are computed in log space."""


def consensus_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = VOID,
    reduction: Reduction = "mean",
    *,
    alpha: float = 10.0,
    beta: float = 5.0,
    blobs: Blobs | None = None,
) -> Tensor:
    """Penalise wrong mean predictions of blobs, and pixels that differ from the mean of their blob.

    For a blob c with label y and mean prediction ``q = mean_s p(s)`` (eq. 6), the loss is ``alpha * -log q_y +
    beta * mean_s KL(q || p(s))`` (eq. 7, 8). A blob is an 8-connected area of one class. The computation stays
    finite for any logits.

    Args:
        logits: ``[B, C, H, W]``, floats; half precision is computed in float32.
        target: labels, integers ``[B, H, W]``.
        weight: of each class, ``[C]``; a blob has the weight of its label.
        ignore_index: pixels with this label are in no blob.
        reduction: ``mean``, weighted, over the blobs of an image, then over the images that hold one (0 where none
            does); ``sum`` over all blobs; or ``none`` for ``[B, H, W]``: the loss of a blob is divided evenly
            among its pixels, so that the map sums to ``sum``.
        alpha: factor of the first term.
        beta: factor of the second term.
        blobs: those to use, where they have been computed before or are others than connected areas.

    Raises:
        ValueError: shapes that do not fit, a blob whose label is no class, a weight of another length.

    >>> logits, target = torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> consensus_loss(logits, target)  # the pixels agree, so this is 10 log 3
    tensor(10.9861)
    """
    found = _checked(logits, target, weight, ignore_index, reduction, blobs)
    sizes, labels = found.sizes.unsqueeze(1), found.labels.unsqueeze(1)
    means, log_means = (sums / sizes for sums in blob_softmax_sums(logits, found))
    if bool((means.detach().gather(1, labels) < LOG_SPACE_BELOW).any()):
        log_q = blob_log_means(_log_softmax(logits), found)
    else:
        log_q = means.clamp_min(LOG_SPACE_BELOW).log()
    correct = log_q.gather(1, labels).squeeze(1)
    disagreement = (log_q.exp() * (log_q - log_means)).sum(dim=1)
    return _reduced(beta * disagreement - alpha * correct, found, logits, weight, reduction)


def pixelwise_blob_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = VOID,
    reduction: Reduction = "mean",
    *,
    blobs: Blobs | None = None,
) -> Tensor:
    """Cross-entropy in which all blobs of an image have the same weight, whatever their size (eq. 5).

    Arguments and errors are those of `consensus_loss`.

    >>> logits, target = torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> pixelwise_blob_loss(logits, target)  # log 3
    tensor(1.0986)
    """
    found = _checked(logits, target, weight, ignore_index, reduction, blobs)
    _, sums = blob_softmax_sums(logits, found)
    losses = -sums.gather(1, found.labels.unsqueeze(1)).squeeze(1) / found.sizes
    return _reduced(losses, found, logits, weight, reduction)


class ConsensusLoss(nn.Module):
    """`consensus_loss` as a module.

    Args:
        weight: of each class, ``[C]``; it moves with the module.
        ignore_index, reduction, alpha, beta: as of the function.
        by_class: each class of an image is one blob, in however many areas (the paper, for parts of faces). Small
            areas then count by their pixels.

    >>> logits, target = torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> ConsensusLoss(alpha=1)(logits, target)  # log 3
    tensor(1.0986)
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = VOID,
        reduction: Reduction = "mean",
        *,
        alpha: float = 10.0,
        beta: float = 5.0,
        by_class: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, reduction
        self.alpha, self.beta, self.by_class = alpha, beta, by_class

    def forward(self, logits: Tensor, target: Tensor, blobs: Blobs | None = None) -> Tensor:
        if blobs is None:
            blobs = find_blobs(target, self.ignore_index, self.by_class)
        return consensus_loss(
            logits,
            target,
            self.weight,
            self.ignore_index,
            self.reduction,
            alpha=self.alpha,
            beta=self.beta,
            blobs=blobs,
        )


def _checked(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Reduction,
    blobs: Blobs | None,
) -> Blobs:
    check_options(logits, target, weight, reduction)
    found = find_blobs(target, ignore_index) if blobs is None else blobs
    if found.ids.shape != target.shape:
        raise ValueError(f"expected blobs of the target {list(target.shape)}, found {list(found.ids.shape)}")
    if len(found) and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < logits.shape[1]:
        raise ValueError(f"expected labels 0..{logits.shape[1] - 1} in blobs, found {int(found.labels.max())}")
    return found


def _log_softmax(logits: Tensor) -> Tensor:
    precise = logits if logits.dtype == torch.float64 else logits.float()
    return precise.log_softmax(dim=1)


def _reduced(losses: Tensor, blobs: Blobs, logits: Tensor, weight: Tensor | None, reduction: Reduction) -> Tensor:
    """The losses ``[M]`` of blobs, weighted by class, as a mean, a sum or a map."""
    if not len(blobs):
        nothing = logits.sum(dim=1) * 0
        return nothing if reduction == "none" else nothing.sum()
    weights = torch.ones_like(losses) if weight is None else weight.to(losses.dtype)[blobs.labels]
    losses = losses * weights
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        inside = blobs.ids >= 0
        return (losses / blobs.sizes)[blobs.ids.clamp_min(0)] * inside
    totals, sums = (
        losses.new_zeros(len(blobs.ids)).index_add(0, blobs.images, part) for part in (weights, losses)
    )
    means = sums / torch.where(totals > 0, totals, torch.ones_like(totals))
    return means.sum() / (totals > 0).sum().clamp_min(1)
