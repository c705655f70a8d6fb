"""Conversion of data sets between formats: our own layout, PASCAL VOC, CamVid, annotations, and others.

`layout`, `voc`, `camvid` and `huggingface` each read and write one format; `cityscapes`, `mapillary`, `ade20k` and
`faces` read. `annotated` reads and writes those of `segmend.data.annotations`, whose objects become label maps and
back. They share `source`, a data set that is converted; `labelmap`, the labels of a format and how masks show
them; and `lists`, text files with a line for each image.

datumaro provides the default labels of VOC and CamVid, and the tests let its importers read what is written here.
Lists and masks are read and written without it, because it separates masks by their colours and loses labels:

* its readers take the grey ids of CamVid as SegNet publishes it for ids of the 32 original classes, stop at grey
  ids of VOC, cut 16 bits to 8, and skip VOC lists with an underscore in their name (``train_aug``)
* its CamVid reader decodes all masks before it gives the first image, and stops at one that is broken; neither
  reader checks the size of an image before it decodes it
* its VOC writer paints masks in RGB, where programs that read VOC expect ids with a palette
* both writers put a black class first, or add one, which moves the ids of all others; interrupted, they leave a
  file that is cut short
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from segmend.data.annotations import ANNOTATIONS
from segmend.data.annotations.polygons import OutlineOptions
from segmend.data.convert import ade20k, annotated, camvid, cityscapes, faces, huggingface, layout, mapillary, voc
from segmend.data.convert.source import NothingUsable, SourceDataset
from segmend.data.files import MAX_PIXELS, InvalidFile, check_claim, write_json
from segmend.data.images import IMAGE_SUFFIXES
from segmend.data.masks import LABEL_SUFFIXES
from segmend.labels import InvalidInput


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        read: lists the images of the data set in a folder; larger ones than a number of pixels are refused later.
        write: writes the `SourceDataset.usable` images into a folder, and last of all the lists that make it a
            data set (None: a format that is only read).
    """

    read: Callable[[Path, int], SourceDataset]
    write: Callable[[SourceDataset, Path], None] | None = None


FORMATS = {
    "segmend": Format(layout.read, layout.write),
    "voc": Format(voc.read, voc.write),
    "camvid": Format(camvid.read, camvid.write),
    "cityscapes": Format(cityscapes.read_cityscapes),
    "kitti": Format(cityscapes.read_kitti),
    "mapillary": Format(mapillary.read_v1),
    "mapillary-2.0": Format(mapillary.read_v2),
    "ade20k": Format(ade20k.read_challenge),
    "ade20k-full": Format(ade20k.read_full),
    "huggingface": Format(huggingface.read, huggingface.write),
    "helen": Format(faces.read_helen),
    "part-labels": Format(faces.read_part_labels),
    "cofw": Format(faces.read_cofw),
    **{name: Format(partial(annotated.read, name), partial(annotated.write, name)) for name in ANNOTATIONS},
}
"""Formats by the name that users type. A new one is a file with these functions, and a line here."""


@dataclass(frozen=True)
class Conversion:
    """The outcome of a conversion.

    Attributes:
        written: images written.
        skipped: files that could not be used, and why.
        unlabelled: images written without a label map, because the source has none for them.
        findings: what may be wrong, in sentences.
    """

    written: int
    skipped: list[tuple[str, str]]
    unlabelled: int
    findings: tuple[str, ...] = ()


def convert(
    source: Path | str,
    destination: Path | str,
    from_format: str,
    to_format: str = "segmend",
    max_pixels: int = MAX_PIXELS,
    outlines: OutlineOptions | None = None,
) -> Conversion:
    """Convert a data set, one image at a time.

    Splits, ids, void and colours stay; images are copied byte by byte. Files that cannot be used are skipped and
    listed. Interrupted, it leaves whole files without the lists that make them a data set; a second run writes
    them again. Where no image can be used, no data set is written. Probability maps are not converted.

    Args:
        source: folder of the data set.
        destination: folder to write to: a new or an empty one, or that of an earlier run of the same conversion.
        from_format: name of its format (a key of `FORMATS`).
        to_format: name of the format to write.
        max_pixels: larger images are skipped.
        outlines: how label maps become polygons, for formats that hold polygons.

    Raises:
        InvalidInput: an unknown format, no data set of this format, one that the other cannot hold, or a
            destination that holds other files.
    """
    source, destination = Path(source), Path(destination)
    read, write = _format(from_format).read, _format(to_format).write
    if write is None:
        written = ", ".join(name for name, known in FORMATS.items() if known.write)
        raise InvalidInput(f"{to_format} is read, not written: choose one of {written}")
    if not source.is_dir():
        raise InvalidFile(source, "no such folder")
    if destination.resolve() == source.resolve():
        raise InvalidInput(f"{destination}: choose another folder than the source")
    try:
        data = read(source, max_pixels)
        if not data.items and not data.skipped:
            raise InvalidFile(source, f"expected images of a data set in the format {from_format}")
        asked = {"source": str(source.resolve()), "from": from_format.lower(), "to": to_format.lower()}
        check_claim(destination, MARKER, asked)
        data.outlines = outlines or OutlineOptions()
        data.begin = partial(write_json, destination / MARKER, asked)
        with suppress(NothingUsable):
            write(data, destination)
    except InvalidFile as error:
        if error.path != source or not _is_plain(source):
            raise
        raise InvalidFile(source, f"{error.reason}, {PLAIN}") from None
    except ModuleNotFoundError as error:
        needed = (error.name or "").split(".")[0]
        if needed not in ("datumaro", "h5py", "datasets", "pyarrow", "shapely"):
            raise
        raise InvalidInput(f"this format needs {needed}: pip install 'segmend[formats]'") from None
    return Conversion(data.written, data.skipped, data.unlabelled, _findings(data))


def _findings(data: SourceDataset) -> tuple[str, ...]:
    if not data.unturned:
        return ()
    names = ", ".join(data.unturned[:3]) + (f" and {len(data.unturned) - 3} more" * (len(data.unturned) > 3))
    return (
        f"warning: the images {names} are turned by their EXIF orientation, their label maps are read as they are "
        "stored: turn the label maps if they were made of the images as stored",
    )


MARKER = "conversion.json"
"""The file that says what a destination holds."""

PLAIN = (
    "found a plain folder of images: it needs no conversion. Give it to the other commands as it is (--images, "
    "--coarse, --truth); where masks are painted in colours, with --palette FILE (lines `name: r,g,b`)"
)


def _is_plain(folder: Path) -> bool:
    return any(path.suffix.lower() in {*IMAGE_SUFFIXES, *LABEL_SUFFIXES} for path in folder.iterdir())


def _format(name: str) -> Format:
    if name.lower() in FORMATS:
        return FORMATS[name.lower()]
    near = difflib.get_close_matches(name.lower(), FORMATS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InvalidInput(f"expected a format of {', '.join(FORMATS)}, found {name!r}{hint}")
