"""Training in several processes (``torchrun``), and batch norm over the batches of all of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.overrides import TorchFunctionMode

from segmend.devices import pick_device, uses_bfloat16
from segmend.labels import InvalidInput
from segmend.training.options import Optimisation

logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it prints its precision at each start
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def world() -> int:
    """Number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def check_processes(options: Optimisation) -> None:
    """Raise `InvalidInput` where a batch, or the GPUs here, cannot be shared between the processes."""
    if options.batch % world():
        raise InvalidInput(f"optimisation.batch: {world()} processes cannot share {options.batch} samples evenly")
    here = _on_this_machine()
    if pick_device().type == "cuda" and here > torch.cuda.device_count():
        raise InvalidInput(
            f"{here} processes on this machine, but {torch.cuda.device_count()} GPU(s): start one process "
            "for each, or set CUDA_VISIBLE_DEVICES= (to nothing) to train on the CPU"
        )


def launch(options: Optimisation) -> Fabric:
    """This process's place among all that train: device, rank and precision."""
    here = _on_this_machine()
    fabric = Fabric(
        accelerator="auto",
        strategy="ddp" if world() > 1 else "auto",
        devices=here,
        num_nodes=world() // here,
        precision="bf16-mixed" if uses_bfloat16(pick_device(), options.precision) else "32-true",
    )
    fabric.launch()
    return fabric


def leave() -> None:
    """At the end, wait for all processes, and leave their group.

    A process that exits with the group's threads running may be aborted, and ``torchrun`` then stops the others,
    which may still be writing.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _on_this_machine() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", world()))


def gathered(messages: list[str]) -> list[str]:
    """The messages of all processes, each once."""
    everyone: list[Any] = [messages]
    if torch.distributed.is_initialized():
        everyone = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everyone, messages)
    return list(dict.fromkeys(message for some in everyone for message in some))


def summed(values: Tensor) -> Tensor:
    """The sum over all processes."""
    total = values.clone()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return total


class SyncedBatchNorm(TorchFunctionMode):
    """A context in which batch norm in training uses the mean and variance of the batches of all processes.

    PyTorch's own synchronised layer works on GPUs alone, and converting a network to it drops the activations of
    layers that combine norm and activation. This replaces the function that every batch norm layer calls, so it
    works with any network on any device.
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
