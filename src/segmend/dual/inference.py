"""Inference of DIS: features are changed so that the label map explains the image and the tags (section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from segmend.dual.model import DualFeatures, DualSegmentation, image_loss, tag_loss

STEP = 0.01
"""Length of a step, as a share of the root mean square of the features."""

TINY = 1e-12


class Inferred(NamedTuple):
    """What inference found.

    Attributes:
        features: the changed ones.
        map_logits: u3, ``[B, C, h, w]``.
        tag_logits: v3, ``[B, C]``.
        losses: after each step, from step 0 on, ``[steps + 1, B]``; they never rise.
    """

    features: DualFeatures
    map_logits: Tensor
    tag_logits: Tensor
    losses: Tensor


def infer(
    model: DualSegmentation,
    features: DualFeatures,
    image: Tensor | None = None,
    tags: Tensor | None = None,
    steps: int = 30,
    *,
    kind: str = "sigmoid",
    step: float = STEP,
) -> Inferred:
    """Gradient steps on u1 and v1, with frozen parameters, of ``L_img + L_tag`` or one of the two.

    For each image, the gradients of u1 and of v1 are normalised by their root mean square, separately: the
    proportion between the two means nothing. A step that raises an image's loss is undone, and its next one is
    half as long, so no loss ever rises. The encoder is not run. Works inside `torch.no_grad` and
    `torch.inference_mode`; the results have no gradients.

    Args:
        model: in evaluation mode; neither its parameters nor their gradients change.
        features: of `DualSegmentation.encode`.
        image: the image to reconstruct, ``[B, 3, h, w]`` in -1..1 (see `target_image`); None without `L_img`.
        tags: the tags that are given, ``[B, C]`` in 0..1; None without `L_tag`.
        steps: the paper's t; 0 changes nothing, and computes no gradients.
        kind: of `tag_loss`.
        step: length of the first step, as a share of the root mean square of the features.

    Raises:
        ValueError: neither an image nor tags, though steps are wanted.

    >>> from segmend.labels import Classes
    >>> network = DualSegmentation(Classes(("background", "cat", "dog")), encoder="resnet18").eval()
    >>> features = network.encode(torch.rand(1, 3, 64, 64))
    >>> found = infer(network, features, tags=torch.tensor([[1.0, 1.0, 0.0]]), steps=5)
    >>> found.losses.shape, bool((found.losses.diff(dim=0) <= 0).all())
    (torch.Size([6, 1]), True)
    """
    return infer_at(model, features, image, tags, (steps,), kind=kind, step=step)[0]


def infer_at(
    model: DualSegmentation,
    features: DualFeatures,
    image: Tensor | None = None,
    tags: Tensor | None = None,
    steps: Sequence[int] = (0, 10, 30),
    *,
    kind: str = "sigmoid",
    step: float = STEP,
) -> list[Inferred]:
    """What `infer` finds at each of some numbers of steps, in their order, by one run up to the largest.

    >>> from segmend.labels import Classes
    >>> network = DualSegmentation(Classes(("background", "cat", "dog")), encoder="resnet18").eval()
    >>> features = network.encode(torch.rand(1, 3, 64, 64))
    >>> found = infer_at(network, features, tags=torch.ones(1, 3), steps=(0, 2))
    >>> [len(one.losses) for one in found]
    [1, 3]
    """
    last = max(steps)
    if last and image is None and tags is None:
        raise ValueError("inference needs an image to reconstruct, or tags")
    found: dict[int, Inferred] = {}
    with torch.inference_mode(False):
        image, tags = (None if given is None else given.detach().clone() for given in (image, tags))
        u1, v1, valid = (one.detach().float().clone() for one in features)
        lengths = _rms(u1), _rms(v1)

        def look(u1: Tensor, v1: Tensor, is_last: bool) -> _Point:
            with torch.set_grad_enabled(not is_last):
                return _look(model, DualFeatures(u1, v1, valid), image, tags, kind)

        here = look(u1, v1, is_last=not last)
        losses = [here.loss]
        size = torch.full((len(u1),), float(step), device=u1.device)
        for number in range(last + 1):
            if number:
                moved = (
                    here.u1 - _like(size, u1) * lengths[0] * here.du1 / _rms(here.du1).clamp_min(TINY),
                    here.v1 - _like(size, v1) * lengths[1] * here.dv1 / _rms(here.dv1).clamp_min(TINY),
                )
                there = look(*moved, is_last=number == last)
                better = there.loss <= here.loss
                here = _Point(*(torch.where(_like(better, a), b, a) for a, b in zip(here, there, strict=True)))
                size = torch.where(better, size, size / 2)
                losses.append(here.loss)
            if number in steps:
                now = DualFeatures(here.u1, here.v1, valid)
                with torch.no_grad():
                    logits = model.map_logits(now), model.tag_logits(now)
                found[number] = Inferred(now, *logits, torch.stack(losses))
    return [found[number] for number in steps]


class _Point(NamedTuple):
    """Features, the loss of each image there, and its gradients."""

    u1: Tensor
    v1: Tensor
    loss: Tensor
    du1: Tensor
    dv1: Tensor


def _look(
    model: DualSegmentation, features: DualFeatures, image: Tensor | None, tags: Tensor | None, kind: str
) -> _Point:
    """The point at some features; gradients are zero where they are switched off, and nothing computes them."""
    wanted = torch.is_grad_enabled()
    u1, v1 = (one.detach().requires_grad_(wanted) for one in features[:2])
    features = DualFeatures(u1, v1, features.valid)
    loss = u1.new_zeros(len(u1))
    if image is not None:
        loss = loss + image_loss(model.reconstruct(model.map_logits(features)), image, features.valid)
    if tags is not None:
        loss = loss + tag_loss(model.tag_logits(features), tags, kind)
    if not wanted:
        return _Point(u1, v1, loss, torch.zeros_like(u1), torch.zeros_like(v1))
    gradients = torch.autograd.grad(loss.sum(), (u1, v1))  # of the features alone: parameters keep theirs
    return _Point(u1.detach(), v1.detach(), loss.detach(), *gradients)


def _rms(values: Tensor) -> Tensor:
    """Root mean square of each image, of the number of dimensions of `values`."""
    return values.square().mean(dim=tuple(range(1, values.ndim)), keepdim=True).sqrt()


def _like(of_image: Tensor, values: Tensor) -> Tensor:
    """``[B]`` with as many dimensions as `values`."""
    return of_image.view(-1, *[1] * (values.ndim - 1))
