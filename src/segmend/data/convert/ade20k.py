"""ADE20K: the 150 classes of the scene parsing challenge, or the full data set with its own; only read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import InvalidFile, find_files, read_json
from segmend.data.images import open_image
from segmend.data.masks import read_labels
from segmend.labels import Classes, InvalidInput

SPLITS = {"training": "train", "validation": "val"}

LIST, SCENES = "objectInfo150.txt", "ADE"

CLASSES_OF_CHALLENGE = 150


def read_challenge(folder: Path, max_pixels: int) -> SourceDataset:
    """Read ``images/SPLIT/ID.jpg`` and ``annotations/SPLIT/ID.png`` of the challenge: ids 1 to 150, and 0 is void.

    Names come from its list ``objectInfo150.txt``.

    Raises:
        InvalidFile: no such folders, or a list in another form.
    """
    splits = [part for part in SPLITS if (folder / "annotations" / part).is_dir()]
    if not splits:
        raise InvalidFile(folder, "expected annotations/training or annotations/validation of ADE20K")
    source = SourceDataset("ade20k", Classes(_names(folder / LIST)), max_pixels, {"source": "ADE20K"})
    for part in splits:
        masks = find_files(folder / "annotations" / part, (".png",))
        for identity, image in find_files(folder / "images" / part, (".jpg",)).items():
            mask = masks.get(identity)
            load = partial(_challenge_labels, mask, max_pixels) if mask else None
            source.items.append(SourceImage(SPLITS[part], identity, image, load))
    return source


def _names(path: Path) -> tuple[str, ...]:
    """The first name of each class of the list, whose columns tabs separate, with a line of their titles."""
    if not path.is_file():
        raise InvalidFile(path, "no such file: the list of classes comes with the data set")
    lines = path.read_text(encoding="utf-8-sig").strip().splitlines()[1:]
    names = [line.split("\t")[-1].split(",")[0].strip() for line in lines]
    if len(names) != CLASSES_OF_CHALLENGE:
        raise InvalidFile(
            path, f"expected {CLASSES_OF_CHALLENGE} classes and a line of titles, found {len(names)}"
        )
    # two classes are called `screen` first: as the masks tell them apart, so must the names
    return tuple(
        f"{name} {names[:at].count(name) + 1}" if name in names[:at] else name for at, name in enumerate(names)
    )


def _challenge_labels(mask: Path, max_pixels: int) -> np.ndarray:
    ids = read_labels(mask, max_pixels)[0].astype(np.int32)
    if ids.max(initial=0) > CLASSES_OF_CHALLENGE:
        raise InvalidFile(mask, f"expected ids 0..{CLASSES_OF_CHALLENGE}, found {ids.max()}")
    void = Classes.numbered(CLASSES_OF_CHALLENGE).void
    return np.where(ids == 0, void, ids - 1).astype(np.uint8)


def read_full(folder: Path, max_pixels: int) -> SourceDataset:
    """Read the full data set: ``images/ADE/SPLIT/SCENE/.../ID.jpg`` beside ``ID_seg.png`` and ``ID.json``.

    Red and green of a mask give the number of the class (red / 10 * 256 + green), whose name is in the JSON file
    of the image; 0 is void. Classes are those of all files, in the order of their numbers.

    Raises:
        InvalidFile: no such files, or a JSON file in another form.
    """
    root = next((path for path in (folder / "images" / SCENES, folder / SCENES, folder) if path.is_dir()), folder)
    images = find_files(root, (".jpg",))
    masks = {i.removesuffix("_seg"): path for i, path in find_files(root, (".png",)).items() if i.endswith("_seg")}
    if not masks:
        raise InvalidFile(folder, "expected ID_seg.png beside ID.jpg, as the full ADE20K has them")
    names: dict[int, str] = {}
    for identity in masks:
        names |= _names_in(root / f"{identity}.json")
    numbers = sorted(names)
    try:
        classes = Classes(tuple(names[number] for number in numbers))
    except InvalidInput as error:
        raise InvalidFile(folder, str(error)) from None
    source = SourceDataset("ade20k_full", classes, max_pixels, {"source": "ADE20K"})
    for identity, image in images.items():
        split = next((SPLITS[part] for part in identity.split("/") if part in SPLITS), "train")
        load = partial(_full_labels, masks[identity], numbers, classes, max_pixels) if identity in masks else None
        source.items.append(
            SourceImage(split, identity.removeprefix("training/").removeprefix("validation/"), image, load)
        )
    return source


def _names_in(path: Path) -> dict[int, str]:
    """The names of the classes of an image by their number: the first synonym, and the number, as names repeat."""
    try:
        listed = read_json(path)["annotation"]["object"]
        return {int(one["name_ndx"]): f"{one['name'].split(',')[0].strip()} {one['name_ndx']}" for one in listed}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidFile(path, f"expected annotation.object with name and name_ndx ({error!r})") from None


def _full_labels(mask: Path, numbers: list[int], classes: Classes, max_pixels: int) -> np.ndarray:
    with open_image(mask, max_pixels) as image:
        colours = np.asarray(image.convert("RGB")).astype(np.int32)
    found = colours[..., 0] // 10 * 256 + colours[..., 1]
    labels = np.full(found.shape, classes.void, classes.dtype)
    known = np.isin(found, numbers)
    labels[known] = np.searchsorted(numbers, found[known])
    unknown = np.unique(found[~known & (found > 0)])
    if len(unknown):
        raise InvalidFile(mask, f"number {unknown[0]} is in no JSON file: is that of the image complete?")
    return labels
