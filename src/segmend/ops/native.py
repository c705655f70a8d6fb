"""The native library of the operations: loads it, and calls it on ranges of planes from several threads."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LIBRARY = Path(__file__).with_name("_native.so")
"""Path of the library that the build writes."""

LARGE = 1 << 22
"""Bytes from which large pages are requested for a result."""

NO_MEMORY, OUT_OF_RANGE = 1, 2
"""Return codes of the library's functions besides 0 (see ``csrc/clones.h``)."""

REFERENCE = "SEGMEND_REFERENCE"
"""Environment variable that, set to anything, disables the library."""


def disabled() -> bool:
    """Whether the environment switches the library off."""
    return bool(os.environ.get(REFERENCE))


def why_not() -> str | None:
    """Why the library is not in use; None where it is."""
    if disabled():
        return f"{REFERENCE} is set"
    found = _load()
    return found if isinstance(found, str) else None


def library() -> ctypes.CDLL | None:
    """The library; None, with one warning, where it was not built: the slow reference is used then."""
    if disabled():
        return None
    found = _load()
    if isinstance(found, str):
        _warn(found)
        return None
    return found


@functools.cache
def _load() -> ctypes.CDLL | str:
    """The library, or why it cannot be loaded."""
    try:
        return ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        return str(error)


@functools.cache
def _warn(reason: str) -> None:
    warnings.warn(
        f"segmend runs its operations in plain PyTorch, many times slower: {reason}. "
        "Install a wheel of segmend for this system, or gcc or clang and then segmend again.",
        stacklevel=3,
    )


BUILT = LIBRARY.is_file() and not disabled()
"""The answer of `serves` while PyTorch compiles, which cannot follow the loading of the library."""


def serves(device: str) -> bool:
    """Whether the library serves a type of device here. What is exported runs without it."""
    if torch.compiler.is_exporting():
        return False
    return device == "cpu" and (BUILT if torch.compiler.is_compiling() else library() is not None)


def function(name: str, suffix: str) -> Callable[..., int]:
    """The function ``name_suffix`` of the library; it takes contiguous tensors and integers."""
    found = library()
    assert found is not None
    symbol = getattr(found, f"{name}_{suffix}")
    symbol.restype = ctypes.c_int

    def call(*arguments: Tensor | int) -> int:
        return int(symbol(*map(_as_c, arguments)))

    return call


def empty(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Memory for a result, on large pages where the system has them."""
    result = torch.empty(shape, dtype=dtype)
    if result.nbytes >= LARGE:
        function("segmend_expect", "u8")(result, result.nbytes)
    return result


def empty_like(map_: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Memory for a result of the shape and device of a map, contiguous, on large pages where there are some."""
    if serves(map_.device.type):
        return empty(map_.shape, dtype or map_.dtype)
    return torch.empty_like(map_, dtype=dtype, memory_format=torch.contiguous_format)


def _as_c(argument: Tensor | int) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_long(argument)


def run_all(calls: Iterable[Callable[[], int]]) -> None:
    """Run calls of the library, as many at once as PyTorch has threads; they release the interpreter's lock.

    Raises:
        MemoryError: one of them found no memory.
        ValueError: one of them found a label that is no class.
    """
    calls = list(calls)
    waiting = iter(calls)  # its next is atomic: each call is taken once
    # This thread works too, and does everything where helpers start late: other libraries may occupy their cores.
    helpers = min(torch.get_num_threads(), len(calls)) - 1
    others = [_pool(helpers).submit(lambda: {call() for call in waiting}) for _ in range(helpers)]
    codes = {call() for call in waiting}
    codes = codes.union(*(other.result() for other in others if not other.cancel()))
    if NO_MEMORY in codes:
        raise MemoryError("the native library found no memory")
    if OUT_OF_RANGE in codes:
        raise ValueError("a label is neither a class nor void")


def shares(images: int, lines: int) -> list[tuple[int, int]]:
    """The lines of each image (rows, or channels), split over the threads that images leave: first, last."""
    parts = max(1, min(lines, -(-torch.get_num_threads() // max(1, images))))
    return list(itertools.pairwise(round(i * lines / parts) for i in range(parts + 1)))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="segmend")
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads
    return pool
