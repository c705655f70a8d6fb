"""Which image of a split an entry belongs to."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from segmend.data.description import named
from segmend.data.images import IMAGE_SUFFIXES
from segmend.data.tags_from.entries import counted_images


class Match(NamedTuple):
    """Tags by ID.

    Attributes:
        tags: of the images that have an entry.
        findings: what was assumed, which entries have no image, and which images no entry.
        skipped: images that several entries fit, and these.
    """

    tags: dict[str, dict[str, float]]
    findings: list[str]
    skipped: list[tuple[str, str]]


def match_images(tags: Mapping[str, Mapping[str, float]], ids: Collection[str]) -> Match:
    """Give each entry to the image with its name.

    A name is compared with the IDs as it is and without a suffix; then without the folders of one side, with
    letters of another case, and as a number (139 and 000000000139), each where only one image fits. The entries of
    an image are joined where they have one name up to suffix and case. Where their folders differ, none is used.
    """
    levels = _levels(ids)
    entries: defaultdict[str, dict[str, int]] = defaultdict(dict)
    strangers = []
    for name in tags:
        clean = _clean(name)
        found = next(((i, n) for n, level in enumerate(levels) if (i := level.image(clean)) is not None), None)
        if found is None:
            strangers.append(name)
        else:
            entries[found[0]][name] = found[1]
    matched: dict[str, dict[str, float]] = {}
    used: Counter[str] = Counter()
    joined, doubtful = [], []
    for identity in ids:
        if identity not in entries:
            continue
        level_of = entries[identity]
        best = min(level_of.values())
        forms = {_form(name) for name, level in level_of.items() if level == best}
        if len(forms) > 1:
            doubtful.append((identity, f"several entries fit: {named(list(level_of))}"))
            continue
        names = [name for name in level_of if _form(name) in forms]
        strangers += [name for name in level_of if name not in names]
        used[levels[best].what] += 1
        joined += [identity] if len(names) > 1 else []
        matched[identity] = _joined(tags[name] for name in names)
    findings = [f"{counted_images(count)} found {what}" for what, count in used.items() if what]
    if joined:
        findings.append(f"several entries of {counted_images(len(joined))} are joined: {named(joined)}")
    if strangers:
        what = "1 entry belongs" if len(strangers) == 1 else f"{len(strangers)} entries belong"
        findings.append(f"{what} to no image of the split: {named(strangers)}")
    missing = [identity for identity in ids if identity not in entries]
    if missing and matched:
        have = "has no entry" if len(missing) == 1 else "have no entry"
        findings.append(f"{counted_images(len(missing))} of the split {have}: {named(missing)}")
    return Match(matched, findings, doubtful)


class _Level(NamedTuple):
    """A way to compare names.

    Attributes:
        what: the way in words; empty for the usual ones.
        image: the ID of the only image that a name fits.
    """

    what: str
    image: Callable[[str], str | None]


def _levels(ids: Iterable[str]) -> list[_Level]:
    """Ways to compare, the strictest first."""
    clean = {_clean(identity): identity for identity in ids}
    numbers = _unique((str(int(number)), i) for i in ids if (number := PurePosixPath(i).name).isdecimal())
    folded = _by_tails((name.casefold(), identity) for name, identity in clean.items())
    return [
        _Level("", clean.get),
        _Level("", lambda name: clean.get(_without_suffix(name))),
        _Level("without the folders in names", _by_tails(clean.items())),
        _Level("by names in another case", lambda name: folded(name.casefold())),
        _Level("by their number", lambda name: numbers.get(str(int(name))) if name.isdecimal() else None),
    ]


def _by_tails(ids: Iterable[tuple[str, str]]) -> Callable[[str], str | None]:
    """Compares names with the folders of one side left out: ``train/a/1`` and ``a/1``."""
    ids = list(ids)
    whole, ends = _unique(ids), _unique((tail, i) for name, i in ids for tail in _tails(name))

    def image(name: str) -> str | None:
        tails = _tails(_without_suffix(name))
        found = (*(whole.get(tail) for tail in tails), ends.get(tails[0]))
        return next((identity for identity in found if identity is not None), None)

    return image


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A dictionary of pairs, without the keys that stand for several values."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, value in pairs:
        found[name].add(value)
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def _tails(name: str) -> list[str]:
    """A path with ever fewer of its folders, itself first."""
    parts = PurePosixPath(name).parts
    return ["/".join(parts[start:]) for start in range(len(parts))] or [name]


def _form(name: str) -> str:
    return _without_suffix(_clean(name)).casefold()


def _clean(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip()).replace("\\", "/").removeprefix("./")


def _without_suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name


def _joined(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for tags in several:
        for name, score in tags.items():
            found[name] = max(score, found.get(name, 0.0))
    return found
