"""The same tags come out of every kind of source; what cannot be read says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmend.data.dataset import Dataset, open_dataset
from segmend.data.description import write_description
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.tags_from import KINDS, TagsFound, read_tags_from
from segmend.labels import Classes, InvalidInput

CLASSES = Classes(("background", "dog", "cat", "diningtable", "person"))
TAGS = {"a": {"dog": 1.0, "diningtable": 1.0}, "b": {"cat": 1.0, "person": 1.0}, "c": {}}
"""What the sources below say of images a to c; d is in none of them."""


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Images a to d of a split."""
    root = tmp_path / "data"
    for name in "abcd":
        write_image(root / "images" / "weak" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    write_description(root, "data", CLASSES)
    return open_dataset(root, "weak")


def coco(scored: bool = False) -> dict[str, Any]:
    """Instances of COCO with the tags above."""
    pairs = [("a", 1), ("a", 7), ("a", 1), ("b", 2), ("b", 3), ("c", 9)]
    annotations = [{"image_id": "abc".index(i), "category_id": n, "bbox": [0, 0, 1, 1]} for i, n in pairs]
    for number, annotation in enumerate(annotations if scored else []):
        annotation["score"] = (0.5, 0.6, 0.9, 0.7, 0.8, 1)[number]
    return {
        "images": [{"id": n, "file_name": f"{name}.jpg"} for n, name in enumerate("abc")],
        "categories": [
            {"id": n, "name": name}
            for n, name in {1: "dog", 2: "cat", 3: "Person", 7: "dining table", 9: "truck"}.items()
        ],
        "annotations": annotations,
    }


CAPTIONS = {
    "a": ["A puppy under a table", "no cat here"],
    "b": ["A kitten and a woman.", "someone without a dog"],
    "c": ["A hot dog in the grass"],
}
LISTED = [(name, text) for name, texts in CAPTIONS.items() for text in texts]

TABLES = {
    "long": "image,tag\na.png,dog\na.png,diningtable\nb.png,cat\nb.png,person\nc.png,\n",
    "long without header": "a\tdog\na\tdiningtable\nb\tcat\nb\tperson\nc\t\n",
    "semicolons in a cell": "a,dog;diningtable\nb,cat;person\nc,\n",
    "bars in a cell": "file,labels\na,dog|diningtable\nb,cat|person\nc,\n",
    "commas in a quoted cell": 'file,labels\na,"dog, dining table"\nb,"cat,person"\nc,\n',
    "spaces in a quoted cell": "name;tags\na;dog diningtable\nb;cat person\nc;\n",
    "lists of Python": "id,tags\na,\"['dog', 'dining table']\"\nb,\"['cat', 'person']\"\nc,[]\n",
    "further cells": "a,dog,diningtable\nb,cat,person\nc\n",
    "columns of tags": "image,label1,label2\na,dog,diningtable\nb,cat,person\nc,,\n",
    "a column for each class": "image,dog,cat,dining table,person\na,1,0,1,0\nb,0,1,0,1\nc,0,0,0,0\n",
    "words for 0 and 1": "image;dog;cat;diningtable;person\na;x;;x;\nb;no;yes;false;true\nc;;;;\n",
    "as pandas writes it": ",dog,cat,diningtable,person\na,1.0,0.0,1.0,0.0\nb,0,1,0,1\nc,0,0,0,0\n",
    "other names and columns": "Width,Filename,Category\n1,a,Dogs\n1,a,dining_table\n1,b,CAT\n1,b,woman\n1,c,\n",
    "spaces alone": "a dog diningtable\nb cat person\nc\n",
    "a background": "a,dog;diningtable\nb,cat;person\nc,background\n",
}


def read(dataset: Dataset, path: Path, content: str | bytes | object, kind: str | None = None) -> TagsFound:
    """Write a file and read its tags."""
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_tags_from(path, dataset, kind)


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_tables(dataset: Dataset, tmp_path: Path, content: str) -> None:
    found = read(dataset, tmp_path / "tags.csv", content)
    assert found.tags == TAGS
    assert found.findings[0] == "tags.csv: read as a table of tags (--from reads it as another kind)"
    assert found.findings[-1] == "1 image of the split has no entry: d"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(dataset: Dataset, tmp_path: Path, encoding: str) -> None:
    content = TABLES["other names and columns"].replace("Width", "Breite (größte)")
    found = read(dataset, tmp_path / "tags.csv", content.encode(encoding))
    assert found.tags == TAGS
    assert any("read as Windows-1252" in finding for finding in found.findings) == (encoding == "cp1252")


@pytest.mark.parametrize(
    "content",
    [
        "image,tag,score\na,dog,0.5\na,dog,0.75\na,cat,0\nb,cat,1\n",
        "a\tdog\t0.5\na\tdog\t0.75\na\tcat\t0\nb\tcat\t1\n",
        "image;dog;cat\na;0,75;0\nb;0;1,0\n",
        "image,dog,cat\na,0.75,0\nb,0.0,1.0\n",
    ],
)
def test_scores_of_tables(dataset: Dataset, tmp_path: Path, content: str) -> None:
    assert read(dataset, tmp_path / "tags.csv", content).tags == {"a": {"dog": 0.75}, "b": {"cat": 1.0}}


CAPTIONED = {
    "COCO": {
        "images": [{"id": n, "file_name": f"{name}.jpg"} for n, name in enumerate("abcd")],
        "annotations": [{"id": n, "image_id": "abc".index(i), "caption": t} for n, (i, t) in enumerate(LISTED)],
    },
    "a dictionary": CAPTIONS,
    "a list": [{"file_name": f"{name}.jpg", "caption": text} for name, text in LISTED],
    "sentences": {
        "images": [{"filename": f"{i}.jpg", "sentences": [{"raw": t} for t in CAPTIONS[i]]} for i in "abc"]
    },
    "JSON lines": "\n".join(json.dumps({"image": name, "text": text}) for name, text in LISTED),
    "CSV": "image,caption\n" + "".join(f'{name}.jpg,"{text}"\n' for name, text in LISTED),
    "CSV without header": "".join(f"{name}.jpg,{text}\n" for name, text in LISTED),
    "Flickr30k": "".join(f"{name}.jpg#{n}\t{text}\n" for n, (name, text) in enumerate(LISTED)),
}


@pytest.mark.parametrize("content", CAPTIONED.values(), ids=CAPTIONED)
def test_captions(dataset: Dataset, tmp_path: Path, content: object) -> None:
    found = read(dataset, tmp_path / "captions.txt", content)
    assert found.tags == TAGS
    assert found.findings[0] == "captions.txt: read as captions (--from reads it as another kind)"
    assert "5 captions of 3 images" in found.findings
    assert "mentioned as absent: cat (1), dog (1)" in found.findings
    assert "phrases that only look like a class: hot dog (1)" in found.findings


def test_captions_in_a_folder(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "captions"
    folder.mkdir()
    for name, texts in CAPTIONS.items():
        (folder / f"{name}.txt").write_text("\n".join(texts))
    (folder / "d.txt").write_bytes(b"\0")
    found = read_tags_from(folder, dataset)
    assert found.tags == TAGS
    assert found.skipped == ((str(folder / "d.txt"), "not a text file: expected CSV, JSON or lines of text"),)


def test_an_empty_caption_says_nothing(dataset: Dataset, tmp_path: Path) -> None:
    assert read(dataset, tmp_path / "c.json", {"a": "a dog", "b": " "}).tags == {"a": {"dog": 1.0}}


def test_names_instead_of_captions_are_listed(dataset: Dataset, tmp_path: Path) -> None:
    found = read(dataset, tmp_path / "c.json", {"a": ["dog", "caat"]})
    assert found.tags == {"a": {"dog": 1.0}}
    assert any("no class" in finding and "caat" in finding for finding in found.findings)


def test_coco(dataset: Dataset, tmp_path: Path) -> None:
    found = read(dataset, tmp_path / "instances.json", coco())
    assert found.tags == TAGS
    assert any("no class" in finding and "truck (1)" in finding for finding in found.findings)
    scored = read(dataset, tmp_path / "results.json", coco(scored=True))
    assert scored.tags == {"a": {"dog": 0.9, "diningtable": 0.6}, "b": {"cat": 0.7, "person": 0.8}, "c": {}}


def test_categories_without_a_class_and_classes_without_a_category(dataset: Dataset, tmp_path: Path) -> None:
    content = coco()
    content["categories"] = [one for one in content["categories"] if one["name"] != "cat"]
    content["annotations"] = [one for one in content["annotations"] if one["category_id"] != 2]
    found = read(dataset, tmp_path / "instances.json", content)
    assert "no category for cat: taken as absent from these images" in found.findings


@pytest.mark.parametrize("names", ["data.yaml", "../data.yaml", "classes.txt"])
def test_yolo(dataset: Dataset, tmp_path: Path, names: str) -> None:
    folder = tmp_path / "yolo" / "labels"
    folder.mkdir(parents=True)
    known = ["dog", "cat", "person", "dining table"]
    text = "\n".join(known) if names.endswith(".txt") else json.dumps({"names": dict(enumerate(known)), "nc": 4})
    (folder / names).write_text(text)
    (folder / "a.txt").write_text("0 .5 .5 .2 .2\n3 .1 .1 .2 .1 .2 .3\n")  # a box and an outline
    (folder / "b.txt").write_text("1 .5 .5 .2 .2 .75\n1 .5 .5 .1 .1 .25\n2 .5 .5 .2 .2 1\n")
    (folder / "c.txt").write_text("")
    (folder / "d.txt").write_text("9 .5 .5 .2 .2\n")
    found = read_tags_from(folder, dataset)
    assert found.tags == {**TAGS, "b": {"cat": 0.75, "person": 1.0}}
    assert found.skipped == ((str(folder / "d.txt"), "line 1: class 9 has no name, there are 4"),)


def test_folders(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("dogs/a", "train/Dining Table/a", "cat/winter/b", "person/b", "giraffe/c", "e"):
        write_image(tmp_path / "classes" / f"{name}.jpg", np.zeros((4, 4, 3), np.uint8))
    found = read_tags_from(tmp_path / "classes", dataset)
    assert found.tags == TAGS
    assert "1 image in no folder of a class: left out" in found.findings


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", r"the file is empty \(0 bytes\)"),
        ("t.csv", "\n \n", "no line with content"),
        ("t.csv", "image,tag\n", "no line below the header"),
        ("t.csv", "a\nb\n", "no tags in it: expected an image and its tags, found 'a'"),
        ("t.csv", "image,tag\na,dgo\nb,caat\n", r"line 2: the tag 'dgo' is no class; did you mean 'dog'\? Also"),
        ("t.csv", "image,dog,caat\na,1,0\n", r"the column 'caat' is no class; did you mean 'cat'\?"),
        ("t.csv", "image,dog,zebu\na,1,0\n", r"the column .zebu. is no class; classes are .*person\. Correct"),
        ("t.csv", "image,dog,cat\na,-1,0\n", r"line 2: expected a score of dog in 0..1, found '-1'"),
        ("t.csv", "image,tag,score\na,dog,90\n", "found '90': divide by 100"),
        ("t.csv", "image,tag\n,dog\n", "line 2: no image"),
        ("t.csv", "x.jpg,dog\n", "entries are called like 'x.jpg', images like 'a'"),
        ("t.csv", b"\x89PNG\0\0", "not a text file"),
        ("t.zip", b"PK", "an archive"),
        ("t.json", '{"a": ', "not readable as JSON"),
        ("t.json", '{"a": 1}\n{"b": \n', "line 2: not readable as JSON"),
        ("t.json", {"weak": {"a": ["dog"]}}, "looks like a tags.json already"),
        ("t.json", [1, 2], "expected captions or COCO detections"),
        ("t.json", [{"image": "a", "caption": "dog"}, {"image": "b"}], "entry 2: no caption"),
        ("t.json", [{"image_id": "a", "category_id": 1}], "detections with `category_id` 1 and no `categories`"),
        ("t.json", {**coco(), "categories": [{"id": 1, "name": "dog"}]}, "annotation 2: no category has the id 7"),
        ("t.json", {**coco(), "images": 1}, "`images`: expected a list, found 1"),
        ("t.json", {**coco(), "annotations": [{"image_id": 0, "category_id": {}}]}, "no category has the id {}"),
        ("t.json", {**coco(True), "images": []}, "entries are called like '0', images like 'a'"),
        ("t.json", {"categories": [{"id": 1, "name": "elk"}], "annotations": [{"image_id": 0, "category_id": 1}]},
         r"none of its names is a class: found elk \(1\)"),
        ("t.yaml", "nc: 3", "expected a YAML file with `names`|expected detections"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(dataset: Dataset, tmp_path: Path, name: str, content: object, message: str) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(InvalidFile, match=message):
        read(dataset, tmp_path / "source" / name, content)


def test_folders_that_cannot_be_read(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    with pytest.raises(InvalidFile, match="no such file or folder"):
        read_tags_from(folder, dataset)
    folder.mkdir()
    with pytest.raises(InvalidFile, match="found no files"):
        read_tags_from(folder, dataset)
    (folder / "a.txt").write_text("0 0 0 0 0\n")
    with pytest.raises(InvalidFile, match=r"no names of the categories: expected a data\.yaml"):
        read_tags_from(folder, dataset)
    with pytest.raises(InvalidFile, match="a folder, expected a file"):
        read_tags_from(folder, dataset, "csv")


def test_a_kind_may_be_said(dataset: Dataset, tmp_path: Path) -> None:
    content = "a,dog\nb,cat person\n"
    assert read(dataset, tmp_path / "t.csv", content, "captions").tags["b"] == {"cat": 1.0, "person": 1.0}
    with pytest.raises(InvalidInput, match=r"--from cvs: expected csv, .* \(did you mean csv\?\)"):
        read(dataset, tmp_path / "t.csv", content, "cvs")
    with pytest.raises(InvalidFile, match="JSON, expected a table"):
        read(dataset, tmp_path / "t.json", coco(), "csv")
    assert list(KINDS) == ["csv", "captions", "coco", "yolo", "folders"]
