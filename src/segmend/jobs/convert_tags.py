"""What `segmend tags convert` does: tags of another format become those of a split in ``tags.json``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile, check_writable_file
from segmend.data.tags import read_tags, write_tags
from segmend.data.tags_from import read_tags_from
from segmend.data.tags_from.names import read_synonyms

PRESENT = 0.5
"""Score above which a class is counted as one of an image."""


@dataclass(frozen=True)
class TagConversion:
    """The outcome of a conversion of tags.

    Attributes:
        out: the file.
        written: images whose tags were written.
        kept: images that have an entry, and kept the tags that they had.
        per_class: for each class, in how many of the written images it is, with a score above `PRESENT`.
        empty: written images without a class.
        scored: whether some of their classes have a score below 1.
        skipped: files of the source and images that could not be used, and why.
        findings: what was found and assumed, in sentences.
    """

    out: Path
    written: int
    kept: int
    per_class: dict[str, int]
    empty: int
    scored: bool
    skipped: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]


def convert_tags(
    source: Path | str,
    root: Path | str,
    split: str,
    *,
    kind: str | None = None,
    synonyms: Path | str | None = None,
    out: Path | str | None = None,
    overwrite: bool = False,
) -> TagConversion:
    """Write tags of another format as those of a split; other splits and images that the file holds are kept.

    Args:
        source: file or folder of tags (see `segmend.data.tags_from`).
        root: folder of the data set.
        split: whose images they are.
        kind: a key of `KINDS` (None: as the source looks).
        synonyms: a YAML file of further words for classes (see `read_synonyms`).
        out: the file to write (None: ``tags.json`` of the data set).
        overwrite: replace the tags that an image has in that file.

    Raises:
        InvalidInput: no data set with classes, or a source that cannot be used; nothing is written.
    """
    source, root = Path(source), Path(root)
    out = root / "tags.json" if out is None else Path(out)
    if not (root / "dataset.yaml").is_file():
        raise InvalidFile(root, "expected a data set with a dataset.yaml that names its classes")
    check_writable_file(out)
    dataset = open_dataset(root, split)
    words = None if synonyms is None else read_synonyms(Path(synonyms), dataset.classes)
    content = read_tags(out, dataset.classes, missing_ok=True)
    found = read_tags_from(source, dataset, kind, words)
    before = content.get(split, {})
    new = {identity: tags for identity, tags in found.tags.items() if overwrite or identity not in before}
    if new:
        write_tags(out, {**content, split: {**before, **new}})
    present = [[name for name, score in tags.items() if score > PRESENT] for tags in new.values()]
    counts = Counter(name for names in present for name in names)
    return TagConversion(
        out=out,
        written=len(new),
        kept=len(found.tags) - len(new),
        per_class={name: counts[name] for name in dataset.classes.names if counts[name]},
        empty=sum(not names for names in present),
        scored=any(score < 1 for tags in new.values() for score in tags.values()),
        skipped=found.skipped,
        findings=found.findings,
    )
