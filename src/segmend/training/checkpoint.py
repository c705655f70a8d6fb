"""A run's state on disk, so that a killed training goes on where it was."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from segmend.data.files import InvalidFile, atomic_write

NAME = "checkpoint.pt"


def save_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """Write the state of a run, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(run / NAME, buffer.getbuffer())


def load_checkpoint(run: Path) -> dict[str, Any] | None:
    """The state of a run, or None where it has none. Never unpickles code."""
    path = run / NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidFile(path, f"not a readable checkpoint ({error}): delete it to start anew") from error
    return state
