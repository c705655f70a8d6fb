"""Cross-entropy that accepts either side along borders (VPLR eq. 4 and 5)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.labels import VOID
from segmend.ops import native
from segmend.ops.operation import operation

Reduction = Literal["mean", "sum", "none"]


def relaxed_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = VOID,
    reduction: Reduction = "mean",
    *,
    radius: int = 1,
    strict_classes: tuple[int, ...] = (),
) -> Tensor:
    """Cross-entropy that accepts any class in the window around a pixel.

    ``loss = -log sum_{c in N} p_c``, where N holds the classes of the valid labels within `radius` pixels (eq. 5
    has 3 x 3 windows). Inside an area this is cross-entropy; along a border either side is right.

    Args:
        logits: ``[B, C, H, W]``, floats; half precision is computed in float32.
        target: labels, integers ``[B, H, W]``.
        weight: of each class, ``[C]``; a pixel has the weight of its own label.
        ignore_index: pixels with this label have no loss, and add no class to a window.
        reduction: ``mean`` over the weights of the valid pixels (0 where there are none), ``sum``, or ``none`` for
            ``[B, H, W]``.
        radius: half the side of the window; 0 gives `torch.nn.functional.cross_entropy`.
        strict_classes: pixels with one of these labels keep cross-entropy.

    Raises:
        ValueError: shapes that do not fit, a label that is no class, a weight of another length.

    >>> logits, target = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> target[..., 2:] = 1
    >>> relaxed_cross_entropy(logits, target, reduction="none")[0, 0]  # both classes are right beside the border
    tensor([0.6931, 0.0000, 0.0000, 0.6931])
    """
    check_options(logits, target, weight, reduction)
    _check_own(logits.shape[1], radius, strict_classes)
    target = target.long()
    strict = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    strict[list(strict_classes)] = True
    if native.serves(logits.device.type) and logits.dtype != torch.float64:
        loss: Tensor = torch.ops.segmend.relaxed_cross_entropy(logits, target, strict, radius, ignore_index)
    else:
        precise = logits if logits.dtype == torch.float64 else logits.float()
        loss = relaxed_cross_entropy_reference(precise, target, strict, radius, ignore_index)
    valid = target != ignore_index
    if weight is None:
        return _reduced(loss, valid.to(loss.dtype), reduction)
    weights = weight.to(loss.dtype)[target.masked_fill(~valid, 0)] * valid
    return _reduced(loss * weights, weights, reduction)


def check_options(logits: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> None:
    """Refuse what no loss of logits and labels can use.

    Raises:
        ValueError: shapes that do not fit, labels that are no integers, a weight of another length.
    """
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
    if reduction not in get_args(Reduction):
        raise ValueError(f"expected a reduction {', '.join(get_args(Reduction))}, found {reduction!r}")


def _check_own(classes: int, radius: int, strict_classes: tuple[int, ...]) -> None:
    if not set(strict_classes) <= set(range(classes)):
        raise ValueError(f"expected strict classes 0..{classes - 1}, found {strict_classes}")
    if radius < 0:
        raise ValueError(f"expected a radius of at least 0, found {radius}")


def _reduced(loss: Tensor, weights: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    total = weights.sum()
    return loss.sum() / torch.where(total > 0, total, torch.ones_like(total))


def relaxed_cross_entropy_reference(
    logits: Tensor, target: Tensor, strict: Tensor, radius: int, ignore_index: int
) -> Tensor:
    """The loss of each pixel in plain PyTorch, with a mask of the window's classes."""
    if radius == 0:
        return F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
    valid = target != ignore_index
    labels = target.masked_fill(~valid, 0)
    planes = F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2) * valid.unsqueeze(1)
    window = F.max_pool2d(planes.to(logits.dtype), 2 * radius + 1, 1, radius) > 0
    allowed = torch.where(strict[labels].unsqueeze(1), planes > 0, window) & valid.unsqueeze(1)
    chosen = logits.masked_fill(~allowed & valid.unsqueeze(1), -torch.inf).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - chosen).masked_fill(~valid, 0.0)


@operation("relaxed_cross_entropy")
def _relaxed(logits: Tensor, target: Tensor, strict: Tensor, radius: int, ignore_index: int) -> Tensor:
    loss = torch.empty(target.shape)
    _run(
        "segmend_relaxed_loss",
        logits.float().contiguous(),
        target.contiguous(),
        strict,
        (loss,),
        radius,
        ignore_index,
    )
    return loss


@operation("relaxed_cross_entropy_backward")
def _relaxed_backward(
    logits: Tensor, target: Tensor, strict: Tensor, radius: int, ignore_index: int, scale: Tensor
) -> Tensor:
    inputs = logits.float().contiguous()
    grad = native.empty(inputs.shape)
    maps = scale.contiguous(), grad
    _run("segmend_relaxed_grad", inputs, target.contiguous(), strict, maps, radius, ignore_index)
    return grad.to(logits.dtype)


def _run(
    name: str,
    logits: Tensor,
    target: Tensor,
    strict: Tensor,
    maps: tuple[Tensor, ...],
    radius: int,
    ignore_index: int,
) -> None:
    """Call a kernel on bands of rows."""
    kernel = native.function(name, "f32")
    images, classes, height, width = logits.shape

    def call(image: int, first: int, last: int) -> int:
        inputs = logits[image], target[image], strict, *(map_[image] for map_ in maps)
        return kernel(*inputs, first, last, classes, height, width, radius, ignore_index)

    bands = native.shares(images, height)
    native.run_all(partial(call, image, *band) for image in range(images) for band in bands)


@_relaxed.register_fake
def _(logits: Tensor, target: Tensor, strict: Tensor, radius: int, ignore_index: int) -> Tensor:
    return logits.new_empty(target.shape, dtype=torch.float32)


@_relaxed_backward.register_fake
def _(logits: Tensor, target: Tensor, strict: Tensor, radius: int, ignore_index: int, scale: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    logits, target, strict, ctx.radius, ctx.ignore_index = inputs
    ctx.save_for_backward(logits, target, strict)


def _gradients(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
    backward = torch.ops.segmend.relaxed_cross_entropy_backward
    return backward(*ctx.saved_tensors, ctx.radius, ctx.ignore_index, scale), None, None, None, None


_relaxed.register_autograd(_gradients, setup_context=_save)
_relaxed.computes_in_float32()
