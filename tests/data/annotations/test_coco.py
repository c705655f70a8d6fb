"""COCO: what its files hold, how they pair with images, and that all but masks stays as it is."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as masks
from pycocotools.coco import COCO

from segmend.data.annotations import read_annotations
from segmend.data.annotations.annotations import Shape, sampled
from segmend.data.annotations.coco import mask_of, with_shape
from segmend.data.annotations.polygons import Cropped, OutlineOptions, outlines_of
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.labels import InvalidInput

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def square(height=40, width=50):
    mask = np.zeros((height, width), bool)
    mask[10:20, 10:20] = True
    return mask


def with_mask(annotation, mask):
    return with_shape(annotation, Shape(mask))


def written(folder, content, names=("a", "b")):
    for name in names:
        path = folder / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(path)
    (folder / "objects.json").write_text(json.dumps(content))
    return folder / "objects.json"


def coco(*annotations, images=(("a.png", 1), ("b.png", 2))):
    return {
        "info": {"year": 2020},
        "images": [{"id": number, "file_name": name, "height": 40, "width": 50} for name, number in images],
        "annotations": [
            {"id": 7 + i, "category_id": 1, "image_id": 1, **one} for i, one in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }


def indices(annotations, folder):
    """Indices of objects by the ID of their image, and what is missing."""
    places, missing = annotations.paired(open_dataset(folder / "images"))
    by_image = annotations.by_image
    return {identity: by_image[place] for identity, place in places.items() if place in by_image}, missing


@given(arrays.arrays(bool, (13, 17)))
def test_run_lengths_hold_the_mask(mask):
    assert (mask_of(with_mask({"id": 1}, mask), 13, 17) == mask).all()


@given(arrays.arrays(bool, (13, 17)))
def test_run_lengths_of_both_kinds_are_those_of_pycocotools(mask):
    compressed = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    plain = {"size": [13, 17], "counts": [0, *counts] if flat[0] else counts}
    for stored in (compressed, {**compressed, "counts": compressed["counts"].decode()}, plain):
        assert (mask_of({"segmentation": stored}, 13, 17) == mask).all()
    assert (masks.decode(masks.frPyObjects(plain, 13, 17)) == mask).all()


@given(arrays.arrays(bool, (13, 17)))
def test_polygons_without_tolerance_hold_the_mask(mask):
    """Those with holes become run lengths, which have no error at any tolerance."""
    outline = outlines_of([Cropped.of(mask)], OutlineOptions(0))[0]
    stored = with_shape({"id": 1}, Shape(mask, outline))
    assert not mask.any() or (mask_of(stored, 13, 17) == mask).all()
    has_holes = any(part.interiors for part in outline.geometry.geoms)
    assert isinstance(stored["segmentation"], list) == (bool(mask.any()) and not has_holes)


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        SQUARE,
        {"size": [40, 50], "counts": [410, *[10, 30] * 9, 10, 1220]},
        with_mask({}, square())["segmentation"],
    ],
)
def test_polygons_and_both_kinds_of_run_lengths_are_read(segmentation):
    assert (mask_of({"segmentation": segmentation}, 40, 50) == square()).all()


def test_parts_of_an_object_are_joined():
    found = mask_of({"segmentation": [SQUARE, [30, 30, 40, 30, 40, 35, 30, 35]]}, 40, 50)
    assert found.sum() == 100 + 50


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "only its box"),
        ([], "only its box"),
        ([[1, 2, 3, 4]], "three corners"),
        ({"size": [50, 40], "counts": "abc"}, "EXIF"),
        ({"size": [41, 50], "counts": "abc"}, "50 x 41"),
        ({"counts": "abc"}, "cannot be read"),
        ("abc", "cannot be read|three corners"),
        ({"size": [40, 50], "counts": "abc"}, "cannot be read"),
        ({"size": [40, 50], "counts": [5, 5000]}, "count 5005 pixels, expected 2000"),
        ({"size": [40, 50], "counts": [410, 10, 1200]}, "count 1620 pixels"),
        ({"size": [40, 50], "counts": [2010, -10]}, "count 2000 pixels"),
        (
            {"size": [40, 50], "counts": with_mask({}, square())["segmentation"]["counts"][:-2]},
            r"count \d+ pixels",
        ),
    ],
)
def test_masks_that_cannot_be_read_say_why(segmentation, message):
    with pytest.raises(InvalidInput, match=message):
        mask_of({"segmentation": segmentation}, 40, 50)


def test_a_new_mask_has_its_box_and_area_and_all_other_keys():
    before = {"id": 3, "score": 0.5, "attributes": {"occluded": True}, "bbox": [0, 0, 1, 1], "area": 1.0}
    after = with_mask(before, square())
    assert after["bbox"] == [10, 10, 10, 10]
    assert after["area"] == 100
    assert {**after, "bbox": [0, 0, 1, 1], "area": 1.0, "segmentation": 0} == {**before, "segmentation": 0}
    assert before["area"] == 1.0


def test_what_is_written_is_what_pycocotools_reads(tmp_path):
    """A foreign reader finds the same masks, polygons as polygons."""
    content = coco({"segmentation": [SQUARE]}, {"segmentation": with_mask({}, square())["segmentation"]})
    annotations = read_annotations(written(tmp_path, content))
    larger = np.zeros((40, 50), bool)
    larger[8:25, 8:23] = True
    outline = outlines_of([Cropped.of(larger)])[0]
    stored = {
        0: annotations.stored(0, Shape(larger, outline), 0.75),
        1: annotations.stored(1, Shape(larger)),
    }
    annotations.write(tmp_path / "out", stored)
    theirs = COCO(str(tmp_path / "out" / "annotations.json"))
    found = theirs.loadAnns([7, 8])
    assert isinstance(found[0]["segmentation"], list)
    assert isinstance(found[1]["segmentation"], dict)
    assert found[0]["expected_iou"] == 0.75
    for one in found:
        assert (theirs.annToMask(one).astype(bool) == larger).all()


def test_objects_find_the_image_that_the_file_names(tmp_path):
    path = written(tmp_path, coco({}, {"image_id": 2}, {}))
    found, missing = indices(read_annotations(path), tmp_path)
    assert found == {"a": [0, 2], "b": [1]}
    assert not missing


def test_folders_in_names_do_not_matter_where_names_are_unambiguous(tmp_path):
    path = written(tmp_path, coco({}, images=(("C:\\data\\train/a.jpg", 1),)))
    assert indices(read_annotations(path), tmp_path)[0] == {"a": [0]}


@pytest.mark.parametrize("image_id", [139, "139", "000139"])
def test_lists_of_detections_name_images_by_their_id(tmp_path, image_id):
    path = written(tmp_path, [{"image_id": image_id, "segmentation": [SQUARE]}], names=("000139", "a"))
    annotations = read_annotations(path)
    assert indices(annotations, tmp_path)[0] == {"000139": [0]}
    annotations.write(tmp_path / "out", {0: {"image_id": 139}})
    assert json.loads((tmp_path / "out" / "annotations.json").read_text()) == [{"image_id": 139}]


def test_images_that_are_not_there_are_listed(tmp_path):
    path = written(tmp_path, coco({}, {"image_id": 3}, images=(("a.png", 1), ("c.png", 3))))
    _, missing = indices(read_annotations(path), tmp_path)
    assert [error.reason for error in missing] == ["no image called c.png for 1 object: left out"]


def test_a_second_entry_for_an_image_is_listed(tmp_path):
    path = written(tmp_path, coco({}, {"image_id": 3}, images=(("a.png", 1), ("x/a.png", 3))))
    found, missing = indices(read_annotations(path), tmp_path)
    assert found == {"a": [0]}
    assert "second entry" in missing[0].reason


def test_an_entry_without_objects_does_not_count_where_another_has_some(tmp_path):
    path = written(tmp_path, coco({"image_id": 3}, images=(("x/a.png", 1), ("a.png", 3))))
    found, missing = indices(read_annotations(path), tmp_path)
    assert found == {"a": [0]}
    assert not missing


def test_a_file_of_other_images_is_refused(tmp_path):
    path = written(tmp_path, coco({}, images=(("x.png", 1),)))
    with pytest.raises(InvalidFile, match=r"images are called like 'a\.png', here like 'x\.png'"):
        indices(read_annotations(path), tmp_path)


@pytest.mark.parametrize(
    "content", [{}, [], 3, {"annotations": {}}, {"annotations": [{"id": 1}]}, {"annotations": [3]}, "text"]
)
def test_other_files_are_refused(tmp_path, content):
    with pytest.raises(InvalidFile, match=r"objects\.json"):
        read_annotations(written(tmp_path, content))


def test_images_without_ids_are_refused(tmp_path):
    with pytest.raises(InvalidFile, match="`images`"):
        read_annotations(written(tmp_path, {"images": [3], "annotations": [{"image_id": 1}]}))


def test_classes_are_the_categories_in_their_order(tmp_path):
    content = coco({}, {"category_id": 9})
    content["categories"].insert(0, {"id": 4, "name": "another"})
    annotations = read_annotations(written(tmp_path, content))
    assert annotations.labels == ("another", "thing", "category 9")


def test_replaced_annotations_keep_their_place(tmp_path):
    annotations = read_annotations(written(tmp_path, coco({}, {}, {})))
    annotations.write(tmp_path / "out", {1: {"id": 100}})
    found = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [one["id"] for one in found["annotations"]] == [7, 100, 9]
    assert found["info"] == {"year": 2020}


def test_crowds(tmp_path):
    annotations = read_annotations(written(tmp_path, coco({"iscrowd": 1}, {"iscrowd": 0}, {})))
    assert [one.is_group for one in annotations.objects] == [True, False, False]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_a_sample_is_of_so_many_images_and_objects(counts):
    several = {str(i): list(range(count)) for i, count in enumerate(counts)}
    found = list(sampled(several, 3, 2))
    assert len(found) == len(set(found))
    assert len({name for name, _ in found}) <= 3
    assert all(index in several[name] for name, index in found)
    assert all(sum(name == one for one, _ in found) <= 2 for name in several)


@pytest.mark.parametrize(
    ("size", "words"), [((40, 50), "EXIF"), ((100, 80), "expected 100 x 80 as objects.json says")]
)
def test_images_of_another_size_than_the_file_says_are_refused(tmp_path, size, words):
    content = coco({})
    content["images"][0] |= dict(zip(("width", "height"), size, strict=True))
    annotations = read_annotations(written(tmp_path, content))
    with pytest.raises(InvalidFile, match=words):
        annotations.check_size(0, "a.png", 40, 50)
    with pytest.raises(InvalidInput, match=words):
        annotations.mask(0, 40, 50)


def test_images_of_the_same_or_of_unknown_size_are_fine(tmp_path):
    content = coco({}, {"image_id": 2})
    del content["images"][1]["width"]
    annotations = read_annotations(written(tmp_path, content))
    assert annotations.check_size(0, "a.png", 40, 50) is None
    assert annotations.check_size(1, "b.png", 7, 7) is None
