"""Palettes in text files: the name and the colour of each class."""

from __future__ import annotations

import re
from pathlib import Path

from segmend.data.description import describe
from segmend.data.files import InvalidFile
from segmend.data.masks import Colour
from segmend.labels import VOID, Classes, InvalidInput

VOID_NAMES = frozenset({"void", "ignored", "ignore", "unlabelled", "unlabeled"})
"""Names that mean void (in lower case)."""

_NAME_FIRST = re.compile(r"(?P<name>.*?[^,:;\s])[,:;\s]+(\d+)[,;\s]+(\d+)[,;\s]+(\d+)\s*(?::.*)?$")
_COLOUR_FIRST = re.compile(r"(\d+)[,;\s]+(\d+)[,;\s]+(\d+)[,:;\s]+(?P<name>.+?)\s*$")


def read_palette(path: Path | str) -> tuple[Classes, tuple[tuple[Colour, int], ...]]:
    """The classes that a palette names, and the id of each colour.

    A palette is a text file with lines ``name: r,g,b`` or ``r g b name``, such as VOC's ``labelmap.txt`` and
    CamVid's ``label_colors.txt``, or the ``dataset.yaml`` of a data set. Names such as ``void`` and ``ignored``
    mean void.

    Raises:
        InvalidFile: unreadable, a line of another form, or a colour that stands twice.
    """
    path = Path(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        described = describe(path.parent)
        named = list(zip(described.classes.names, described.classes.palette, strict=True))
    else:
        named = _read_lines(path)
    try:
        kept = [(name, colour) for name, colour in named if name.lower() not in VOID_NAMES]
        classes = Classes(tuple(name for name, _ in kept), tuple(colour for _, colour in kept))
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
    ids = {colour: i for i, colour in enumerate(classes.palette)}
    if len(ids) < len(classes):
        raise InvalidFile(path, "two classes have one colour: masks cannot be read by it")
    for name, colour in named:
        if name.lower() in VOID_NAMES:
            ids.setdefault(colour, VOID)
    return classes, tuple(ids.items())


def _read_lines(path: Path) -> list[tuple[str, Colour]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidFile(path, "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"not readable as text ({error})") from None
    named = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _NAME_FIRST.match(line) or _COLOUR_FIRST.match(line)
        colour = tuple(int(v) for v in match.groups() if v.isdigit())[-3:] if match else ()
        if match and match.re is _COLOUR_FIRST:
            colour = tuple(int(v) for v in match.groups()[:3])
        if match is None or len(colour) != 3 or max(colour) > 255:
            raise InvalidFile(path, f"line {number}: expected `name: r,g,b`, found {line!r}")
        named.append((match["name"].strip(), (colour[0], colour[1], colour[2])))
    if not named:
        raise InvalidFile(path, "expected lines `name: r,g,b`, found none")
    return named
