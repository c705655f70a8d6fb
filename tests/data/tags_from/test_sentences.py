"""Captions say what is there, what is not, and what only sounds like it."""

from __future__ import annotations

import pytest

from segmend.data.tags_from.names import ClassNames
from segmend.data.tags_from.sentences import mentions
from segmend.labels import Classes

NAMES = ClassNames(
    Classes(
        (
            *("background", "aeroplane", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
            *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor", "bird"),
        )
    )
)


def present(sentence: str, names: ClassNames = NAMES) -> str:
    found = {m.class_name for m in mentions(sentence, names) if m.class_name and not m.denied}
    return " ".join(sorted(found))


@pytest.mark.parametrize(
    ("sentence", "classes"),
    [
        ("A man riding a wave on top of a surfboard.", "person"),
        ("Two women, three CATS and a puppy's toy", "cat dog person"),
        ("dining table, dining-table, dining_tables, diningtable", "diningtable"),
        ("a jumbo-jet beside potted plants", "aeroplane pottedplant"),
        ("a bus in the background", "bus"),
        ("Category, cattery, scar, carpet, dogma", ""),
        ("ein Hund", ""),
        ("", ""),
    ],
)
def test_whole_words_in_singular_and_plural(sentence: str, classes: str) -> None:
    assert present(sentence) == classes


@pytest.mark.parametrize(
    ("sentence", "classes"),
    [
        ("no dog", ""),
        ("without a dog", ""),
        ("there isn't a dog", ""),
        ("There isn\u2019t any dog", ""),
        ("not a dog", ""),
        ("The man doesn't have a dog.", "person"),
        ("no dogs or cats", ""),
        ("no dogs, cats, or birds", ""),
        ("neither horses nor sheep", ""),
        ("without any dogs and cats", ""),
        ("a field devoid of people", ""),
        ("no sign of a dog", ""),
        ("no dog but a cat", "cat"),
        ("There is no dog, a cat sits on a couch", "cat sofa"),
        ("A room without a dog. A chair stands there.", "chair"),
        ("No dogs on the sofa", "sofa"),
        ("a man with no shirt riding a horse", "horse person"),
        ("no dining table", ""),
        ("a dog without a leash and a cat", "cat dog"),
        ("There are no people in the street, only cars", "car"),
        ("The dog is not looking at the cat", "cat dog"),
        ("not only a dog but also a cat", "cat dog"),
        ("no dog here; the dog is outside", "dog"),
        ("nothing but sheep", "sheep"),
        ("a sheep not far from a cow", "cow sheep"),
    ],
)
def test_a_denial_reaches_to_the_end_of_its_clause(sentence: str, classes: str) -> None:
    assert present(sentence) == classes


@pytest.mark.parametrize(
    ("sentence", "classes"),
    [
        ("a hot dog on a table", "diningtable"),
        ("a sheep dog herding sheep", "dog sheep"),
        ("a sheepdog", "dog"),
        ("people at the bus stop near the car park", "person"),
        ("a train car on train tracks", "train"),
        ("cat food in a dog's bowl", ""),
        ("a sea horse, seahorses and a man on horseback", "horse person"),
        ("coffee table with wine bottles", "bottle"),
        ("a dirt bike", "motorbike"),
        ("a double-decker bus", "bus"),
        ("a wheelchair", ""),
        ("a teddy bear and a snowman", ""),
    ],
)
def test_the_longest_name_counts(sentence: str, classes: str) -> None:
    assert present(sentence) == classes


def test_an_article_is_no_part_of_a_name() -> None:
    names = ClassNames(Classes(("acorn", "traffic light")))
    assert present("a corn field", names) == ""
    assert present("a traffic-light, trafficlights", names) == "traffic light"


def test_single_words_agree_with_a_search_word_by_word() -> None:
    names = ClassNames(Classes(("dog", "cat", "bird", "tree")))
    words = ("dog", "cats", "on", "the", "tree", "birds", "hill", "dogged", "concat")
    for number in range(len(words) ** 3):
        sentence = [words[number // len(words) ** place % len(words)] for place in range(3)]
        wanted = {word.removesuffix("s") for word in sentence} & set(names.classes.names)
        assert present(" ".join(sentence), names) == " ".join(sorted(wanted))
