"""Which images of a data set are labelled, by a list of IDs, and which classes their label maps show."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np

from segmend.data.convert.lists import read_lines
from segmend.data.dataset import Dataset, Record
from segmend.data.description import named
from segmend.data.files import InvalidFile


def listed_images(path: Path, dataset: Dataset) -> set[str]:
    """The IDs in a file, one in each line, all of which are images of a data set with a label map.

    Raises:
        InvalidFile: none, one that the data set does not have, or one without a label map.
    """
    wanted = read_lines(path)
    known = {record.id for record in dataset}
    labelled = {record.id for record in dataset if record.labels is not None}
    if not wanted:
        raise InvalidFile(path, "expected the ID of a labelled image in each line, found none")
    if unknown := [one for one in wanted if one not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"one that there is: {min(known)!r}" if known else ""
        raise InvalidFile(path, f"no image of the training split has the ID {named(unknown)}; {meant}")
    if without := [one for one in wanted if one not in labelled]:
        raise InvalidFile(
            path, f"no label map belongs to {named(without)}: add it, or take the ID out of the list"
        )
    return set(wanted)


def classes_in(dataset: Dataset, record: Record) -> tuple[str, ...]:
    """Names of the classes in a label map, in the order of the classes.

    Raises:
        InvalidFile: it cannot be read.
    """
    present = np.unique(dataset.labels(record))
    return tuple(name for i, name in enumerate(dataset.classes.names) if i in present)
