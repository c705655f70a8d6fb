"""Where networks run, and in which precision."""

from __future__ import annotations

import ctypes
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


def keep_memory() -> None:
    """Let this process keep the memory that it frees, for the next picture; for programs, not for libraries.

    glibc gives large blocks back at once, and each time the system hands out pages anew, which takes a third of
    the time of a refiner on large pictures. Nothing happens with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
        mallopt(option, value)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Options of glibc's mallopt: free bytes that are kept, bytes asked for beyond need, blocks mapped apart."""


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16 in hardware (Tensor cores, AMX)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def uses_bfloat16(device: torch.device, precision: Precision) -> bool:
    """What `precision` means on `device`: `auto` takes bfloat16 where the hardware is fast at it."""
    return precision == "bf16" or (precision == "auto" and fast_bfloat16(device))


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Context in which networks compute in `precision`."""
    enabled = uses_bfloat16(device, precision)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device, its weights laid out channels last, which convolutions like best."""
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
