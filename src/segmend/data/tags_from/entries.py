"""What a reader of tags finds: tags by the names of images as they stand in its source."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from segmend.data.description import named
from segmend.data.tags_from.names import ClassNames, is_background


class Entries:
    """Tags of images, and what was found on the way.

    Attributes:
        names: what the classes are called.
        tags: the scores of classes by the image's name in the source; an image that the source lists without a
            class has none.
        findings: what was found and assumed, in sentences.
        skipped: files that could not be used, and why.
        unknown: how often each name occurred that is no class.
        read_as: for each class, how often names other than its own stood for it.
    """

    def __init__(self, names: ClassNames) -> None:
        self.names = names
        self.tags: dict[str, dict[str, float]] = {}
        self.findings: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.unknown: Counter[str] = Counter()
        self.read_as: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def list_image(self, image: str) -> dict[str, float]:
        """The tags of an image, which from now on has an entry."""
        return self.tags.setdefault(image, {})

    def add(self, image: str, class_name: str, score: float = 1.0) -> None:
        """Give an image a class; the highest of several scores counts, and 0 means that it is absent."""
        tags = self.list_image(image)
        if score > 0 and not is_background(class_name):
            tags[class_name] = max(score, tags.get(class_name, 0.0))

    def add_named(self, image: str, name: str, score: float = 1.0) -> bool:
        """Give an image the class that a name stands for; False where it stands for none, which is counted."""
        found = self.names.find(name)
        if found is None:
            self.list_image(image)
            self.unknown[name] += 1
            return False
        self.note(name, found)
        self.add(image, found, score)
        return True

    def note(self, name: str, class_name: str) -> None:
        """Count a name that stands for a class and is not its own."""
        if not self.names.is_exact(name, class_name):
            self.read_as[class_name][name] += 1

    def note_missing(self, given: Iterable[str], what: str) -> None:
        """Say which classes no column or category of a source stands for: they are absent from all its images."""
        there = {self.names.find(name) for name in given}
        missing = [name for name in self.names.classes.names if name not in there and not is_background(name)]
        if there and missing:
            self.findings.append(f"no {what} for {named(missing, 6)}: taken as absent from these images")

    def all_findings(self) -> list[str]:
        """The findings, and how names were read."""
        found = list(self.findings)
        if self.read_as:
            found.append(f"read as classes: {'; '.join(_readings(self.names, self.read_as))}")
        if self.unknown:
            what = (
                "1 name that is no class"
                if len(self.unknown) == 1
                else f"{len(self.unknown)} names that are no class"
            )
            found.append(f"{what}, left out: {named(counted(self.unknown), 10)}")
        return found


def _readings(names: ClassNames, read_as: Mapping[str, Counter[str]]) -> list[str]:
    order = [name for name in names.classes.names if name in read_as]
    return [f"{named(counted(read_as[name]), 6)} as {name}" for name in order]


def counted(counts: Counter[str]) -> list[str]:
    """Names with how often they occurred, the most frequent first.

    >>> counted(Counter({"man": 2, "boy": 5}))
    ['boy (5)', 'man (2)']
    """
    return [f"{name} ({count})" for name, count in counts.most_common()]


def counted_images(count: int) -> str:
    """A number of images, in words."""
    return "1 image" if count == 1 else f"{count} images"
