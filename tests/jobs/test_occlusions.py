"""Occluders are labelled over a folder: the steps' results, a data set that opens, what has no face."""

from dataclasses import replace

import numpy as np
import pytest

from segmend.data.dataset import open_dataset
from segmend.data.images import write_image
from segmend.data.masks import read_labels, write_labels
from segmend.faces.occlusion import factor_occlusions
from segmend.jobs.occlusions import STEPS, OcclusionOptions, label_occlusions
from segmend.jobs.refine import open_pairs
from segmend.labels import InvalidInput


def outline(image):
    """A square around what is bright; none in a dark image."""
    rows, columns = np.nonzero(image[..., 0] > 200)
    if not len(rows):
        return []
    left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()
    return [np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)] * 2


@pytest.fixture
def pairs(tmp_path):
    for name in ("a", "sub/b", "dark"):
        image, mask = np.zeros((60, 50, 3), np.uint8), np.zeros((60, 50), np.uint8)
        if name != "dark":
            image[10:50, 5:45] = 255
        mask[10:50, 5:45] = 7  # the ids between are in no mask
        mask[30:40, 20:30] = 1
        write_image(tmp_path / "images" / f"{name}.png", image)
        write_labels(tmp_path / "masks" / f"{name}.png", mask)
    return open_pairs(tmp_path / "images", tmp_path / "masks")[0]


def test_a_data_set_of_what_covers_faces(pairs, tmp_path):
    out = tmp_path / "out"
    options = OcclusionOptions((2, 7), amplification=None, steps=True, quiet=True)
    outcome = label_occlusions(pairs, out, options, outline=outline)
    assert (outcome.done, outcome.kept) == (2, 0)
    (skipped,) = outcome.skipped
    assert skipped.reason == "no face found"
    assert skipped.file.endswith("dark.png")
    dataset = open_dataset(out, "train")
    assert dataset.classes.names == ("background", "face", "occlusion")
    assert [record.id for record in dataset] == ["a", "sub/b"]
    for record in dataset:
        image = dataset.image(record)
        face = np.zeros((60, 50), bool)
        face[10:50, 5:45] = True
        face[30:40, 20:30] = False
        expected = factor_occlusions(outline(image)[:1], face, None)
        assert (dataset.labels(record) == expected.labels).all()
        assert set(np.unique(expected.labels)) == {0, 1, 2}
        blobs, _ = read_labels(out / "blobs" / "train" / f"{record.id}.png")
        assert (blobs == expected.blobs).all()
    assert (out / "steps" / "train" / "a.png").is_file()
    page = (out / "steps_train.html").read_text()
    assert page.count("data:image/jpeg") == 2 * len(STEPS)
    assert [name in page for name in ("sub/b", "dark.png", "no face found", "Amplified")] == [True] * 4
    again = label_occlusions(pairs, out, options, outline=outline)
    assert (again.done, again.kept) == (0, 2)
    with pytest.raises(InvalidInput, match="other weights or options"):
        label_occlusions(pairs, out, replace(options, face=(7,)), outline=outline)


def test_ids_of_faces_that_no_map_holds_are_refused(pairs, tmp_path):
    with pytest.raises(InvalidInput, match="none of the ids 2, 3 of faces occurs in the maps, which hold 0, 1, 7"):
        label_occlusions(pairs, tmp_path / "out", OcclusionOptions((2, 3), quiet=True), outline=outline)
