"""Data sets pair files by ID, read void as void, and say what is wrong with which file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from segmend.coding import Coding
from segmend.data.dataset import (
    Dataset,
    Record,
    dataset_above,
    open_dataset,
    open_masks,
    pair_labels,
    splits_of,
)
from segmend.data.files import InvalidFile, atomic_write
from segmend.data.images import write_image
from segmend.data.manifest import Entry, Source, append_entry
from segmend.data.maps import find_maps, read_map
from segmend.data.masks import read_labels, write_labels
from segmend.data.probabilities import write_probabilities
from segmend.labels import Classes, InvalidInput

NAMES = ("sky", "left eye", "right eye", "skin")
IDS = ("a", "b", "sequence 1/frame.0001", "sequence 1/frame.0002", "ünï/é à")


def label_map(seed: int, count: int = 4, dtype: type = np.uint8) -> np.ndarray:
    labels = np.random.default_rng(seed).integers(0, count, (6, 8)).astype(dtype)
    labels[0] = 255 if dtype is np.uint8 else 65535
    return labels


def write_set(root: Path, split: str = "train", ids: tuple[str, ...] = IDS, **description: object) -> Path:
    """A data set in our layout."""
    atomic_write(
        root / "dataset.yaml", yaml.safe_dump({"name": "faces", "classes": list(NAMES), **description}).encode()
    )
    for seed, name in enumerate(ids):
        write_image(root / "images" / split / f"{name}.png", np.full((6, 8, 3), seed, np.uint8))
        write_labels(root / "labels" / split / f"{name}.png", label_map(seed))
    return root


def one(folder: Path, labels: np.ndarray, classes: Classes, void: int) -> np.ndarray:
    """A label map, written, and read again in a data set of these classes."""
    write_labels(folder / "a.png", labels)
    record = Record("a", labels=folder / "a.png")
    return Dataset("one", classes, (record,), Coding.counted(len(classes), void)).labels(record)


# ---- layout ----


def test_layout_pairs_by_id(tmp_path: Path) -> None:
    write_set(tmp_path / "faces", palette=[[1, 2, 3]])
    write_set(tmp_path / "faces", split="val", ids=("c",), palette=[[1, 2, 3]])
    write_probabilities(tmp_path / "faces" / "probs" / "train" / "b.npz", np.full((4, 6, 8), 0.25))
    atomic_write(tmp_path / "faces" / "tags.json", b'{"train": {"a": ["sky", "skin"], "b": []}, "val": {}}')
    (tmp_path / "faces" / "labels" / "train" / "a.png").unlink()

    train = open_dataset(tmp_path / "faces", "train")

    assert train.name == "faces"
    assert train.classes.names == NAMES
    assert train.classes.palette[:2] == ((1, 2, 3), (128, 0, 0))
    assert [r.id for r in train] == list(IDS)
    assert [r.tags for r in train] == [{"sky": 1, "skin": 1}, {}, None, None, None]
    assert [r.labels is None for r in train] == [True, False, False, False, False]
    assert [r.coarse is None for r in train] == [True, False, True, True, True]
    np.testing.assert_array_equal(train.labels(train.records[2]), label_map(2))
    np.testing.assert_array_equal(train.image(train.records[2]), np.full((6, 8, 3), 2))
    np.testing.assert_array_equal(train.coarse(train.records[1]), np.full((4, 6, 8), 0.25))
    assert len(train) == 5
    assert len(train.subset({"a", "ünï/é à", "other"})) == 2
    assert splits_of(tmp_path / "faces") == ["train", "val"]


def test_tags_of_images_that_are_not_there_are_listed(tmp_path: Path) -> None:
    write_set(tmp_path)
    assert open_dataset(tmp_path, "train").findings == ()
    atomic_write(tmp_path / "tags.json", b'{"train": {"a": [], "z": []}, "val": {"q": []}}')
    (finding,) = open_dataset(tmp_path, "train").findings
    assert finding == "warning: tags.json has tags of an image that is not in images/train: z"
    atomic_write(tmp_path / "tags.json", b'{"train": {"1": [], "2": [], "3": [], "4": []}}')
    (finding,) = open_dataset(tmp_path, "train").findings
    assert finding.endswith("tags of 4 images that are not in images/train: 1, 2, 3 and 1 more")


def test_split_may_be_left_out_where_there_is_one(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "images" / ".cache").mkdir()
    assert open_dataset(tmp_path).name == "faces"
    assert len(open_dataset(tmp_path / "images" / "train")) == 5  # and the folder of a split is that split
    write_set(tmp_path, split="val", ids=("c",))
    with pytest.raises(InvalidFile, match="say which split: train, val"):
        open_dataset(tmp_path)
    with pytest.raises(InvalidFile, match=r"no split 'test': there is train, val"):
        open_dataset(tmp_path, "test")
    with pytest.raises(InvalidFile, match=r"no split '\.\./images/train'"):
        open_dataset(tmp_path, "../images/train")


def test_name_defaults_to_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "folder", name=None)
    monkeypatch.chdir(tmp_path / "folder")
    assert open_dataset(".").name == "folder"


def test_missing_folders(tmp_path: Path) -> None:
    atomic_write(tmp_path / "dataset.yaml", b"classes: [a]")
    with pytest.raises(InvalidFile, match="images: expected a folder for each split, found none"):
        open_dataset(tmp_path)


# ---- void and ids ----


@pytest.mark.parametrize("void", [255, 4, 11, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_void_of_the_files_becomes_void_of_the_classes(tmp_path: Path, void: int, dtype: type) -> None:
    labels = label_map(0, dtype=dtype)
    labels[1] = void

    read = one(tmp_path, labels, classes=Classes(NAMES), void=void)

    assert read.dtype == np.uint8
    assert (read[:2] == 255).all()
    np.testing.assert_array_equal(read[2:], labels[2:])


def test_void_in_the_place_of_a_class(tmp_path: Path) -> None:
    """ADE20K: 0 is void, and the first class of the list is never seen."""
    read = one(tmp_path, np.array([[0, 1, 255, 3]], np.uint8), classes=Classes(NAMES), void=0)
    np.testing.assert_array_equal(read, [[255, 1, 255, 3]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_many_classes_in_narrow_and_wide_files(tmp_path: Path, dtype: type) -> None:
    """With more than 255 classes, 255 is one of them even in an 8-bit file."""
    labels = np.array([[0, 255, 7]], dtype)
    classes = Classes.numbered(300)

    read = one(tmp_path, labels, classes=classes, void=classes.void)
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, labels)

    np.testing.assert_array_equal(one(tmp_path, labels, classes=classes, void=7), [[0, 255, 65535]])
    if dtype is np.int32:
        wide = np.array([[299, 65535]], dtype)
        np.testing.assert_array_equal(one(tmp_path, wide, classes=classes, void=classes.void), wide)


@pytest.mark.parametrize(
    ("void", "found"), [(255, "0..3 or 255 for void, found 4, 9"), (4, "0..3 or 4 for void, found 9")]
)
def test_ids_outside_the_classes_are_named(tmp_path: Path, void: int, found: str) -> None:
    with pytest.raises(InvalidFile, match=rf"a\.png: expected ids {found} on"):
        one(tmp_path, np.array([[0, 4, 9, 3]], np.uint8), classes=Classes(NAMES), void=void)


def test_what_a_record_does_not_have(tmp_path: Path) -> None:
    write_set(tmp_path)
    dataset = open_dataset(tmp_path)
    for read, message in (
        (dataset.image, "no image"),
        (dataset.labels, "no label map"),
        (dataset.coarse, "no coarse"),
    ):
        with pytest.raises(InvalidInput, match=f"x: {message}"):
            read(Record("x"))


def test_pairs_have_one_size(tmp_path: Path) -> None:
    dataset = open_dataset(write_set(tmp_path))
    image, labels = pair_labels(dataset, dataset.records[0])
    assert image.shape[:2] == labels.shape

    write_labels(tmp_path / "labels" / "train" / "a.png", np.zeros((8, 6), np.uint8))
    with pytest.raises(InvalidFile, match=r"a\.png: expected one size, found image 8 x 6, labels 6 x 8"):
        pair_labels(dataset, dataset.records[0])
    (tmp_path / "labels" / "train" / "b.png").write_bytes(b"")
    with pytest.raises(InvalidFile, match=r"b\.png: the file is empty"):
        pair_labels(dataset, dataset.records[1])


# ---- plain folders ----


def test_plain_folders_pair_whatever_the_suffix(tmp_path: Path) -> None:
    for name in ("a", "s/b"):
        write_image(tmp_path / "images" / f"{name}.jpg", np.zeros((6, 8, 3), np.uint8))
    write_labels(tmp_path / "masks" / "s" / "b.png", label_map(0), palette=((9, 9, 9),))
    write_labels(tmp_path / "masks" / "unpaired.png", np.full((6, 8), 6, np.uint8))

    dataset = open_dataset(tmp_path / "images", labels=tmp_path / "masks")

    assert [(r.id, r.labels is not None) for r in dataset] == [("a", False), ("s/b", True)]
    assert dataset.classes.names == tuple(f"class {i}" for i in range(4))  # 6 is in no pair
    assert dataset.classes.palette[:2] == ((9, 9, 9), (128, 0, 0))
    np.testing.assert_array_equal(dataset.labels(dataset.records[1]), label_map(0))
    assert open_dataset(tmp_path / "images", labels=tmp_path / "masks", classes=9).classes == Classes.numbered(
        9, dataset.classes.palette[:1]
    )
    named = Classes(NAMES)
    assert open_dataset(tmp_path / "images", labels=tmp_path / "masks", classes=named).classes is named

    masks = open_masks(tmp_path / "masks", images=tmp_path / "images")
    assert [(r.id, r.image is not None) for r in masks] == [("s/b", True), ("unpaired", False)]


def test_masks_of_a_data_set_keep_its_classes_and_void(tmp_path: Path) -> None:
    """Whatever images are given: its void may be an id that looks like a class."""
    root = write_set(tmp_path / "faces", void=2, evaluate_on=["skin"])
    labels, images = root / "labels" / "train", root / "images" / "train"
    whole = open_dataset(root, "train")
    for dataset in (
        open_masks(labels, images=images),
        open_masks(labels, classes=len(NAMES)),
        open_masks(labels, images=images, classes=whole.classes),
        open_dataset(images, labels=labels),
    ):
        assert (dataset.classes, dataset.coding, dataset.scored) == (whole.classes, whole.coding, ("skin",))
        assert 2 in dataset.coding.void
        for one, other in zip(dataset, whole, strict=True):
            np.testing.assert_array_equal(dataset.labels(one), whole.labels(other))
    with pytest.raises(InvalidFile, match=r"dataset\.yaml: .* other classes .*: sky, left eye"):
        open_masks(labels, images=images, classes=9)
    with pytest.raises(InvalidFile, match="other classes"):
        open_dataset(images, labels=labels, classes=Classes(("a", "b", "c", "d")))


def test_masks_below_a_split_have_the_classes_and_the_void_of_its_data_set(tmp_path: Path) -> None:
    root = write_set(tmp_path / "faces", ids=("dog/a", "dog/b", "cat/a"), void=2, evaluate_on=["skin"])
    labels, images = root / "labels" / "train" / "dog", root / "images" / "train" / "dog"
    whole = open_dataset(root, "train")
    for dataset in (
        open_masks(labels),
        open_masks(labels, images=images),
        open_masks(labels, classes=whole.classes),
        open_dataset(images, labels=labels),
    ):
        assert (dataset.classes, dataset.coding, dataset.scored) == (whole.classes, whole.coding, ("skin",))
        assert [record.id for record in dataset] == ["a", "b"]
        expected = {record.id: whole.labels(record) for record in whole}
        for record in dataset:
            np.testing.assert_array_equal(dataset.labels(record), expected[f"dog/{record.id}"])
    assert dataset_above(tmp_path / "faces") is None
    assert dataset_above(tmp_path / "other" / "labels" / "train" / "dog") is None


def test_masks_below_a_split_may_be_read_in_another_way(tmp_path: Path) -> None:
    root = write_set(tmp_path / "faces", ids=("dog/a",))
    labels = root / "labels" / "train" / "dog"
    write_labels(labels / "a.png", (label_map(0) % 2).astype(np.uint8))
    for options in ({"classes": Classes(("floor", "dog"))}, {"classes": 2}, {"ids": [0, 1]}):
        dataset = open_masks(labels, **options)
        assert len(dataset.classes) == 2
        assert dataset.coding.ids == (0, 1)


def test_plain_folders_that_cannot_be(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg", np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "empty").mkdir()
    write_labels(tmp_path / "masks" / "scan1.png", label_map(0))
    with pytest.raises(InvalidFile, match="no such folder"):
        open_dataset(tmp_path / "none")
    with pytest.raises(InvalidFile, match=r"neither a dataset\.yaml nor images"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(InvalidFile, match="empty: holds no label maps"):
        open_dataset(tmp_path / "images", labels=tmp_path / "empty")
    with pytest.raises(InvalidFile, match="empty: holds no label maps"):
        open_masks(tmp_path / "empty")
    with pytest.raises(InvalidFile, match=r"images are called like 'a.jpg', maps like 'scan1.png'"):
        open_dataset(tmp_path / "images", labels=tmp_path / "masks")
    with pytest.raises(InvalidFile, match="leave `labels` out"):
        open_dataset(write_set(tmp_path / "set"), labels=tmp_path / "masks")
    write_image(tmp_path / "images" / "a.png", np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(InvalidFile, match=r"a\.png: the same ID as a\.jpg"):
        open_dataset(tmp_path / "images")


def test_with_coarse_keeps_the_records_that_have_one(tmp_path: Path) -> None:
    dataset = open_dataset(write_set(tmp_path / "set"))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), (6, 8)).transpose(2, 0, 1)
    write_probabilities(tmp_path / "probs" / "sequence 1" / "frame.0001.npz", probabilities)
    write_probabilities(tmp_path / "probs" / "other.npz", probabilities)
    write_labels(tmp_path / "labels" / "b.png", label_map(7))

    soft = dataset.with_coarse(tmp_path / "probs")
    assert [r.id for r in soft] == ["sequence 1/frame.0001"]
    np.testing.assert_allclose(soft.coarse(soft.records[0]), probabilities, atol=1e-3)
    hard = dataset.with_coarse(tmp_path / "labels")
    np.testing.assert_array_equal(hard.coarse(hard.records[0]), label_map(7))

    assert list(find_maps(tmp_path / "probs")) == ["other", "sequence 1/frame.0001"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidFile, match="neither probability maps"):
        dataset.with_coarse(tmp_path / "none")
    write_labels(tmp_path / "none" / "z.png", label_map(0))
    with pytest.raises(InvalidFile, match="none of its 1 maps has the name of an image in faces"):
        dataset.with_coarse(tmp_path / "none")
    with pytest.raises(InvalidFile, match=r"of 3 classes .*, found 4"):
        read_map(tmp_path / "probs" / "other.npz", Classes(NAMES[:3]))
    with pytest.raises(InvalidFile, match="at most 47 pixels"):
        read_map(tmp_path / "probs" / "other.npz", Classes(NAMES), max_pixels=47)


# ---- folds and merging ----


def test_folds_hold_every_record_once(tmp_path: Path) -> None:
    dataset = open_dataset(write_set(tmp_path))

    held = [dataset.fold(i, 3) for i in range(3)]

    assert sorted(r.id for _, inside in held for r in inside) == sorted(IDS)
    for outside, inside in held:
        assert {r.id for r in outside} | {r.id for r in inside} == set(IDS)
        assert not {r.id for r in outside} & {r.id for r in inside}
        assert len(inside) in (1, 2)
    assert [r.id for r in held[0][1]] == ["a", "sequence 1/frame.0002"]
    for index, folds, message in (
        (0, 1, "into 1 folds"),
        (0, 6, "5 records .* 6"),
        (3, 3, "a fold 0..2, found 3"),
    ):
        with pytest.raises(InvalidInput, match=message):
            dataset.fold(index, folds)


PROPAGATED = {
    "v/0": (),
    "v/1": (("v/0", 1), ("v/4", -3)),
    "v/2": (("v/4", -2), ("v/0", 2)),  # as near to both: the first counts
    "v/3": (("v/0", 3), ("v/4", -1)),
    "v/4": (),
    "v/5": (("v/4", 1),),
    "v/6": (("v/8", -2),),  # its source is not in the data set
    "w/0": (),
    "w/1_from_0": (("w/0", 1),),
}


def write_propagated(root: Path) -> Path:
    """Frames of two videos, three of them labelled by hand, and an image that the manifest does not list."""
    write_set(root, ids=(*PROPAGATED, "x"))
    for name, sources in PROPAGATED.items():
        frame = name.removesuffix("_from_0")
        append_entry(root, Entry(name, "train", frame, tuple(Source(*source) for source in sources)))
    return root


def test_folds_keep_labelled_frames_and_what_was_propagated_from_them_together(tmp_path: Path) -> None:
    dataset = open_dataset(write_propagated(tmp_path))
    assert {r.id: r.sources for r in dataset} == {
        "v/0": ("v/0",),
        "v/1": ("v/0", "v/4"),
        "v/2": ("v/4", "v/0"),
        "v/3": ("v/4", "v/0"),
        "v/4": ("v/4",),
        "v/5": ("v/4",),
        "v/6": ("v/8",),
        "w/0": ("w/0",),
        "w/1_from_0": ("w/0",),
        "x": (),
    }

    held = [[{r.id for r in part} for part in dataset.fold(i, 5)] for i in range(5)]

    assert [inside for _, inside in held] == [
        {"v/0", "v/1"},
        {"v/2", "v/3", "v/4", "v/5"},
        {"v/6"},
        {"w/0", "w/1_from_0"},
        {"x"},
    ]
    assert held[0][0] == {"v/4", "v/5", "v/6", "w/0", "w/1_from_0", "x"}  # v/2 and v/3 show labels of v/0
    assert held[1][0] == {"v/0", "v/6", "w/0", "w/1_from_0", "x"}
    assert all(outside | inside == set(held[0][0] | {"v/0", "v/1", "v/2", "v/3"}) for outside, inside in held[2:])
    for count in (2, 3, 4):
        parts = [dataset.fold(i, count) for i in range(count)]
        assert sorted(r.id for _, inside in parts for r in inside) == sorted(r.id for r in dataset)
        for outside, inside in parts:
            assert {r.sources[0] for r in inside if r.sources}.isdisjoint(s for r in outside for s in r.sources)
    with pytest.raises(InvalidInput, match="5 labelled frames cannot be split into 6 folds"):
        dataset.fold(0, 6)


def test_without_a_manifest_every_record_is_split_by_itself(tmp_path: Path) -> None:
    dataset = open_dataset(write_set(tmp_path, ids=tuple(f"{i}" for i in range(11))))
    for count in range(2, 12):
        for index in range(count):
            ordered = sorted(dataset.records, key=lambda r: r.id)
            held_out = {r.id for r in ordered[index::count]}
            outside, inside = dataset.fold(index, count)
            assert [r for r in dataset if r.id in held_out] == list(inside)
            assert [r for r in dataset if r.id not in held_out] == list(outside)


def test_merged_classes(tmp_path: Path) -> None:
    write_set(tmp_path / "set", void=200)
    atomic_write(tmp_path / "set" / "tags.json", b'{"train": {"a": ["skin", "left eye", "right eye"]}}')
    soft = np.random.default_rng(0).dirichlet(np.ones(4), (6, 8)).transpose(2, 0, 1)
    write_probabilities(tmp_path / "set" / "probs" / "train" / "a.npz", soft)
    dataset = open_dataset(tmp_path / "set")

    merged = dataset.merged({"eyes": ("left eye", "right eye")})

    assert merged.classes.names == ("sky", "eyes", "skin")
    assert merged.classes.palette == tuple(dataset.classes.palette[i] for i in (0, 1, 3))
    table = np.array([0, 1, 1, 2] + [255] * 252)
    for record in merged:
        np.testing.assert_array_equal(merged.labels(record), table[dataset.labels(record)])
    assert merged.records[0].tags == {"skin": 1, "eyes": 1}
    summed = np.stack([soft[0], soft[1] + soft[2], soft[3]])
    np.testing.assert_allclose(merged.coarse(merged.records[0]), summed, atol=2e-3)

    twice = merged.merged({"face": ("eyes", "skin")})
    assert twice.classes.names == ("sky", "face")
    np.testing.assert_array_equal(
        twice.labels(twice.records[0]), np.array([0, 1, 1, 1] + [255] * 252)[dataset.labels(dataset.records[0])]
    )
    np.testing.assert_allclose(twice.coarse(twice.records[0])[0], soft[0], atol=2e-3)


def test_coarse_maps_follow_merging_unless_they_come_after_it(tmp_path: Path) -> None:
    """A model that was trained on merged classes predicts merged classes."""
    dataset = open_dataset(write_set(tmp_path / "set"))
    groups = {"eyes": ("left eye", "right eye")}
    coarse = np.array([[0, 1, 2, 255]], np.uint8).repeat(6, 0).repeat(2, 1)
    write_labels(tmp_path / "coarse" / "a.png", coarse)

    before = dataset.with_coarse(tmp_path / "coarse").merged(groups)
    after = dataset.merged(groups).with_coarse(tmp_path / "coarse")

    np.testing.assert_array_equal(before.coarse(before.records[0])[0], [0, 0, 1, 1, 1, 1, 255, 255])
    np.testing.assert_array_equal(after.coarse(after.records[0])[0], [0, 0, 1, 1, 2, 2, 255, 255])


def test_classes_that_scores_are_averaged_over(tmp_path: Path) -> None:
    root = write_set(tmp_path, evaluate_on=["left eye", "right eye", "skin"])
    dataset = open_dataset(root)
    assert dataset.scored == ("left eye", "right eye", "skin")
    assert dataset.merged({"eyes": ("left eye", "right eye")}).scored == ("eyes", "skin")
    with pytest.raises(InvalidFile, match="`evaluate_on` names no class: nose"):
        open_dataset(write_set(tmp_path / "other", evaluate_on=["nose"]))


def test_merging_many_classes_to_few_changes_the_data_type(tmp_path: Path) -> None:
    names = tuple(f"c{i}" for i in range(300))
    labels = np.array([[0, 299, 255, 65535]], np.int32)
    write_labels(tmp_path / "a.png", labels)
    record = Record("a", labels=tmp_path / "a.png", coarse=tmp_path / "a.png")
    dataset = Dataset("many", Classes(names), (record,))

    merged = dataset.merged({"odd": names[1::2], "even": names[::2]})

    assert merged.classes.names == ("even", "odd")
    assert merged.labels(record).dtype == np.uint8
    np.testing.assert_array_equal(merged.labels(record), [[0, 1, 1, 255]])
    np.testing.assert_array_equal(merged.coarse(record), [[0, 1, 1, 255]])


def test_groups_that_cannot_be(tmp_path: Path) -> None:
    dataset = Dataset("x", Classes(NAMES), ())
    with pytest.raises(InvalidInput, match="no class is named nose"):
        dataset.merged({"eyes": ("left eye", "nose")})
    with pytest.raises(InvalidInput, match="in two groups"):
        dataset.merged({"eyes": ("left eye", "right eye"), "all": ("sky", "left eye")})


def test_real_data_is_read_as_its_files_stand(real_data: Path) -> None:
    for name, split in (("camvid", "val"), ("voc12_subset", "val")):
        dataset = open_dataset(real_data / name, split)
        record = dataset.records[0]
        image, labels = pair_labels(dataset, record)
        assert record.labels
        np.testing.assert_array_equal(labels, read_labels(record.labels)[0])
        assert (labels == 255).any()
        assert image.shape == (*labels.shape, 3)
