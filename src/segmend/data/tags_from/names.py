"""Names of classes as people write them: other cases and separators, plurals, synonyms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from segmend.data.files import InvalidFile
from segmend.data.tags import nearest
from segmend.data.tags_from.synonyms import LOOKALIKES, SYNONYMS
from segmend.labels import Classes

IRREGULAR = {
    "person": "people",
    "man": "men",
    "child": "children",
    "mouse": "mice",
    "goose": "geese",
    "foot": "feet",
    "tooth": "teeth",
    "ox": "oxen",
    "sheep": "sheep",
    "fish": "fish",
    "deer": "deer",
    "calf": "calves",
    "half": "halves",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "life": "lives",
    "wife": "wives",
    "wolf": "wolves",
    "shelf": "shelves",
    "scarf": "scarves",
    "hoof": "hooves",
    "bus": "busses",
    "ski": "skis",
}
"""Plurals that no rule gives, also of words that end in these (policeman, bookshelf)."""

PLURAL_ALONE = ("glasses", "shorts", "clothes", "jeans", "pants", "trousers", "scissors", "goggles")
"""Words whose singular means something else, or nothing."""


class ClassNames:
    """The classes of a data set under all the names that stand for them.

    A name of a class counts whatever its case, with a space, a hyphen, an underscore or nothing between its words,
    in singular and plural. Synonyms are those of a file, then those that come with segmend.

    Attributes:
        classes: the classes.
        words: for each known word in the form of `key`, the class; None for words that only look like one.

    Example:
        >>> names = ClassNames(Classes(("background", "diningtable", "person")))
        >>> names.find("Dining-Tables"), names.find("woman"), names.find("giraffe")
        ('diningtable', 'person', None)
    """

    def __init__(self, classes: Classes, synonyms: Mapping[str, Sequence[str]] | None = None) -> None:
        self.classes = classes
        self.words: dict[str, str | None] = {}
        foreground = [name for name in classes.names if not is_background(name)]
        for name in foreground:
            self.words.setdefault(key(name), name)
        for name, others in (synonyms or {}).items():
            self._add(others, name)
        for name in foreground:
            self._add([name], name)
        for owners, others in SYNONYMS.items():
            self._add_known([*owners.split(", "), *others.split(", ")], owners.split(", "))
        for owners, phrases in LOOKALIKES.items():
            if not owners or self._first(owners.split(", ")):
                self._add(phrases.split(", "), None)
        self.words.pop("", None)

    def find(self, name: str) -> str | None:
        """The class that a whole name stands for; None if there is none."""
        if name in self.classes.names:
            return name
        if re.search("[,;|]", name):  # several names
            return None
        found = self.words.get(key(name))
        return found or next((n for n in self.classes.names if is_background(n) and key(n) == key(name)), None)

    def is_exact(self, name: str, class_name: str) -> bool:
        """Whether a name is that of the class, up to case and separators."""
        return key(name) == key(class_name)

    def _add(self, phrases: Sequence[str], owner: str | None) -> None:
        for phrase in filter(None, phrases):
            for form in forms(phrase):
                self.words.setdefault(form, owner)

    def _add_known(self, phrases: Sequence[str], owners: Sequence[str]) -> None:
        """Add synonyms where their class is there; otherwise what has several words looks like another class."""
        owner = self._first(owners)
        self._add(phrases if owner else [phrase for phrase in phrases if " " in phrase], owner)

    def _first(self, names: Sequence[str]) -> str | None:
        """The class with the first of several names, up to case and separators; None if there is none."""
        by_key = {key(name): name for name in reversed(self.classes.names)}
        return next((by_key[key(name)] for name in names if key(name) in by_key), None)


def is_background(name: str) -> bool:
    """Whether a class is the background, which is in every image and is no tag."""
    return key(name) == "background"


@lru_cache(2**16)
def key(name: str) -> str:
    """A name without what does not distinguish it: case, separators, Unicode forms.

    >>> key("Traffic_light")
    'trafficlight'
    """
    return "".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).casefold()))


def forms(phrase: str) -> Iterator[str]:
    """The key of a phrase, and those of its plural and singular; forms that no one writes do no harm.

    >>> sorted(forms("fire truck"))
    ['firetruck', 'firetrucks']
    >>> "policewomen" in forms("policewoman"), "person" in forms("people"), "bus" in forms("buses")
    (True, True, True)
    """
    word = key(phrase)
    yield word
    yield from _plurals(word)
    if word not in PLURAL_ALONE:
        yield from _singulars(word)


def _plurals(word: str) -> Iterator[str]:
    for singular, plural in IRREGULAR.items():
        if word.endswith(singular):
            yield word.removesuffix(singular) + plural
    if re.search(r"(s|x|z|ch|sh|o)$", word):
        yield f"{word}es"
    if re.search(r"[^aeiou]y$", word):
        yield f"{word[:-1]}ies"
    elif not re.search(r"(s|x|z|ch|sh)$", word):
        yield f"{word}s"


def _singulars(word: str) -> Iterator[str]:
    for singular, plural in IRREGULAR.items():
        if word.endswith(plural):
            yield word.removesuffix(plural) + singular
    if re.search(r"[^aeiou]ies$", word):
        yield f"{word[:-3]}y"
    elif re.search(r"(s|x|z|ch|sh|o)es$", word):
        yield word[:-2]
    if re.search(r"[^sui]s$", word):
        yield word[:-1]


def read_synonyms(path: Path, classes: Classes) -> dict[str, list[str]]:
    """Synonyms of a YAML file with lines ``class: word, word`` or ``class: [word, word]``.

    Raises:
        InvalidFile: unreadable, a key that is no class, or a word that means another class too.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InvalidFile(path, "no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(path, f"not readable as YAML ({error})") from None
    if not isinstance(content, dict):
        raise InvalidFile(path, f"expected lines `class: word, word`, found {content!r:.60}")
    owner = {key(name): name for name in classes.names}
    found: dict[str, list[str]] = {}
    for name, words in content.items():
        if name not in classes.names:
            raise InvalidFile(path, f"{name!r} is no class{nearest(str(name), classes.names)}")
        words = words.split(",") if isinstance(words, str) else words
        if not isinstance(words, list) or not all(isinstance(word, str | int) for word in words):
            raise InvalidFile(path, f"{name}: expected a list of words, found {words!r:.60}")
        if any(isinstance(word, bool) for word in words):
            raise InvalidFile(
                path, f"{name}: YAML reads yes, no, on and off as true and false: put them in quotes"
            )
        found[name] = [str(word).strip() for word in words]
        for word in found[name]:
            other = owner.setdefault(key(word), name)
            if other != name:
                raise InvalidFile(path, f"{name}: the word {word!r} stands for {other} already: name it once")
    return found
