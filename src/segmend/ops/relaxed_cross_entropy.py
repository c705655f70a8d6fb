"""Cross-entropy that forgives at borders (VPLR eq. 4 and 5)."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.labels import VOID
from segmend.ops import native
from segmend.ops.operation import operation


def relaxed_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    radius: int = 1,
    void: int = VOID,
    weight: Tensor | None = None,
    strict_classes: tuple[int, ...] = (),
    reduction: str = "mean",
) -> Tensor:
    """Minus the logarithm of the probability of any class in the window around a pixel.

    ``loss = -log sum_{c in N} p_c``, where N holds the classes of the labels within `radius` pixels (eq. 5 has 3 x
    3 windows), void not counted. Inside an area this is cross-entropy; along a border both sides are right.

    Args:
        logits: ``[B, C, H, W]``, floats; half precision is computed in float32.
        target: labels, integers ``[B, H, W]``; pixels of `void` have no loss.
        radius: 0 gives cross-entropy.
        weight: ``[C]``; a pixel weighs what its own label does.
        strict_classes: pixels labelled with one of these keep cross-entropy.
        reduction: ``mean`` over the weights of the pixels that are not void (0 where there are none), ``sum``, or
            ``none`` for ``[B, H, W]``.

    Raises:
        ValueError: shapes that do not fit, a label that is no class, a weight of another length.
    """
    _check(logits, target, radius, void, weight, strict_classes, reduction)
    target = target.long()
    strict = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    strict[list(strict_classes)] = True
    if native.serves(logits.device.type) and logits.dtype != torch.float64:
        loss: Tensor = torch.ops.segmend.relaxed_cross_entropy(logits, target, strict, radius, void)
    else:
        precise = logits if logits.dtype == torch.float64 else logits.float()
        loss = relaxed_cross_entropy_reference(precise, target, strict, radius, void)
    known = target != void
    if weight is None:
        return _reduced(loss, known.to(loss.dtype), reduction)
    weights = weight.to(loss.dtype)[target.masked_fill(~known, 0)] * known
    return _reduced(loss * weights, weights, reduction)


def _reduced(loss: Tensor, weights: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    total = weights.sum()
    return loss.sum() / torch.where(total > 0, total, torch.ones_like(total))


def _check(
    logits: Tensor,
    target: Tensor,
    radius: int,
    void: int,
    weight: Tensor | None,
    strict_classes: tuple[int, ...],
    reduction: str,
) -> None:
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"expected [B, C, H, W] and [B, H, W], found {list(logits.shape)} and {list(target.shape)}"
        )
    count = logits.shape[1]
    if count < 1:
        raise ValueError("expected at least one class, found none")
    if target.is_floating_point():
        raise ValueError(f"expected labels as integers, found {target.dtype}")
    if weight is not None and weight.shape != (count,):
        raise ValueError(f"expected a weight for each of {count} classes, found {list(weight.shape)}")
    if not set(strict_classes) <= set(range(count)):
        raise ValueError(f"expected strict classes 0..{count - 1}, found {strict_classes}")
    if radius < 0:
        raise ValueError(f"expected a radius of at least 0, found {radius}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"expected a reduction mean, sum or none, found {reduction!r}")


def relaxed_cross_entropy_reference(
    logits: Tensor, target: Tensor, strict: Tensor, radius: int, void: int
) -> Tensor:
    """The loss of each pixel in plain PyTorch, with a mask of the window's classes."""
    if radius == 0:
        return F.cross_entropy(logits, target, ignore_index=void, reduction="none")
    known = target != void
    labels = target.masked_fill(~known, 0)
    planes = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2) * known.unsqueeze(1)
    window = F.max_pool2d(planes.to(logits.dtype), 2 * radius + 1, 1, radius) > 0
    allowed = torch.where(strict[labels].unsqueeze(1), planes > 0, window) & known.unsqueeze(1)
    chosen = logits.masked_fill(~allowed & known.unsqueeze(1), -torch.inf).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - chosen).masked_fill(~known, 0.0)


@operation("relaxed_cross_entropy")
def _relaxed(logits: Tensor, target: Tensor, strict: Tensor, radius: int, void: int) -> Tensor:
    loss = torch.empty(target.shape)
    _run("segmend_relaxed_loss", logits.float().contiguous(), target.contiguous(), strict, (loss,), radius, void)
    return loss


@operation("relaxed_cross_entropy_backward")
def _relaxed_backward(
    logits: Tensor, target: Tensor, strict: Tensor, radius: int, void: int, scale: Tensor
) -> Tensor:
    given = logits.float().contiguous()
    grad = native.empty(given.shape)
    maps = scale.contiguous(), grad
    _run("segmend_relaxed_grad", given, target.contiguous(), strict, maps, radius, void)
    return grad.to(logits.dtype)


def _run(
    name: str, logits: Tensor, target: Tensor, strict: Tensor, maps: tuple[Tensor, ...], radius: int, void: int
) -> None:
    """Call a kernel on bands of rows."""
    kernel = native.function(name, "f32")
    images, classes, height, width = logits.shape

    def call(image: int, first: int, last: int) -> int:
        given = logits[image], target[image], strict, *(map_[image] for map_ in maps)
        return kernel(*given, first, last, classes, height, width, radius, void)

    bands = native.shares(images, height)
    native.run_all(partial(call, image, *band) for image in range(images) for band in bands)


@_relaxed.register_fake
def _(logits: Tensor, target: Tensor, strict: Tensor, radius: int, void: int) -> Tensor:
    return logits.new_empty(target.shape, dtype=torch.float32)


@_relaxed_backward.register_fake
def _(logits: Tensor, target: Tensor, strict: Tensor, radius: int, void: int, scale: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    logits, target, strict, ctx.radius, ctx.void = inputs
    ctx.save_for_backward(logits, target, strict)


def _gradients(ctx, scale: Tensor):  # type: ignore[no-untyped-def]
    backward = torch.ops.segmend.relaxed_cross_entropy_backward
    return backward(*ctx.saved_tensors, ctx.radius, ctx.void, scale), None, None, None, None


_relaxed.register_autograd(_gradients, setup_context=_keep)
_relaxed.computes_in_float32()
