"""Where networks run, and in which precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import nn

Precision = Literal["auto", "32", "bf16"]


def pick_device() -> torch.device:
    """The accelerator of this machine, or its CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware (Tensor cores; AVX-512 BF16, which AMX comes with)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def uses_bfloat16(device: torch.device, precision: Precision) -> bool:
    """What `precision` means on `device`: `auto` takes bfloat16 where the hardware is fast at it."""
    return precision == "bf16" or (precision == "auto" and fast_bfloat16(device))


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Context in which networks compute in `precision`."""
    enabled = uses_bfloat16(device, precision)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device, its weights laid out channels last, which convolutions like best."""
    moved: nn.Module = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def device_of(model: nn.Module) -> torch.device | None:
    """Where a model's parameters are; None where it has none."""
    first = next(model.parameters(), None)
    return None if first is None else first.device
