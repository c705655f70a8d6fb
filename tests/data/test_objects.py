"""Files of objects in the format of COCO: what they hold, and that all but masks stays as it is."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.objects import ObjectFile, is_crowd, mask_of, sampled, with_mask
from segmend.labels import InvalidInput

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def square(height=40, width=50):
    mask = np.zeros((height, width), bool)
    mask[10:20, 10:20] = True
    return mask


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


@given(arrays.arrays(bool, (13, 17)))
def test_a_mask_comes_back_as_it_was(mask):
    assert (mask_of(with_mask({"id": 1}, mask), 13, 17) == mask).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        SQUARE,
        {"size": [40, 50], "counts": [410, *[10, 30] * 9, 10, 1200]},
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
        ("abc", "three corners"),
        ({"size": [40, 50], "counts": "abc"}, "cannot be read"),
        ({"size": [40, 50], "counts": [5, 5000]}, "cannot be read"),
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


def test_objects_find_the_image_that_the_file_names(tmp_path):
    path = written(tmp_path, coco({}, {"image_id": 2}, {}))
    indices, missing = ObjectFile.read(path).paired(open_dataset(tmp_path / "images"))
    assert indices == {"a": [0, 2], "b": [1]}
    assert not missing


def test_folders_in_names_do_not_matter_where_names_are_unambiguous(tmp_path):
    path = written(tmp_path, coco({}, images=(("C:\\data\\train/a.jpg", 1),)))
    assert ObjectFile.read(path).paired(open_dataset(tmp_path / "images"))[0] == {"a": [0]}


@pytest.mark.parametrize("image_id", [139, "139", "000139"])
def test_lists_of_detections_name_images_by_their_id(tmp_path, image_id):
    path = written(tmp_path, [{"image_id": image_id, "segmentation": [SQUARE]}], names=("000139", "a"))
    objects = ObjectFile.read(path)
    assert objects.paired(open_dataset(tmp_path / "images"))[0] == {"000139": [0]}
    assert objects.with_annotations({0: {"image_id": 139}}) == [{"image_id": 139}]


def test_images_that_are_not_there_are_listed(tmp_path):
    path = written(tmp_path, coco({}, {"image_id": 3}, images=(("a.png", 1), ("c.png", 3))))
    _, missing = ObjectFile.read(path).paired(open_dataset(tmp_path / "images"))
    assert [error.reason for error in missing] == ["no image called c.png for 1 object: left out"]


def test_a_file_of_other_images_is_refused(tmp_path):
    path = written(tmp_path, coco({}, images=(("x.png", 1),)))
    with pytest.raises(InvalidFile, match=r"images are called like 'a\.png', here like 'x\.png'"):
        ObjectFile.read(path).paired(open_dataset(tmp_path / "images"))


@pytest.mark.parametrize(
    "content", [{}, [], 3, {"annotations": {}}, {"annotations": [{"id": 1}]}, {"annotations": [3]}, "text"]
)
def test_other_files_are_refused(tmp_path, content):
    with pytest.raises(InvalidFile, match=r"objects\.json"):
        ObjectFile.read(written(tmp_path, content))


def test_images_without_ids_are_refused(tmp_path):
    with pytest.raises(InvalidFile, match="`images`"):
        ObjectFile.read(written(tmp_path, {"images": [3], "annotations": [{"image_id": 1}]}))


def test_replaced_annotations_keep_their_place(tmp_path):
    objects = ObjectFile.read(written(tmp_path, coco({}, {}, {})))
    found = objects.with_annotations({1: {"id": 100}})
    assert [one["id"] for one in found["annotations"]] == [7, 100, 9]
    assert found["info"] == {"year": 2020}
    assert objects.annotations[1]["id"] == 8


def test_crowds():
    assert is_crowd({"iscrowd": 1})
    assert not is_crowd({"iscrowd": 0})
    assert not is_crowd({})


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_a_sample_is_of_so_many_images_and_objects(counts):
    indices = {str(i): list(range(count)) for i, count in enumerate(counts)}
    found = list(sampled(indices, 3, 2))
    assert len(found) == len(set(found))
    assert len({name for name, _ in found}) <= 3
    assert all(index in indices[name] for name, index in found)
    assert all(sum(name == one for one, _ in found) <= 2 for name in indices)


@pytest.mark.parametrize(
    ("size", "words"), [((40, 50), "EXIF"), ((100, 80), "expected 100 x 80 as objects.json says")]
)
def test_images_of_another_size_than_the_file_says_are_refused(tmp_path, size, words):
    content = coco({})
    content["images"][0] |= dict(zip(("width", "height"), size, strict=True))
    objects = ObjectFile.read(written(tmp_path, content))
    with pytest.raises(InvalidFile, match=words):
        objects.check_size([0], "a.png", 40, 50)
    objects.check_size([], "a.png", 1, 1)


def test_images_of_the_same_or_of_unknown_size_are_fine(tmp_path):
    content = coco({}, {"image_id": 2})
    del content["images"][1]["width"]
    objects = ObjectFile.read(written(tmp_path, content))
    assert objects.check_size([0], "a.png", 40, 50) is None
    assert objects.check_size([1], "b.png", 7, 7) is None
