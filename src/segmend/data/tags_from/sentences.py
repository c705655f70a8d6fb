"""Classes that a sentence mentions, and those that it denies."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from segmend.data.tags_from.names import ClassNames, key

LONGEST = 5
"""Words that a name may have."""

LIST = 3
"""Words between two commas up to which they are taken as a part of a list."""


class Mention(NamedTuple):
    """Words of a sentence that stand for a class.

    Attributes:
        words: as written, in lower case.
        class_name: the class; None for words that only look like one.
        denied: whether the sentence says that it is not there.
    """

    words: str
    class_name: str | None
    denied: bool


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOKENS = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[.!?;:()\n,\u2013\u2014]|--|(?<=\s)-(?=\s)")
ARTICLES = _words("a an the")
DETERMINERS = ARTICLES | _words(
    "any some one two three four five six seven eight nine ten several many his her its their my our your this "
    "that these those another of more single visible other"
)
DENYING = _words(
    "no without neither nor nobody none nothing never lack lacks lacking devoid absence isnt arent wasnt werent "
    "doesnt dont didnt hasnt havent"
)
NOT = _words("not cannot")
NO_DENIAL = _words("only just merely simply")
"""Behind `not`: what follows is there (not only a dog)."""
ENDING = _words(
    "but yet however while whereas though although because except besides just only instead rather "
    "is are was were has have who which where when as "
    "on in at by near next beside behind under below above over with from to for into onto inside outside between "
    "across against through along around among atop towards toward during before after beneath"
)
"""Words that begin another part of a sentence, to which a denial does not reach."""


def mentions(sentence: str, names: ClassNames) -> list[Mention]:
    """The classes in a sentence.

    Whole words count, the longest name first. A denial (no, without, isn't, ...) reaches over lists, up to a
    preposition, a verb, or the end of the clause: what stands behind those is there.

    Example:
        >>> from segmend.labels import Classes
        >>> names = ClassNames(Classes(("cat", "dog", "chair")))
        >>> [m.class_name for m in mentions("No dogs or cats on the chairs.", names) if not m.denied]
        ['chair']
    """
    tokens = _tokens(sentence)
    found = []
    denial = _Denial()
    at = 0
    while at < len(tokens):
        count, words = _longest(tokens, at, names)
        if count:
            found.append(Mention(words, names.words[key(words)], denial.holds))
            denial.named = True
            at += count
            continue
        denial.read(tokens, at)
        at += 1
    return found


class _Denial:
    """Whether what follows in a sentence is denied, as its words are read from the left."""

    def __init__(self) -> None:
        self.holds = self.named = self._not = False

    def read(self, tokens: Sequence[str], at: int) -> None:
        token = tokens[at]
        if token in DENYING or token in NOT or token.endswith("n't"):
            following = tokens[at + 1] if at + 1 < len(tokens) else ""
            self._not = token not in DENYING
            self.holds = not (self._not and following in NO_DENIAL)
            self.named = token == "nobody"
        elif self.holds:
            self.holds = not self._ends(tokens, at)
            self.named |= token.isalpha() and token not in DETERMINERS and token != "and"

    def _ends(self, tokens: Sequence[str], at: int) -> bool:
        token = tokens[at]
        if token == ",":
            return not _is_list(tokens[at + 1 :])
        if token == "and":
            return at + 1 < len(tokens) and tokens[at + 1] in DETERMINERS
        if token in ("have", "has") and self._not and not self.named:  # doesn't have a dog
            return False
        if token.endswith("ing") and (self.named or self._not):  # no shirt riding a horse; not looking at the cat
            return True
        return token in ENDING or not token[0].isalnum()


def _is_list(tokens: Sequence[str]) -> bool:
    """Whether a comma stands within a list that is denied: short parts follow, and then ``or``."""
    length = 0
    for token in tokens:
        if token in ("or", "nor"):
            return True
        length = 0 if token == "," else length + 1
        if length > LIST or token in ENDING or (token != "," and not token[0].isalnum()):
            return False
    return False


def _tokens(sentence: str) -> list[str]:
    """Words in lower case, without a possessive s, and signs that end a clause."""
    text = unicodedata.normalize("NFKC", sentence).casefold().replace("\u2019", "'")
    return [token.removesuffix("'s") for token in TOKENS.findall(text)]


def _longest(tokens: Sequence[str], at: int, names: ClassNames) -> tuple[int, str]:
    """The longest known name that begins here: how many words it has, and these; (0, "") if there is none."""
    for count in range(min(LONGEST, len(tokens) - at), 0, -1):
        words = tokens[at : at + count]
        if not all(word[0].isalnum() for word in words) or (count > 1 and words[0] in ARTICLES):
            continue
        if "".join(words) in names.words:
            return count, " ".join(words)
    return 0, ""
