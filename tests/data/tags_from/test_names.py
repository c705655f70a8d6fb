"""Names of classes are found however people write them, and words that only look like one are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from segmend.data.files import InvalidFile
from segmend.data.tags_from.names import ClassNames, forms, key, read_synonyms
from segmend.data.tags_from.synonyms import LOOKALIKES, SYNONYMS
from segmend.labels import Classes

VOC = Classes(
    (
        *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
        "tvmonitor",
    )
)


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        *(("dog", "dogs"), ("bus", "buses"), ("bus", "busses"), ("box", "boxes"), ("couch", "couches")),
        *(
            ("puppy", "puppies"),
            ("toy", "toys"),
            ("potato", "potatoes"),
            ("zoo", "zoos"),
            ("wine glass", "wine glasses"),
        ),
        *(("person", "people"), ("person", "persons"), ("woman", "women"), ("policeman", "policemen")),
        *(("child", "children"), ("mouse", "mice"), ("goose", "geese"), ("sheep", "sheep"), ("ox", "oxen")),
        *(("knife", "knives"), ("bookshelf", "bookshelves"), ("calf", "calves"), ("human", "humans")),
        *(("dining table", "dining tables"), ("ski", "skis"), ("tv", "TVs"), ("horse", "horses")),
    ],
)
def test_singular_and_plural_find_each_other(singular: str, plural: str) -> None:
    assert key(plural) in forms(singular)
    assert key(singular) in forms(plural)


@pytest.mark.parametrize("name", ["bus", "glass", "tennis", "glasses", "shorts"])
def test_what_only_ends_in_s_has_no_singular(name: str) -> None:
    assert not {name[:-1], name[:-2]} & set(forms(name))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *(("dog", "dog"), ("Dogs", "dog"), ("dining table", "diningtable"), ("Dining_Tables", "diningtable")),
        *(("potted-plant", "pottedplant"), ("airplane", "aeroplane"), ("TV", "tvmonitor"), ("couch", "sofa")),
        *(("women", "person"), ("motorcycle", "motorbike"), ("Background", "background"), ("truck", None)),
        *(("hot dog", None), ("dog, cat", None), ("bird;dog", None), ("", None), ("coffee table", None)),
    ],
)
def test_names_stand_for_classes(name: str, found: str | None) -> None:
    assert ClassNames(VOC).find(name) == found


def test_a_class_of_its_own_takes_precedence() -> None:
    names = ClassNames(Classes(("person", "rider", "hot dog", "dog", "table", "wine glass", "glasses")))
    assert names.find("riders") == "rider"
    assert names.find("hot dogs") == "hot dog"
    assert names.find("glasses") == "glasses"
    assert names.find("coffee table") is None  # not looked for by a whole name, but no lookalike either
    assert "coffeetable" not in names.words


def test_synonyms_need_their_class() -> None:
    names = ClassNames(Classes(("sheep", "cat")))
    assert names.find("puppy") is None
    assert "puppy" not in names.words
    assert names.words["sheepdog"] is None


def test_no_word_stands_for_two_classes() -> None:
    owners: dict[str, str] = {}
    for group, words in SYNONYMS.items():
        for word in (*group.split(", "), *filter(None, words.split(", "))):
            assert owners.setdefault(key(word), group) == group, word
    looks = [word for words in LOOKALIKES.values() for word in words.split(", ")]
    assert not {key(word) for word in looks} & set(owners)
    assert all(" " in word for word in looks)


def test_synonyms_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.yaml"
    path.write_text("dog: [doggo, n02084071]\ncow: moo cow, cowie\ncat: [jaguar]\n", encoding="utf-8-sig")
    synonyms = read_synonyms(path, VOC)
    assert synonyms == {"dog": ["doggo", "n02084071"], "cow": ["moo cow", "cowie"], "cat": ["jaguar"]}
    names = ClassNames(VOC, synonyms)
    assert [names.find(name) for name in ("Doggos", "N02084071", "moo-cow", "puppy")] == [
        "dog",
        "dog",
        "cow",
        "dog",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog: [a", "not readable as YAML"),
        ("- dog", "expected lines `class: word, word`"),
        ("dgo: [hound]", r"'dgo' is no class; did you mean 'dog'\?"),
        ("dog: [no]", "put them in quotes"),
        ("dog: {a: b}", "dog: expected a list of words"),
        ("dog: [cat]", "dog: the word 'cat' stands for cat already"),
        ("dog: [pet]\ncat: [pet]", "cat: the word 'pet' stands for dog already"),
    ],
)
def test_synonyms_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "words.yaml").write_text(text)
    with pytest.raises(InvalidFile, match=message):
        read_synonyms(tmp_path / "words.yaml", VOC)
