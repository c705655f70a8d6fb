"""Registers functions with PyTorch, as ``torch.ops.segmend.NAME``: for compilers, autograd and autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


class Operation:
    """A registered operation, to which shapes, gradients and casts are added.

    `torch.library.custom_op` registers the same, but loads PyTorch's compiler at the first call of an operation,
    compiled or not, which takes two seconds and 160 MB.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = f"segmend::{name}"
        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(self.name, schema, tags=torch.Tag.pt2_compliant_tag)
        torch.library.impl(self.name, "CompositeExplicitAutograd", function)

    def register_fake(self, function: Function) -> Function:
        """Register the shapes and dtypes of the results, for a compiler."""
        torch.library.register_fake(self.name, function)
        return function

    def register_autograd(self, backward: Callable[..., Any], setup_context: Callable[..., Any]) -> None:
        """Register its gradients (see `torch.library.register_autograd`)."""
        torch.library.register_autograd(self.name, backward, setup_context=setup_context)

    def computes_in_float32(self) -> None:
        """Under autocast, floats are cast to float32 before it."""
        for device in ("cpu", "cuda"):
            torch.library.register_autocast(self.name, device, torch.float32)


def operation(name: str) -> Callable[[Callable[..., Any]], Operation]:
    """Decorator that registers a pure function of tensors; its annotations become the schema."""
    return lambda function: Operation(name, function)
