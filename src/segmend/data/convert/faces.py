"""Data sets of faces: HELEN with its parts, the Part Labels of LFW, and COFW; only read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmend.data.convert.labelmap import FormatLabels
from segmend.data.convert.lists import read_lines
from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import InvalidFile
from segmend.data.images import open_image
from segmend.labels import Classes, InvalidInput, check_same_size

if TYPE_CHECKING:
    import h5py

HELEN = (
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "nose",
    "upper lip",
    "inner mouth",
    "lower lip",
    "hair",
)
"""Classes in the order of HELEN's maps."""

HELEN_LISTS = {"exemplars.txt": "train", "tuning.txt": "val", "testing.txt": "test"}

PART_LABELS = FormatLabels([("background", (0, 0, 255)), ("face", (0, 255, 0)), ("hair", (255, 0, 0))])
PART_LABELS_LISTS = {"parts_train.txt": "train", "parts_validation.txt": "val", "parts_test.txt": "test"}
OURS_OF_PARTS = np.array([2, 1, 0], np.uint8)
"""Our id for each id of a superpixel: hair, face, background."""

COFW = {"train": ("COFW_train", "Tr"), "test": ("COFW_test", "T")}
"""For each split, the name of its file and the suffix of its variables."""


def read_helen(folder: Path, max_pixels: int) -> SourceDataset:
    """Read ``images/NAME.jpg`` and eleven maps ``labels/NAME/NAME_lblXX.png`` of probabilities, 0..255.

    The lists of exemplars, tuning and testing, with lines ``NUMBER , NAME``, become train, val and test. A pixel
    gets the label of the largest probability, the first of a tie.

    Raises:
        InvalidFile: none of the lists.
    """
    source = SourceDataset("helen", Classes(HELEN), max_pixels, {"source": "HELEN, parts by Smith et al."})
    for split, list_ in _lists(folder, HELEN_LISTS):
        for line in read_lines(list_):
            name = _file_name(line.split(",")[-1].strip(), list_)
            maps = [folder / "labels" / name / f"{name}_lbl{i:02d}.png" for i in range(len(HELEN))]
            image = folder / "images" / f"{name}.jpg"
            source.items.append(SourceImage(split, name, image, partial(_likeliest, maps, max_pixels)))
    return source


def _likeliest(maps: list[Path], max_pixels: int) -> np.ndarray:
    """For each pixel, the index of the grey image with the largest value; images are read one at a time."""
    labels, most = None, None
    for i, path in enumerate(maps):
        with open_image(path, max_pixels) as image:
            grey = np.array(image.convert("L"))
        if labels is None or most is None:
            labels, most = np.zeros(grey.shape, np.uint8), grey
            continue
        try:
            check_same_size(first=most, map=grey)
        except InvalidInput as error:
            raise InvalidFile(path, str(error)) from None
        labels[grey > most] = i
        most = np.maximum(most, grey)
    assert labels is not None
    return labels


def read_part_labels(folder: Path, max_pixels: int) -> SourceDataset:
    """Read ``lfw_funneled/NAME/NAME_0001.jpg`` and ``parts_lfw_funneled_gt_images/NAME_0001.ppm``, three colours.

    The lists ``parts_train.txt``, ``parts_validation.txt`` and ``parts_test.txt``, with lines ``NAME 1``, become
    train, val and test. For the superpixels see `part_labels_superpixels`.

    Raises:
        InvalidFile: none of the lists, or a line in another form.
    """
    source = SourceDataset("part_labels", PART_LABELS.classes, max_pixels, {"source": "LFW Part Labels"})
    for split, list_ in _lists(folder, PART_LABELS_LISTS):
        for line in read_lines(list_):
            person, _, number = line.rpartition(" ")
            if not number.isdigit():
                raise InvalidFile(list_, f"expected lines of a name and a number, found {line!r}")
            person = _file_name(person.strip(), list_)
            name = f"{person}_{int(number):04d}"
            image = folder / "lfw_funneled" / person / f"{name}.jpg"
            mask = folder / "parts_lfw_funneled_gt_images" / f"{name}.ppm"
            load = partial(PART_LABELS.read, mask, max_pixels, palette_is_ids=False)
            source.items.append(SourceImage(split, name, image, load))
    return source


