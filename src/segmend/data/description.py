"""What a data set says of itself in its ``dataset.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from segmend.data.files import InvalidFile, atomic_write
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


def named(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many there are beside them.

    >>> named(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
