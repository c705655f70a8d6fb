"""Tags: the classes that are in an image, without saying where. ``tags.json`` holds them beside a data set."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from segmend.data.description import named
from segmend.data.files import InvalidFile, read_json, write_json
from segmend.labels import Classes

Tags = Mapping[str, float]
"""Class names of an image and their scores in 0..1, the probability that the class is there; others are not."""


def read_tags(path: Path, classes: Classes, missing_ok: bool = False) -> dict[str, dict[str, Tags]]:
    """The tags of each image, by split and ID.

    The file is ``{SPLIT: {ID: [class, ...]}}``, or ``{SPLIT: {ID: {class: score, ...}}}`` with scores in 0..1.

    Args:
        missing_ok: no tags where there is no such file.

    Raises:
        InvalidFile: no such file, another content, or a tag that is no class; the message names the nearest one.
    """
    if missing_ok and not path.exists():
        return {}
    return _checked(path, read_json(path), classes)


def read_tags_of(path: Path, split: str, classes: Classes) -> dict[str, Tags]:
    """The tags of the images of a split or a folder, by ID.

    The file is as `read_tags` takes it; where it holds one split alone, this may have any name. It may also be
    flat: ``{ID: [class, ...]}``, or with scores.

    Raises:
        InvalidFile: no such file, several splits and none of this name, or as `read_tags` raises it.
    """
    content = read_json(path)
    is_flat = isinstance(content, dict) and any(content.values()) and all(map(_is_tags, content.values()))
    found = _checked(path, {split: content} if is_flat else content, classes)
    if split in found:
        return found[split]
    if len(found) == 1:
        return next(iter(found.values()))
    there = f"the splits {', '.join(found)}" if found else "nothing"
    raise InvalidFile(
        path, f"expected tags of the split {split!r}, as the folder of images is named, found {there}"
    )


def _checked(path: Path, content: object, classes: Classes) -> dict[str, dict[str, Tags]]:
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise InvalidFile(path, "expected {SPLIT: {ID: [class name, ...]}}")
    return {
        split: {identity: _tags_of(path, identity, given, classes) for identity, given in of_split.items()}
        for split, of_split in content.items()
    }


def _is_tags(given: object) -> bool:
    """Whether this is what an image has, with scores or without, and no split."""
    is_scores = isinstance(given, dict) and all(isinstance(score, int | float) for score in given.values())
    return isinstance(given, list) or is_scores


def _tags_of(path: Path, identity: str, given: object, classes: Classes) -> Tags:
    tags = dict.fromkeys(given, 1.0) if _is_names(given) else given
    if not isinstance(tags, dict):
        raise InvalidFile(path, f"{identity}: expected a list of class names, found {given!r}")
    for name, score in tags.items():
        if name not in classes.names:
            raise InvalidFile(path, f"{identity}: the tag {name!r} is no class{nearest(name, classes.names)}")
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise InvalidFile(path, f"{identity}: expected a score of {name!r} in 0..1, found {score!r}")
    return {name: float(score) for name, score in tags.items()}


def _is_names(given: object) -> TypeGuard[list[str]]:
    return isinstance(given, list) and all(isinstance(name, str) for name in given)


def write_tags(path: Path, tags: Mapping[str, Mapping[str, Tags]]) -> None:
    """Write tags by split and ID: names where all scores of an image are 1, otherwise names and scores."""
    content = {
        split: {
            identity: list(given) if all(score == 1 for score in given.values()) else dict(given)
            for identity, given in of_split.items()
        }
        for split, of_split in tags.items()
    }
    write_json(path, content)


def nearest(name: str, names: tuple[str, ...]) -> str:
    """A question for what was meant by a name that is no class, or all names where none is near."""
    by_lower = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else f"; classes are {', '.join(names)}"


def common_classes(shown: Sequence[Collection[str]]) -> tuple[str, ...]:
    """The classes that are in more than half of the label maps, of which `shown` holds the classes of each.

    >>> common_classes([{"background", "cat"}, {"background"}, {"background", "dog"}])
    ('background',)
    """
    counts = Counter(name for classes in shown for name in classes)
    return tuple(sorted(name for name, count in counts.items() if 2 * count > len(shown)))


def implied_classes(common: Collection[str], given: Collection[Tags]) -> tuple[str, ...]:
    """The common classes that tags pass over, such as the background: fewer than one image in twenty names them.

    >>> implied_classes(["background", "person"], [{"person": 1.0}, {}])
    ('background',)
    """
    counts = Counter(name for tags in given for name in tags)
    return tuple(name for name in common if 20 * counts[name] < len(given))


def tags_without_image(
    path: Path, tags: Mapping[str, Collection[str]], split: str, images: Collection[str]
) -> list[str]:
    """Findings about tags that belong to no image of a split.

    Args:
        path: the file with the tags.
        tags: IDs by split, as `read_tags` gives them.
        images: the IDs of the split.
    """
    missing = [identity for identity in tags.get(split, ()) if identity not in images]
    if not missing:
        return []
    what = "an image that is" if len(missing) == 1 else f"{len(missing)} images that are"
    return [f"warning: {path.name} has tags of {what} not in images/{split}: {named(missing)}"]
