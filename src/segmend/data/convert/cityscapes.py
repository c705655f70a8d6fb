"""Cityscapes and KITTI's semantic benchmark: the same ids in two layouts; only read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from segmend.data.cityscapes import CLASSES, FROM_SERVER
from segmend.data.convert.labelmap import read_ids
from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import InvalidFile

LEFT, FINE = "_leftImg8bit", "_gtFine_labelIds"


def read_cityscapes(folder: Path, max_pixels: int) -> SourceDataset:
    """Read ``leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png`` and ``gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png``.

    IDs are ``CITY/NAME``; the images of the split ``test`` have no labels.

    Raises:
        InvalidFile: no folder ``leftImg8bit``.
    """
    images = folder / "leftImg8bit"
    if not images.is_dir():
        raise InvalidFile(folder, "expected the folders leftImg8bit and gtFine of Cityscapes")
    source = SourceDataset("cityscapes", CLASSES, max_pixels, {"source": "Cityscapes, fine annotation"})
    for image in sorted(images.glob(f"*/*/[!.]*{LEFT}.png")):
        split, city = image.parts[-3:-1]
        name = image.name.removesuffix(f"{LEFT}.png")
        mask = folder / "gtFine" / split / city / f"{name}{FINE}.png"
        # The masks of test hold nothing but void.
        _list(source, split, f"{city}/{name}", image, None if split == "test" else mask)
    return source


def read_kitti(folder: Path, max_pixels: int) -> SourceDataset:
    """Read ``training/{image_2,semantic}/NAME.png`` as the split ``train``, and ``testing/image_2`` as ``test``.

    Raises:
        InvalidFile: no folder ``training/image_2``.
    """
    if not (folder / "training" / "image_2").is_dir():
        raise InvalidFile(folder, "expected the folders training/image_2 and training/semantic of KITTI")
    source = SourceDataset("kitti", CLASSES, max_pixels, {"source": "KITTI, semantic segmentation"})
    for part, split in (("training", "train"), ("testing", "test")):
        for image in sorted((folder / part / "image_2").glob("[!.]*.png")):
            mask = folder / part / "semantic" / image.name
            _list(source, split, image.stem, image, None if split == "test" else mask)
    return source


def _list(source: SourceDataset, split: str, identity: str, image: Path, mask: Path | None) -> None:
    if mask is not None and not mask.is_file():
        source.skip(image, f"no label map {mask}")
        return
    load = None if mask is None else partial(read_ids, mask, FROM_SERVER, source.max_pixels)
    source.items.append(SourceImage(split, identity, image, load))
