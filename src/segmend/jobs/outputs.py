"""Which output files are this program's own, and which of them are still right: by the note inside each file.

A note says how a file was made, and holds a hash of what it was made of. Files without a note belong to the user:
they are never replaced, and never taken for finished.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from segmend.data.files import InvalidFile, check_file, fetched
from segmend.data.masks import note_in
from segmend.data.probabilities import PROBABILITY_SUFFIXES, note_in_arrays
from segmend.data.remote import is_remote, walk

READERS = 8
"""Threads that read notes."""

INPUTS = "; inputs "
"""What stands in a note between how a file was made, and the hash of its inputs."""


def fingerprint(model: object) -> str:
    """A hash of a model's class, plain attributes and weights: equal for models that give the same maps."""
    layers = list(model.modules())[1:] if isinstance(model, nn.Module) else []
    # Layers of libraries may get new attributes with a version.
    parts = [model, *(layer for layer in layers if type(layer).__module__.startswith("segmend."))]
    found = _hash(repr([(type(part).__name__, _plain(part)) for part in parts]).encode())
    if isinstance(model, nn.Module):
        for name, values in model.state_dict().items():
            found.update(name.encode())
            found.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return f"{type(model).__name__} {found.hexdigest()}"


def _plain(part: object) -> list[tuple[str, object]]:
    """Public attributes that are numbers, text, tuples of them, or None."""
    plain = (str, int, float, tuple, type(None))
    attributes = getattr(part, "__dict__", {}).items()
    return sorted(
        (name, value)
        for name, value in attributes
        if isinstance(value, plain) and not name.startswith("_") and name != "training"
    )


def hash_of(*files: Path | None, text: str = "") -> str:
    """A hash of the content of files, and of how they are read (`text`).

    Empty where one cannot be read: whoever decodes it will say why.

    Raises:
        InvalidFile: a folder, a device or an empty file.
    """
    found = _hash(text.encode())
    for file in files:
        if file is None:
            found.update(b"none")
            continue
        try:
            with fetched(file) as here:
                check_file(here)  # first: to open a pipe would wait
                with here.open("rb") as stream:
                    found.update(hashlib.file_digest(stream, _hash).digest())
        except OSError:
            return ""
    return found.hexdigest()


def _hash(content: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(content, digest_size=8)


def note_of(path: Path) -> str:
    """The note in an output file (label map or ``.npz``); empty where there is none, or no such file."""
    return note_in_arrays(path) if path.suffix in PROBABILITY_SUFFIXES else note_in(path)


def check_outputs(
    outputs: Iterable[tuple[Path, str]], inputs: Iterable[Path | None], overwrite: bool = False
) -> None:
    """Raise `InvalidFile` unless the output files may be written: those that exist are ours and are no inputs.

    Args:
        outputs: files, and how they are made now (their note without the hash of their inputs).
        inputs: files that must not be replaced.
        overwrite: files of ours that were made with other weights or options may be replaced. Without, they are
            refused. Files that are not ours are refused in any case.
    """
    there = list(_there(outputs))
    read = {_identity(path) for path in inputs if path is not None} - {None} if there else set()
    with ThreadPoolExecutor(READERS) as readers:
        notes = list(readers.map(note_of, (path for path, _ in there)))
    for (path, made_with), found in zip(there, notes, strict=True):
        if _identity(path) in read:
            raise InvalidFile(
                path, "an input, which the output would replace: choose another output folder (--out)"
            )
        if not found:
            raise InvalidFile(
                path,
                "exists and was not written by this program, so it is not replaced (nor with --overwrite): choose "
                "another output folder (--out)",
            )
        before = found.rpartition(INPUTS)[0] or found
        if before != made_with and not overwrite:
            raise InvalidFile(
                path,
                f"made with other weights or options ({before}; now {made_with}): choose another output folder "
                "(--out), or make everything again (--overwrite)",
            )


def _there(outputs: Iterable[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """Those that exist. At addresses, whole folders are listed: to ask for each file would take too long."""
    listed: dict[Path, set[Path]] = {}
    for path, made_with in outputs:
        if not is_remote(path):
            is_there = os.path.lexists(path)
        else:
            if path.parent not in listed:
                listed[path.parent] = set(walk(path.parent, depth=1))
            is_there = path in listed[path.parent]
        if is_there:
            yield path, made_with


def _identity(path: Path) -> tuple[int, int] | Path | None:
    if is_remote(path):
        return path
    with suppress(OSError):
        info = path.stat()
        return info.st_dev, info.st_ino
    return None
