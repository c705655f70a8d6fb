"""Training in several processes (``torchrun``): who this one is, and batch norm over the batches of all."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def world() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def on_this_machine() -> int:
    """How many of them run here."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world()))


def wait() -> None:
    """Go on when all processes have come here."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def gathered(messages: list[str]) -> list[str]:
    """The messages of all processes, each once."""
    everyone: list[Any] = [messages]
    if torch.distributed.is_initialized():
        everyone = [None] * world()
        torch.distributed.all_gather_object(everyone, messages)
    return list(dict.fromkeys(message for some in everyone for message in some))


def summed(values: Tensor) -> Tensor:
    """The sum over all processes."""
    total = values.clone()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return total


class SyncedBatchNorm(TorchFunctionMode):
    """Where it is entered, batch norm in training uses the mean and variance of the batches of all processes.

    PyTorch's own synchronised layer works on GPUs alone and has to take the place of a network's layers, of which
    those that bring an activation lose it. Here the function that every kind of batch norm calls is computed
    instead, so it serves any network on any device.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
            given = dict(zip(names, args, strict=False)) | kwargs
            if given.pop("training", False):
                return synced_batch_norm(**given)
        return func(*args, **kwargs)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient, as each process's value reaches all of them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return summed(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return summed(gradient)


def synced_batch_norm(
    input: Tensor,  # PyTorch's names
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` in training, over the inputs ``[B, C, ...]`` of all processes."""
    x = input.float().transpose(0, 1).flatten(1)
    total: Callable[[Tensor], Tensor] = _SumOverProcesses.apply
    count = total(x.new_tensor(float(x.shape[1])))
    mean = total(x.sum(dim=1)) / count
    variance = total((x - mean.unsqueeze(1)).square().sum(dim=1)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.detach(), momentum)
            running_var.lerp_(variance.detach() * count / (count - 1), momentum)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (1, -1) + (1,) * (input.ndim - 2)
    return (input.float() * scale.view(shape) + shift.view(shape)).to(input.dtype)
