"""Tags from a folder of images for each class (ImageFolder)."""

from __future__ import annotations

from pathlib import PurePosixPath

from segmend.data.files import InvalidFile, find_files, found_instead
from segmend.data.images import IMAGE_SUFFIXES
from segmend.data.tags_from.entries import Entries, counted_images
from segmend.data.tags_from.names import ClassNames
from segmend.data.tags_from.source import Source


def read(source: Source, names: ClassNames) -> Entries:
    """Tags by the folders of images; the ID is the name of the file without its suffix.

    The folder is the nearest one above the image that is a class, so that ``train/dog/1.jpg`` and
    ``dog/winter/1.jpg`` are dogs. An image in the folders of several classes has all these tags.
    """
    files = find_files(source.path, IMAGE_SUFFIXES)
    if not files:
        raise InvalidFile(
            source.path, f"expected a folder of images for each class, found {found_instead(source.path)}"
        )
    entries = Entries(names)
    outside = 0
    for identity in files:
        *above, name = PurePosixPath(identity).parts
        if not above:
            outside += 1
            continue
        entries.add_named(name, next((one for one in reversed(above) if names.find(one)), above[-1]))
    if not entries.tags:
        raise InvalidFile(source.path, f"{len(files)} images in it, none in a folder of a class")
    entries.findings.append(f"{counted_images(len(files) - outside)} in folders of classes")
    if outside:
        entries.findings.append(f"{counted_images(outside)} in no folder of a class: left out")
    return entries
