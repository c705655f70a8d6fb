"""Which image belongs to which mask: by their names, and by the EXIF orientation that an image may have."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from segmend.data.files import InvalidFile, fetched
from segmend.data.images import orientation_of

SEPARATORS = "_-. "
"""Where a name has parts, as in ``0012_mask``."""


class Pairing(NamedTuple):
    """Pairs by ID.

    Attributes:
        partner: for IDs of images, the ID of the mask.
        turns: EXIF orientations by which masks are turned with their image, by the image's ID.
        findings: what was assumed, in sentences.
    """

    partner: dict[str, str]
    turns: dict[str, int]
    findings: tuple[str, ...] = ()


def pair_names(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    where: str,
    masks_where: str,
    orientations: Mapping[Path, int] | None = None,
) -> Pairing:
    """Pair images with masks of the same ID, or of the same ID without a part that all names share.

    Args:
        where, masks_where: the folders, for messages.
        orientations: EXIF orientations of the images that are turned.

    Raises:
        InvalidFile: no pair at all, or an image and a mask that are one file.
    """
    partner, assumed = match_names(images, masks)
    if not partner:
        raise InvalidFile(masks_where, _no_pair(images, masks, where))
    for image, mask in partner.items():
        if images[image].resolve() == masks[mask].resolve():
            raise InvalidFile(masks[mask], _one_file(images, masks, image))
    turns, turned = turns_of(images, masks, partner, orientations or {})
    return Pairing(partner, turns, (*([assumed] if assumed else []), *turned))


def match_names(images: Mapping[str, Path], masks: Mapping[str, Path]) -> tuple[dict[str, str], str]:
    """For names of images the names of masks: the same, or the same without a part that all share.

    Returns:
        The pairs, none where no names fit; and what was assumed, in a sentence.

    Raises:
        InvalidFile: several masks fit each image.
    """
    partner = {name: name for name in images if name in masks}
    return (partner, "") if partner else _without_affixes(images, masks)


def _without_affixes(images: Mapping[str, Path], masks: Mapping[str, Path]) -> tuple[dict[str, str], str]:
    """Pairs of most names once a shared start or end of one side, or of both, is left out."""
    for image_end in dict.fromkeys(("", _shared_end(images))):
        bases = {name.removesuffix(image_end): name for name in images}
        fitting = {}
        for end in (*([""] if image_end else []), *_ends(bases, masks)):
            found = {
                bases[m.removesuffix(end)]: m for m in masks if m.endswith(end) and m.removesuffix(end) in bases
            }
            if 2 * len(found) >= min(len(images), len(masks)):
                fitting[end] = found
        if len(fitting) > 1:
            kinds = ", ".join(f"'{end}'" for end in fitting)
            folder = next(iter(masks.values())).parent
            raise InvalidFile(
                folder, f"each image has several masks, {kinds}: give a folder with one kind of masks"
            )
        for end, found in fitting.items():
            return found, _without(end, image_end)
    starts = _shared_end(name[::-1] for name in images)[::-1], _shared_end(name[::-1] for name in masks)[::-1]
    for image_start, mask_start in ((starts[0], starts[1]), ("", starts[1]), (starts[0], "")):
        bases = {name.removeprefix(image_start): name for name in images}
        found = {bases[m.removeprefix(mask_start)]: m for m in masks if m.removeprefix(mask_start) in bases}
        if found and 2 * len(found) >= min(len(images), len(masks)):
            return found, _without(mask_start, image_start)
    return {}, ""


def _without(*parts: str) -> str:
    shown = " and ".join(f"'{part}'" for part in parts if part)
    return f"names pair without {shown}"


def _ends(bases: Mapping[str, str], masks: Iterable[str]) -> Iterator[str]:
    """Ends of masks' names behind the name of an image, the most frequent first."""
    ends = Counter(
        mask[at:] for mask in masks for at, sign in enumerate(mask) if sign in SEPARATORS and mask[:at] in bases
    )
    yield from (end for end, _ in ends.most_common(3))


def _shared_end(names: Iterable[str]) -> str:
    """The end that several names share, from a separator on; nothing where there is none."""
    several = list(names)
    if len(several) < 2:
        return ""
    alike = itertools.takewhile(lambda signs: len(set(signs)) == 1, zip(*(n[::-1] for n in several), strict=False))
    end = "".join(signs[0] for signs in alike)[::-1]
    places = [end.find(sign) for sign in SEPARATORS if sign in end]
    return end[min(places) :] if places else ""


def _no_pair(images: Mapping[str, Path], masks: Mapping[str, Path], where: str) -> str:
    image, mask, advice = next(iter(images), ""), next(iter(masks), ""), "name a map like its image"
    by_name = {name.rpartition("/")[2]: name for name in reversed(list(images))}  # of several the first
    alike = next((name for name in masks if name.rpartition("/")[2] in by_name), None)
    if alike is not None:
        image, mask = by_name[alike.rpartition("/")[2]], alike
        advice = "give folders below which a map has the path of its image"
    shown = f"images are called like {_shown(images, image)}" if images else "there are no images"
    return (
        f"none of its {len(masks)} maps has the name of an image in {where}: {shown}, maps like "
        f"{_shown(masks, mask)}: {advice}"
    )


def _shown(files: Mapping[str, Path], name: str) -> str:
    """The path of a file below its folder."""
    return repr(f"{name}{files[name].suffix}" if name else "")


def _one_file(images: Mapping[str, Path], masks: Mapping[str, Path], image: str) -> str:
    ends = _ends({name: name for name in images}, masks)
    end = next(ends, "")
    apart = f": masks end in '{end}', put them into a folder of their own" if end else ": give the folder of masks"
    return f"is given as the image and as the map of {image}{apart}"


def turns_of(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    partner: Mapping[str, str],
    orientations: Mapping[Path, int],
) -> tuple[dict[str, int], list[str]]:
    """Orientations by which masks are turned with their image, by its ID; and warnings about doubtful ones."""
    turns: dict[str, int] = {}
    doubtful: list[str] = []
    for name, mask in partner.items():
        orientation = orientations.get(images[name], 1)
        if orientation == 1 or orientation_of(masks[mask]) != 1:
            continue
        stored, found = _size_of(images[name]), _size_of(masks[mask])
        if found == stored and orientation >= 5 and stored[0] != stored[1]:
            turns[name] = orientation
        elif found == stored:
            doubtful.append(masks[mask].name)
    findings = []
    if turns:
        findings.append(f"{len(turns)} maps turned as the EXIF orientation turns their images")
    if doubtful:
        names = ", ".join(doubtful[:3]) + (f" and {len(doubtful) - 3} more" if len(doubtful) > 3 else "")
        findings.append(
            f"warning: the images of {names} are turned by their EXIF orientation, the maps are read as they are "
            "stored: turn the maps if they were made of the images as stored"
        )
    return turns, findings


def _size_of(path: Path) -> tuple[int, int]:
    try:
        with fetched(path) as file, Image.open(file) as image:
            return image.size
    except (InvalidFile, OSError, ValueError, SyntaxError):
        return (0, 0)
