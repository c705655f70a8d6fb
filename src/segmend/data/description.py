"""What a data set says of itself: ``dataset.yaml``, and ``tags.json`` beside it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from segmend.data.files import InvalidFile, atomic_write, read_json
from segmend.labels import VOID_16, Classes, InvalidInput


class Description(NamedTuple):
    """What a ``dataset.yaml`` says: `void` is its id in files, `scored` the classes that means are over."""

    name: str
    classes: Classes
    void: int
    scored: tuple[str, ...]


def describe(root: Path) -> Description:
    """What the ``dataset.yaml`` in `root` says.

    Raises:
        InvalidFile: unreadable, or a key that cannot be; the message says which.
    """
    path, description = root / "dataset.yaml", read_description(root)
    void = description.get("void")
    try:
        classes = Classes(tuple(map(str, description["classes"])), description.get("palette") or ())
    except (InvalidInput, TypeError) as error:
        raise InvalidFile(path, str(error)) from None
    if void is not None and (not isinstance(void, int) or not 0 <= void <= VOID_16):
        raise InvalidFile(path, f"expected `void` to be an id 0..{VOID_16}, found {void!r}")
    scored = tuple(map(str, description.get("evaluate_on") or ()))
    unknown = set(scored) - set(classes.names)
    if unknown:
        raise InvalidFile(path, f"`evaluate_on` names no class: {', '.join(sorted(unknown))}")
    name = str(description.get("name") or root.resolve().name)
    return Description(name, classes, classes.void if void is None else void, scored)


def read_description(root: Path | str) -> dict[str, Any]:
    """The content of ``dataset.yaml`` in `root`; `classes` is checked to be a list."""
    path = Path(root) / "dataset.yaml"
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(path, f"not readable as YAML ({error})") from None
    if not isinstance(description, dict) or not isinstance(description.get("classes"), list):
        raise InvalidFile(path, "expected keys `name` and `classes` (a list of names)")
    return description


def write_description(root: Path, name: str, classes: Classes, **more: Any) -> None:
    """Write ``dataset.yaml``, which makes of folders in `root` a data set; `more`: further keys."""
    description = {
        "name": name,
        "classes": list(classes.names),
        "void": classes.void,
        "palette": [list(colour) for colour in classes.palette],
        **more,
    }
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True, default_flow_style=None)
    atomic_write(root / "dataset.yaml", text.encode())


def read_tags(path: Path, classes: Classes) -> dict[str, dict[str, list[str]]]:
    """Names of the classes in each image, by split and ID; none without a ``tags.json``.

    Raises:
        InvalidFile: another content, or a tag that is no class; the message names the nearest one.
    """
    if not path.is_file():
        return {}
    tags = read_json(path)
    if not isinstance(tags, dict) or not all(isinstance(v, dict) for v in tags.values()):
        raise InvalidFile(path, "expected {SPLIT: {ID: [class name, ...]}}")
    for identity, names in ((i, names) for of_split in tags.values() for i, names in of_split.items()):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidFile(path, f"{identity}: expected a list of class names, found {names!r}")
        for name in names:
            if name not in classes.names:
                raise InvalidFile(path, f"{identity}: the tag {name!r} is no class{_nearest(name, classes.names)}")
    return tags


def _nearest(name: str, names: tuple[str, ...]) -> str:
    """A question for what was meant, or all names where none is near."""
    by_lower = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else f"; classes are {', '.join(names)}"


def tags_without_image(tags: Mapping[str, Collection[str]], split: str, images: Collection[str]) -> list[str]:
    """Findings about tags that belong to no image of a split.

    Args:
        tags: IDs by split, as `read_tags` gives them.
        images: the IDs of the split.
    """
    missing = [identity for identity in tags.get(split, ()) if identity not in images]
    if not missing:
        return []
    what = "an image that is" if len(missing) == 1 else f"{len(missing)} images that are"
    return [f"warning: tags.json has tags of {what} not in images/{split}: {named(missing)}"]


def named(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many there are beside them.

    >>> named(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
