"""Lists of labelled images, and the classes in label maps."""

import numpy as np
import pytest

from segmend.data.dataset import open_dataset
from segmend.data.description import write_description
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.listed import classes_in, listed_images
from segmend.data.masks import write_labels
from segmend.labels import Classes


@pytest.fixture
def dataset(tmp_path):
    """Images cat_1, cat_2 and bare; the last has no label map."""
    write_description(tmp_path, "pets", Classes(("ground", "cat", "dog")))
    for name in ("cat_1", "cat_2", "bare"):
        write_image(tmp_path / "images" / "train" / f"{name}.png", np.zeros((2, 2, 3), np.uint8))
    for name in ("cat_1", "cat_2"):
        write_labels(tmp_path / "labels" / "train" / f"{name}.png", np.array([[2, 255], [0, 0]], np.uint8))
    return open_dataset(tmp_path, "train")


def test_a_list_names_images_with_label_maps(dataset, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# chosen by hand\ncat_2\n\ncat_1\n")
    assert listed_images(path, dataset) == {"cat_1", "cat_2"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "in each line, found none"),
        ("cat_3", r"has the ID cat_3; did you mean 'cat_[12]'\?"),
        ("zebra", "one that there is: 'bare'"),
        ("bare", "no label map belongs to bare: add it"),
    ],
)
def test_other_lists_are_refused(dataset, tmp_path, content, message):
    path = tmp_path / "list.txt"
    path.write_text(content)
    with pytest.raises(InvalidFile, match=message):
        listed_images(path, dataset)


def test_void_is_no_class(dataset):
    assert classes_in(dataset, dataset.records[1]) == ("ground", "dog")
