"""The state of a training on disk, so that a killed training resumes where it was."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from segmend.data.files import InvalidFile, atomic_write

NAME = "checkpoint.pt"


def save_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """Write the state of a training; an earlier one is replaced atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(run / NAME, buffer.getbuffer())


def load_checkpoint(run: Path) -> dict[str, Any] | None:
    """The state of a training, or None if it has none. Never unpickles code.

    Raises:
        InvalidFile: not a checkpoint that this version wrote.
    """
    path = run / NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["stage"], state["step"]
    except Exception as error:
        raise InvalidFile(path, f"not a readable checkpoint ({error}): delete it to start anew") from error
    return state
