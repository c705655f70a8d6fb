"""Data sets on disk: the layout ``NAME/{images,labels,probs,blobs}/SPLIT/ID.*``, or plain folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segmend.data.description import describe, read_tags
from segmend.data.files import MAX_PIXELS, InvalidFile, find_files
from segmend.data.images import IMAGE_SUFFIXES, read_image
from segmend.data.maps import find_classes, find_maps, read_label_map, read_map
from segmend.data.masks import LABEL_SUFFIXES, read_labels
from segmend.data.probabilities import PROBABILITY_SUFFIXES
from segmend.labels import VOID, Classes, InvalidInput, check_same_size


@dataclass(frozen=True)
class Record:
    """One image of a data set, by the files that belong to it. An ID may hold folders."""

    id: str
    image: Path | None = None
    labels: Path | None = None
    coarse: Path | None = None
    tags: tuple[str, ...] | None = None
    blobs: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """Records of one split, and how to read them.

    Attributes:
        void: id that means void in the files (it becomes `Classes.void` when read), beside the 255 of 8-bit
            and the 65535 of 16-bit files, which always do. Where it is the place of a class, that class is
            never seen.
        merge: for each id in the label files, the id of `classes` that it stands for (None: as it is).
        merge_coarse: the same for coarse maps.
        max_pixels: larger images and maps are refused.
        scored: names of the classes that scores are averaged over (``evaluate_on`` in ``dataset.yaml``);
            empty for all.
    """

    name: str
    classes: Classes
    records: tuple[Record, ...]
    void: int = VOID
    merge: tuple[int, ...] | None = None
    merge_coarse: tuple[int, ...] | None = None
    max_pixels: int = MAX_PIXELS
    scored: tuple[str, ...] = ()

    @property
    def scored_ids(self) -> tuple[int, ...]:
        """Ids of the classes that scores are averaged over."""
        return self.classes.ids(self.scored or self.classes.names)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def image(self, record: Record) -> np.ndarray:
        """The image, ``uint8 [H, W, 3]``."""
        if record.image is None:
            raise InvalidInput(f"{record.id}: no image belongs to this label map")
        return read_image(record.image, self.max_pixels)

    def labels(self, record: Record) -> np.ndarray:
        """The true label map ``[H, W]`` in the dtype of the classes, void as the classes' void.

        Raises:
            InvalidFile: unreadable, or ids that are neither a class nor void.
        """
        if record.labels is None:
            raise InvalidInput(f"{record.id}: no label map belongs to this image")
        return read_label_map(record.labels, self.classes, self.void, self.merge, self.max_pixels)

    def coarse(self, record: Record, as_stored: bool = False) -> np.ndarray:
        """The coarse map: probabilities ``float32 [C, H, W]`` from ``.npz``, else a label map ``[H, W]``.

        Args:
            as_stored: see `read_map`.
        """
        if record.coarse is None:
            raise InvalidInput(f"{record.id}: no coarse map belongs to this image")
        return read_map(record.coarse, self.classes, self.merge_coarse, self.max_pixels, as_stored)

    def blobs(self, record: Record) -> np.ndarray:
        """The numbers of the pixels' blobs, integers ``[H, W]`` from 0, as they stand in the file.

        Raises:
            InvalidFile: the record has none, or they cannot be read.
        """
        if record.blobs is None:
            raise InvalidFile(record.labels or record.id, "no file in blobs/SPLIT numbers its blobs")
        return read_labels(record.blobs, self.max_pixels)[0]

    def with_coarse(self, folder: Path | str) -> Dataset:
        """The same records with the coarse maps (probabilities or label maps) found in `folder` by ID.

        Records without one are left out. The maps are in the classes of this data set: those of a model that
        was trained on merged classes belong to ``dataset.merged(...).with_coarse(folder)``.
        """
        maps = find_maps(folder)
        records = tuple(replace(r, coarse=maps[r.id]) for r in self.records if r.id in maps)
        if not records:
            raise InvalidFile(folder, f"none of its {len(maps)} maps has the ID of an image of {self.name}")
        return replace(self, records=records, merge_coarse=None)

    def subset(self, ids: set[str]) -> Dataset:
        """The records whose ID is in `ids`."""
        return replace(self, records=tuple(r for r in self.records if r.id in ids))

    def fold(self, index: int, folds: int) -> tuple[Dataset, Dataset]:
        """Two parts of the records: those outside fold `index` of `folds`, and those in it.

        Every `folds`-th record by ID is in a fold, so that names that sort by class or time are spread.
        """
        if not 2 <= folds <= len(self):
            raise InvalidInput(f"{len(self)} records cannot be split into {folds} folds")
        if not 0 <= index < folds:
            raise InvalidInput(f"expected a fold 0..{folds - 1}, found {index}")
        ordered = sorted(self.records, key=lambda r: r.id)
        inside = {r.id for r in ordered[index::folds]}
        outside = {r.id for r in ordered} - inside
        return self.subset(outside), self.subset(inside)

    def merged(self, groups: dict[str, tuple[str, ...]]) -> Dataset:
        """The same records with classes joined: `groups` maps a new name to the names it stands for.

        Classes that no group names keep their own. Tags and coarse maps follow.
        """
        owner = {old: new for new, olds in groups.items() for old in olds}
        if len(owner) < sum(map(len, groups.values())):
            raise InvalidInput("a class stands in two groups: name it once")
        self.classes.ids(owner)  # all of them are there
        new_names = list(dict.fromkeys(owner.get(name, name) for name in self.classes.names))
        merge = tuple(new_names.index(owner.get(name, name)) for name in self.classes.names)
        colours = dict(zip(reversed(merge), reversed(self.classes.palette), strict=True))
        classes = Classes(tuple(new_names), tuple(colours[i] for i in range(len(new_names))))
        return replace(
            self,
            classes=classes,
            records=tuple(replace(r, tags=r.tags and _renamed(r.tags, owner)) for r in self.records),
            merge=_composed(self.merge, merge),
            merge_coarse=_composed(self.merge_coarse, merge),
            scored=_renamed(self.scored, owner),
        )


def _renamed(names: tuple[str, ...], owner: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(owner.get(name, name) for name in names))


def _composed(first: tuple[int, ...] | None, second: tuple[int, ...]) -> tuple[int, ...]:
    return second if first is None else tuple(second[i] for i in first)


def open_dataset(
    root: Path | str,
    split: str | None = None,
    *,
    labels: Path | str | None = None,
    classes: Classes | int | None = None,
) -> Dataset:
    """Open a data set.

    Args:
        root: a folder with ``dataset.yaml`` and ``images/SPLIT`` (or that ``images/SPLIT`` itself), or a
            plain folder of images.
        split: which split; may be left out where there is only one, or for a plain folder.
        labels: for a plain folder of images, the folder of masks; they pair by ID whatever their suffix.
        classes: for plain folders, the classes or their number (None: as many as the masks hold).

    Raises:
        InvalidFile: a missing folder, split, key or pair; the message says which.
    """
    root = Path(root)
    if (root / "dataset.yaml").is_file():
        if labels is not None:
            raise InvalidFile(root, "its dataset.yaml says where the labels are: leave `labels` out")
        return _open_layout(root, split)
    layout = _layout_of(root)
    if layout is not None and labels is None and classes is None:
        return _open_layout(*layout)
    images = find_files(root, IMAGE_SUFFIXES)
    if not images:
        raise InvalidFile(root, "holds neither a dataset.yaml nor images")
    masks = find_files(labels, LABEL_SUFFIXES) if labels is not None else {}
    if labels is not None and not masks:
        raise InvalidFile(labels, "holds no label maps (.png)")
    if masks and not images.keys() & masks.keys():
        raise InvalidFile(root, f"no image has the ID of a mask in {labels} (for example {next(iter(masks))})")
    records = tuple(Record(i, image=path, labels=masks.get(i)) for i, path in images.items())
    return _plain(root, records, labels, masks, classes)


def open_masks(
    labels: Path | str, *, images: Path | str | None = None, classes: Classes | int | None = None
) -> Dataset:
    """Open a folder of masks, each a record, with the images that belong to them where `images` is given.

    ``NAME/labels/SPLIT`` of a data set in our layout is that split, images included. Its classes and its void
    hold whatever `images` are given.

    Raises:
        InvalidFile: a missing folder, one without masks, or classes that are not those of its data set.
    """
    layout = _layout_of(Path(labels))
    if layout is not None and images is None:
        dataset = _open_layout(*layout)
        _check_asked(layout[0], dataset.classes, classes)
        return dataset
    masks = find_files(labels, LABEL_SUFFIXES)
    if not masks:
        raise InvalidFile(labels, "holds no label maps (.png)")
    found = find_files(images, IMAGE_SUFFIXES) if images is not None else {}
    records = tuple(Record(i, image=found.get(i), labels=path) for i, path in masks.items())
    return _plain(Path(labels), records, labels, masks, classes)


def _plain(
    named_after: Path,
    records: tuple[Record, ...],
    labels: Path | str | None,
    masks: dict[str, Path],
    classes: Classes | int | None,
) -> Dataset:
    """A data set of plain folders; masks that lie in our layout have the classes and the void that it says."""
    name = named_after.resolve().name
    layout = None if labels is None else _layout_of(Path(labels))
    if layout is None:
        known = classes if isinstance(classes, Classes) else find_classes(masks.values(), classes)
        return Dataset(name, known, records, void=known.void)
    described = describe(layout[0])
    _check_asked(layout[0], described.classes, classes)
    return Dataset(name, described.classes, records, described.void, scored=described.scored)


def _check_asked(root: Path, described: Classes, asked: Classes | int | None) -> None:
    others = asked.names != described.names if isinstance(asked, Classes) else asked not in (None, len(described))
    if others:
        names = ", ".join(described.names)
        raise InvalidFile(root / "dataset.yaml", f"its masks have other classes than were asked for: {names}")


def _layout_of(folder: Path) -> tuple[Path, str] | None:
    """Root and split, where `folder` is ``NAME/images/SPLIT`` or ``NAME/labels/SPLIT`` of our layout."""
    folder = folder.resolve()
    root = folder.parent.parent
    if folder.parent.name in ("images", "labels") and (root / "dataset.yaml").is_file():
        return root, folder.name
    return None


def _open_layout(root: Path, split: str | None) -> Dataset:
    described = describe(root)
    split = _chosen_split(root, split)
    images = find_files(root / "images" / split, IMAGE_SUFFIXES)
    masks = _files_if_any(root / "labels" / split, LABEL_SUFFIXES)
    maps = _files_if_any(root / "probs" / split, PROBABILITY_SUFFIXES)
    blobs = _files_if_any(root / "blobs" / split, LABEL_SUFFIXES)
    tags = read_tags(root / "tags.json", described.classes).get(split, {})
    records = tuple(
        Record(i, path, masks.get(i), maps.get(i), tuple(tags[i]) if i in tags else None, blobs.get(i))
        for i, path in images.items()
    )
    return Dataset(described.name, described.classes, records, described.void, scored=described.scored)


def splits_of(root: Path | str) -> list[str]:
    """The splits of a data set in our layout, sorted."""
    images = Path(root) / "images"
    return sorted(p.name for p in images.glob("*") if p.is_dir() and not p.name.startswith("."))


def _chosen_split(root: Path, split: str | None) -> str:
    splits = splits_of(root)
    if not splits:
        raise InvalidFile(root / "images", "expected a folder for each split, found none")
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None:
        raise InvalidFile(root, f"say which split: {', '.join(splits)}")
    if split not in splits:
        raise InvalidFile(root, f"no split {split!r}: there is {', '.join(splits)}")
    return split


def _files_if_any(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return find_files(folder, suffixes) if folder.is_dir() else {}


def pair_labels(dataset: Dataset, record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Image and true labels of a record, of one size.

    Raises:
        InvalidFile: the sizes differ.
    """
    image, labels = dataset.image(record), dataset.labels(record)
    check_fits(record.labels or record.id, image=image[..., 0], labels=labels)
    return image, labels


def pair_coarse(dataset: Dataset, record: Record, as_stored: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Image and coarse map of a record (see `Dataset.coarse`), of one size.

    Raises:
        InvalidFile: unreadable, or the sizes differ.
    """
    image, coarse = dataset.image(record), dataset.coarse(record, as_stored)
    check_fits(record.coarse or record.id, image=image[..., 0], coarse=coarse)
    return image, coarse


def check_fits(path: Path | str, **maps: np.ndarray) -> None:
    """Raise `InvalidFile` about `path` unless the named maps (``[..., H, W]``) have one size."""
    try:
        check_same_size(**maps)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