def part_labels_superpixels(folder: Path | str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The superpixels of an image of LFW Part Labels, for `segmend.metrics.superpixel_counts`.

    Args:
        folder: of the data set as it is published.
        name: of the image, as ``Aaron_Eckhart_0001``.

    Returns:
        The number of each pixel's superpixel, ``int64 [H, W]``, and the class of each, ``uint8 [S]``.

    Raises:
        InvalidFile: a missing file, a file without numbers, or labels that do not fit the superpixels.
    """
    person = name.rpartition("_")[0]
    maps = Path(folder) / "parts_lfw_funneled_superpixels_mat" / person / f"{name}.dat"
    truth = Path(folder) / "parts_lfw_funneled_gt" / person / f"{name}.dat"
    superpixels, (count, *theirs) = _numbers(maps), _numbers(truth).ravel()
    if count != len(theirs) or not all(0 <= label < len(OURS_OF_PARTS) for label in theirs):
        raise InvalidFile(truth, f"expected a count and as many labels of 0..2, found {count} and {len(theirs)}")
    if superpixels.min() < 0 or superpixels.max() >= count:
        raise InvalidFile(maps, f"expected superpixels 0..{count - 1}, found up to {superpixels.max()}")
    return superpixels, OURS_OF_PARTS[theirs]


def _numbers(path: Path) -> np.ndarray:
    lines = read_lines(path) or ["nothing"]
    try:
        return np.loadtxt(lines, dtype=np.int64, ndmin=2)
    except ValueError as error:
        raise InvalidFile(path, f"expected a table of whole numbers ({error})") from None


def read_cofw(folder: Path, max_pixels: int) -> SourceDataset:
    """Read ``COFW_train_color.mat`` and ``COFW_test_color.mat`` (or those in grey): images without label maps.

    IDs are ``SPLIT_NUMBER``, by the place in the file from 0. COFW's own images are the last 500 of the training
    file; the others come from LFPW. For the boxes of the faces see `cofw_boxes`.

    Raises:
        InvalidFile: none of these files, or a file with other contents.
    """
    source = SourceDataset("cofw", Classes(("background", "face")), max_pixels, {"source": "COFW"})
    for split in COFW:
        path = _cofw_file(folder, split)
        if path is not None:
            with _open_cofw(path, split) as (_, images):
                count = images.size
            for i in range(count):
                name = Path(f"{path} image {i}")
                image = partial(_cofw_image, path, split, i)
                source.items.append(SourceImage(split, f"{split}_{i:04d}", name, load_image=image))
    if not source.items:
        raise InvalidFile(folder, "expected COFW_train_color.mat or COFW_test_color.mat")
    return source


def cofw_boxes(folder: Path | str, split: str) -> np.ndarray:
    """The boxes of the faces of COFW in the order of its images: left, top, width, height, ``float64 [N, 4]``.

    Args:
        folder: of the data set as it is published.
        split: ``train`` or ``test``.

    Raises:
        InvalidFile: no file of this split, or a file with other contents.
    """
    path = _cofw_file(Path(folder), split)
    if path is None:
        raise InvalidFile(Path(folder), f"expected {COFW[split][0]}_color.mat")
    with _open_cofw(path, split) as (file, _):
        return np.asarray(file[f"bboxes{COFW[split][1]}"], np.float64).T


def _cofw_file(folder: Path, split: str) -> Path | None:
    name, _ = COFW[split]
    return next((path for end in ("_color.mat", ".mat") if (path := folder / f"{name}{end}").is_file()), None)


@contextmanager
def _open_cofw(path: Path, split: str) -> Iterator[tuple[h5py.File, np.ndarray]]:
    """Open a file of COFW; also gives the references to its images."""
    import h5py  # an extra: MATLAB's files since 7.3 are HDF5

    end = COFW[split][1]
    try:
        with h5py.File(path) as file:
            yield file, np.asarray(file[f"Is{end}"]).ravel()
    except (OSError, KeyError, ValueError) as error:
        raise InvalidFile(path, f"expected a MATLAB 7.3 file with Is{end} and bboxes{end} ({error})") from None


def _cofw_image(path: Path, split: str, number: int) -> np.ndarray:
    """An image, ``uint8 [H, W, 3]``. MATLAB stores columns first, so that the axes are reversed."""
    with _open_cofw(path, split) as (file, images):
        image = np.asarray(file[images[number]]).T
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise InvalidFile(path, f"expected images of 8 bits, found {image.dtype} {image.shape}")
    return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2))


def _file_name(name: str, list_: Path) -> str:
    """The name, if it cannot lead out of its folder."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InvalidFile(list_, f"expected names of images, found {name!r}")
    return name


def _lists(folder: Path, lists: dict[str, str]) -> list[tuple[str, Path]]:
    """Split and file of the lists that exist."""
    found = [(split, folder / name) for name, split in lists.items() if (folder / name).is_file()]
    if not found:
        raise InvalidFile(folder, f"expected one of the lists {', '.join(lists)}")
    return found
