"""What a refiner gives beside an image's labels (confidence, displacement, ...): ``OUT/details/ID.npz``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from segmend.data.files import InvalidFile, find_files
from segmend.data.probabilities import PROBABILITY_SUFFIXES

PLANES = {"confidence": 0, "change_confidence": 0, "changed": 0, "fusion_mask": 0, "displacement": 2}
"""The arrays of details by name: the planes of ``[planes, H, W]``, 0 for ``[H, W]``."""


def find_beside(maps: Path, kind: Literal["details", "probs"]) -> dict[str, Path] | None:
    """Files of details or probabilities by ID that a run wrote beside its maps; None where it wrote none.

    Args:
        maps: the run's folder, or the one in it that holds maps.
    """
    folder = (maps.parent if maps.name in ("labels", "probs") else maps) / kind
    return find_files(folder, PROBABILITY_SUFFIXES) if folder.is_dir() else None


def read_details(path: Path, names: Iterable[str] = PLANES) -> dict[str, np.ndarray]:
    """Arrays of one image; those that the file lacks, or that have another shape, are left out.

    Returns:
        ``displacement`` as ``float32 [2, H, W]``, ``changed`` as 0 or 1, the others as ``uint8 [H, W]`` for 0..1.

    Raises:
        InvalidFile: no readable archive.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in names if name in archive}
    except Exception as error:  # zipfile and numpy raise a dozen types for broken archives
        raise InvalidFile(path, f"not a readable .npz file ({error})") from error
    return {
        name: values.astype(np.float32 if PLANES[name] else np.uint8)
        for name, values in found.items()
        if values.shape[:-2] == ((PLANES[name],) if PLANES[name] else ())
    }
