"""Hugging Face `datasets`: a folder that ``save_to_disk`` wrote, or Parquet files, with images and label maps."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from segmend.data.convert.source import SourceDataset, SourceImage
from segmend.data.files import MAX_PIXELS, InvalidFile, find_files, read_json, write_json
from segmend.data.images import read_image
from segmend.data.masks import read_labels
from segmend.labels import VOID, Classes

IMAGES = ("image", "pixel_values", "img")
MASKS = ("label", "labels", "annotation", "mask", "segmentation_mask", "semantic_segmentation")
NAMES = ("file_name", "filename", "image_id", "id", "name")
"""Columns that hold the image, its label map and its name; the first that is there counts."""


def read(folder: Path, max_pixels: int) -> SourceDataset:
    """Read the images and label maps of a data set; ids are kept, 255 is void.

    Class names are those that the writer stored in the description of the label column, if it did; else classes
    are numbered up to the highest id, for which all label maps are read once.

    Raises:
        InvalidFile: no such data set, or no columns with an image and a label map.
        ModuleNotFoundError: `datasets` is not installed.
    """
    splits = _splits(folder)
    image, mask, name = _columns(folder, next(iter(splits.values())).features)
    names = _class_names(folder) or tuple(f"class {i}" for i in range(_highest(splits, mask) + 1))
    source = SourceDataset(folder.resolve().name, Classes(names), max_pixels, {"source": "Hugging Face"})
    for split, rows in splits.items():
        raw = rows.with_format(None)
        for number in range(len(raw)):
            identity = _identity(raw[number][name], number) if name else f"{number:06d}"
            given = raw[number][mask] is not None
            load = partial(_labels, folder, raw, number, mask, max_pixels)
            load_image = partial(_image, folder, raw, number, image, max_pixels)
            where = folder / split / identity
            source.items.append(
                SourceImage(split, identity, where, load if given else None, load_image=load_image)
            )
    return source


def _splits(folder: Path) -> dict[str, Any]:
    """The splits of a data set, whose images are not decoded."""
    import datasets

    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        found = datasets.load_from_disk(str(folder))
        splits = dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}
    else:
        files = find_files(folder, (".parquet",))
        if not files:
            raise InvalidFile(folder, "expected what save_to_disk of `datasets` wrote, or .parquet files")
        by_split: dict[str, list[str]] = {}
        for identity, path in files.items():
            by_split.setdefault(identity.rpartition("/")[2].split("-")[0], []).append(str(path))
        splits = {split: datasets.Dataset.from_parquet(paths) for split, paths in by_split.items()}
    return {
        split: rows.cast(datasets.Features({k: _undecoded(v) for k, v in rows.features.items()}))
        for split, rows in splits.items()
    }


def _undecoded(feature: Any) -> Any:
    import datasets

    return datasets.Image(decode=False) if isinstance(feature, datasets.Image) else feature


def _columns(folder: Path, features: Any) -> tuple[str, str, str | None]:
    """The columns of image, label map and name."""
    import datasets

    shown = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    mask = next((name for name in MASKS if name in shown), None)
    image = next((name for name in (*IMAGES, *shown) if name in shown and name != mask), None)
    if image is None or mask is None:
        raise InvalidFile(
            folder,
            f"expected two columns of images, `image` and `label` for instance, found {', '.join(features)}",
        )
    return image, mask, next((name for name in NAMES if name in features), None)


def _identity(name: object, number: int) -> str:
    text = str(name).replace("\\", "/")
    known = Path(text).with_suffix("").as_posix() if "." in text else text
    return known if known and not known.startswith(("/", "..")) else f"{number:06d}"


def _stored(folder: Path, rows: Any, number: int, column: str, read: Callable[[Path], np.ndarray]) -> np.ndarray:
    """What `read` finds in the image file that a cell holds, which lies in a file of its own while it is read.

    Raises:
        InvalidFile: it cannot be read.
    """
    cell = rows[number][column]
    with TemporaryDirectory() as place:
        path = Path(cell["path"] or "")
        if cell["bytes"] is not None:
            path = Path(place) / f"cell{path.suffix or '.png'}"
            path.write_bytes(cell["bytes"])
        try:
            return read(path)
        except InvalidFile as error:
            raise InvalidFile(folder, f"row {number}, {column}: {error.reason}") from None


def _labels(folder: Path, rows: Any, number: int, column: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    return _stored(folder, rows, number, column, lambda path: read_labels(path, max_pixels)[0])


def _image(folder: Path, rows: Any, number: int, column: str, max_pixels: int) -> np.ndarray:
    return _stored(folder, rows, number, column, lambda path: read_image(path, max_pixels))


def _highest(splits: dict[str, Any], column: str) -> int:
    return max((i for rows in splits.values() for i in _ids(rows, column)), default=0)


def _ids(rows: Any, column: str) -> Iterator[int]:
    for number in range(len(rows)):
        try:
            ids = _labels(Path(column), rows, number, column)
        except InvalidFile:
            continue  # listed when it is read for its content
        yield from np.unique(ids[ids != VOID]).tolist()


ID2LABEL = "id2label.json"
"""File beside a data set that names the class of each id, as label maps have no place for names in it."""


def _class_names(folder: Path) -> tuple[str, ...]:
    path = folder / ID2LABEL
    if not path.is_file():
        return ()
    content = read_json(path)
    try:
        return tuple(str(content[str(i)]) for i in range(len(content)))
    except (KeyError, TypeError):
        raise InvalidFile(path, 'expected the name of each id, {"0": "sky", "1": "road", ...}') from None


def write(source: SourceDataset, destination: Path) -> None:
    """Write a Parquet file for each split, with the columns `id`, `image` and `label`, and the class names."""
    import datasets
    from pyarrow import Table
    from pyarrow.parquet import ParquetWriter

    features = datasets.Features(
        {"id": datasets.Value("string"), "image": datasets.Image(), "label": datasets.Image()}
    )
    schema = features.arrow_schema
    with ExitStack() as stack:
        writers: dict[str, ParquetWriter] = {}
        for item, labels in source.usable():
            if item.split not in writers:
                path = destination / "data" / f".{item.split}{WRITTEN}.part"
                path.parent.mkdir(parents=True, exist_ok=True)
                writers[item.split] = stack.enter_context(ParquetWriter(path, schema))
            row = {
                "id": item.id,
                "image": {"bytes": _encoded(item, source.max_pixels), "path": f"{item.id}{item.suffix}"},
                "label": None if labels is None else {"bytes": _png(labels), "path": f"{item.id}.png"},
            }
            writers[item.split].write_table(Table.from_pylist([row], schema=schema))
    for split in writers:
        part = destination / "data" / f".{split}{WRITTEN}.part"
        part.replace(destination / "data" / f"{split}{WRITTEN}")
    write_json(destination / ID2LABEL, {str(i): name for i, name in enumerate(source.classes.names)})


WRITTEN = "-00000-of-00001.parquet"
"""End of the name of a split's file."""


def _encoded(item: SourceImage, max_pixels: int) -> bytes:
    return item.image.read_bytes() if item.load_image is None else _png(item.read(max_pixels))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)).save(buffer, format="PNG")
    return buffer.getvalue()
