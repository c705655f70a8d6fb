"""Data sets on disk: the layout ``NAME/{images,labels,probs}/SPLIT/ID.*``, or plain folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segmend.data.files import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    MAX_PIXELS,
    PROBABILITY_SUFFIXES,
    InvalidFile,
    find_files,
    read_image,
    read_labels,
    read_probabilities,
)
from segmend.labels import VOID, Classes, InvalidInput, check_ids, check_same_size, void_of


@dataclass(frozen=True)
class Record:
    """One picture of a data set, by the files that belong to it. An ID may hold folders."""

    id: str
    image: Path | None = None
    labels: Path | None = None
    coarse: Path | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Dataset:
    """Records of one split, and how to read them.

    Attributes:
        void: id that means void in the label files (it becomes `Classes.void` when read).
        merge: for each id in the files, the id of `classes` that it stands for (None: as it is).
        max_pixels: larger pictures are refused.
    """

    name: str
    classes: Classes
    records: tuple[Record, ...]
    void: int = VOID
    merge: tuple[int, ...] | None = None
    max_pixels: int = MAX_PIXELS

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def image(self, record: Record) -> np.ndarray:
        """The picture, ``uint8 [H, W, 3]``."""
        if record.image is None:
            raise InvalidInput(f"{record.id}: no picture belongs to this label map")
        return read_image(record.image, self.max_pixels)

    def labels(self, record: Record) -> np.ndarray:
        """The true label map ``[H, W]`` in the dtype of the classes, void as the classes' void.

        Raises:
            InvalidFile: unreadable, or ids that are neither a class nor void.
        """
        if record.labels is None:
            raise InvalidInput(f"{record.id}: no label map belongs to this picture")
        return self._read_labels(record.labels)

    def coarse(self, record: Record) -> np.ndarray:
        """The coarse map: probabilities ``float32 [C, H, W]`` from ``.npz``, else a label map ``[H, W]``."""
        if record.coarse is None:
            raise InvalidInput(f"{record.id}: no coarse map belongs to this picture")
        if record.coarse.suffix.lower() not in PROBABILITY_SUFFIXES:
            return self._read_labels(record.coarse)
        probabilities = read_probabilities(record.coarse)
        if probabilities.shape[0] != len(self.classes):
            raise InvalidFile(
                record.coarse,
                f"expected probabilities of {len(self.classes)} classes, found {probabilities.shape[0]}",
            )
        return probabilities

    def with_coarse(self, folder: Path | str) -> Dataset:
        """The same records with the coarse maps (probabilities or label maps) found in `folder` by ID.

        Records without one are left out.
        """
        maps = find_maps(folder)
        records = tuple(replace(r, coarse=maps[r.id]) for r in self.records if r.id in maps)
        if not records:
            raise InvalidFile(folder, f"none of its {len(maps)} maps has the ID of a picture of {self.name}")
        return replace(self, records=records)

    def subset(self, ids: set[str]) -> Dataset:
        """The records whose ID is in `ids`."""
        return replace(self, records=tuple(r for r in self.records if r.id in ids))

    def fold(self, index: int, folds: int) -> tuple[Dataset, Dataset]:
        """Two parts of the records: those outside fold `index` of `folds`, and those in it.

        Every `folds`-th record by ID is in a fold, so that names that sort by class or time are spread.
        """
        if not 2 <= folds <= len(self):
            raise InvalidInput(f"{len(self)} records cannot be split into {folds} folds")
        ordered = sorted(self.records, key=lambda r: r.id)
        inside = {r.id for r in ordered[index::folds]}
        outside = {r.id for r in ordered} - inside
        return self.subset(outside), self.subset(inside)

    def merged(self, groups: dict[str, tuple[str, ...]]) -> Dataset:
        """The same records with classes joined: `groups` maps a new name to the names it stands for.

        Classes that no group names keep their own.
        """
        owner = {old: new for new, olds in groups.items() for old in olds}
        unknown = set(owner) - set(self.classes.names)
        if unknown:
            raise InvalidInput(f"no class is named {', '.join(sorted(unknown))}")
        new_names = list(dict.fromkeys(owner.get(name, name) for name in self.classes.names))
        merge = tuple(new_names.index(owner.get(name, name)) for name in self.classes.names)
        colours = dict(zip(reversed(merge), reversed(self.classes.palette), strict=True))
        classes = Classes(tuple(new_names), tuple(colours[i] for i in range(len(new_names))))
        return replace(self, classes=classes, merge=merge)

    def _read_labels(self, path: Path) -> np.ndarray:
        stored, _ = read_labels(path, self.max_pixels)
        count = len(self.merge) if self.merge is not None else len(self.classes)
        void = (stored == self.void) | (stored == void_of(stored))
        if count > void_of(stored):
            void = stored == self.void
        ids = np.where(void, 0, stored)
        try:
            check_ids(ids, count)
        except InvalidInput as error:
            raise InvalidFile(path, str(error)) from None
        if self.merge is not None:
            ids = np.asarray(self.merge)[ids]
        return np.where(void, self.classes.void, ids).astype(self.classes.dtype)


def open_dataset(
    root: Path | str,
    split: str | None = None,
    *,
    labels: Path | str | None = None,
    classes: Classes | int | None = None,
) -> Dataset:
    """Open a data set.

    Args:
        root: a folder with ``dataset.yaml`` and ``images/SPLIT``, or a plain folder of pictures.
        split: which split; may be left out where there is only one, or for a plain folder.
        labels: for a plain folder of pictures, the folder of masks; they pair by ID whatever their suffix.
        classes: for plain folders, the classes or their number (None: the largest id in the masks).

    Raises:
        InvalidFile: a missing folder, split, key or pair; the message says which.
    """
    root = Path(root)
    if (root / "dataset.yaml").is_file():
        if labels is not None:
            raise InvalidFile(root, "holds a dataset.yaml, which says where the labels are: leave `labels` out")
        return _open_layout(root, split)
    images = find_files(root, IMAGE_SUFFIXES)
    if not images:
        raise InvalidFile(root, "holds neither a dataset.yaml nor pictures")
    masks = find_files(labels, LABEL_SUFFIXES) if labels is not None else {}
    if masks and not images.keys() & masks.keys():
        raise InvalidFile(
            root, f"no picture has the ID of a mask in {labels} (for example {next(iter(masks))})"
        )
    records = tuple(Record(i, image=path, labels=masks.get(i)) for i, path in images.items())
    if classes is None:
        classes = max((_largest_id(path) for path in masks.values()), default=0) + 1
    named = Classes.numbered(classes) if isinstance(classes, int) else classes
    return Dataset(root.name, named, records, void=named.void)


def find_maps(folder: Path | str) -> dict[str, Path]:
    """Coarse maps below `folder` by ID: ``.npz`` probabilities where there are any, else label files."""
    probabilities = find_files(folder, PROBABILITY_SUFFIXES)
    maps = probabilities or find_files(folder, LABEL_SUFFIXES)
    if not maps:
        raise InvalidFile(folder, "holds neither probability maps (.npz) nor label maps (.png)")
    return maps


def read_description(root: Path | str) -> dict[str, Any]:
    """The checked content of ``dataset.yaml`` in `root`."""
    path = Path(root) / "dataset.yaml"
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(path, f"not readable as YAML ({error})") from None
    if not isinstance(description, dict) or not isinstance(description.get("classes"), list):
        raise InvalidFile(path, "expected keys `name` and `classes` (a list of names)")
    return description


def _open_layout(root: Path, split: str | None) -> Dataset:
    description = read_description(root)
    splits = sorted(p.name for p in (root / "images").glob("*") if p.is_dir())
    if split is None:
        if len(splits) != 1:
            raise InvalidFile(root, f"say which split: {', '.join(splits) or 'there is none'}")
        split = splits[0]
    if split not in splits:
        raise InvalidFile(root, f"no split {split!r}: there is {', '.join(splits) or 'none'}")
    images = find_files(root / "images" / split, IMAGE_SUFFIXES)
    has_labels = (root / "labels" / split).is_dir()
    masks = find_files(root / "labels" / split, LABEL_SUFFIXES) if has_labels else {}
    has_probs = (root / "probs" / split).is_dir()
    maps = find_files(root / "probs" / split, PROBABILITY_SUFFIXES) if has_probs else {}
    tags = _read_tags(root / "tags.json").get(split, {})
    records = tuple(
        Record(i, path, masks.get(i), maps.get(i), tuple(tags[i]) if i in tags else None)
        for i, path in images.items()
    )
    palette = tuple(tuple(colour) for colour in description.get("palette") or ())
    classes = Classes(tuple(map(str, description["classes"])), palette)  # type: ignore[arg-type]
    return Dataset(
        str(description.get("name", root.name)), classes, records, int(description.get("void", classes.void))
    )


def _read_tags(path: Path) -> dict[str, dict[str, list[str]]]:
    if not path.is_file():
        return {}
    try:
        tags = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"not readable as JSON ({error})") from None
    if not isinstance(tags, dict) or not all(isinstance(v, dict) for v in tags.values()):
        raise InvalidFile(path, "expected {SPLIT: {ID: [class name, ...]}}")
    return tags


def _largest_id(path: Path) -> int:
    stored, _ = read_labels(path)
    classes = stored[stored != void_of(stored)]
    return int(classes.max()) if classes.size else 0


def pair_labels(dataset: Dataset, record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Picture and true labels of a record, of one size.

    Raises:
        InvalidFile: the sizes differ.
    """
    image, labels = dataset.image(record), dataset.labels(record)
    try:
        check_same_size(image=image[..., 0], labels=labels)
    except InvalidInput as error:
        raise InvalidFile(record.labels or record.id, str(error)) from None
    return image, labels
