"""Label files in the ids of Cityscapes' server."""

import numpy as np
import pytest
import torch
from torch import nn

from segmend.coding import Coding
from segmend.data.cityscapes import CLASSES, SCORED
from segmend.data.dataset import open_dataset
from segmend.data.images import write_image
from segmend.data.masks import read_labels
from segmend.jobs.predict import PredictOptions, predict
from segmend.labels import Classes, InvalidInput
from segmend.segmenters.base import Segmenter


class Columns(nn.Module):
    """Each column of an image is the class of its place."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, image):
        place = nn.functional.one_hot(torch.arange(image.shape[3]) % self.classes, self.classes)
        return 10.0 * place.T[None, :, None].expand(-1, -1, image.shape[2], -1)


@pytest.fixture
def segmenter(monkeypatch):
    def load(classes):
        model = Segmenter(classes, "torch.nn.Identity", {}, stride=1)
        model.network = Columns(len(classes))
        monkeypatch.setattr("segmend.jobs.predict.load_segmenter", lambda name: model)

    return load


def test_files_hold_the_servers_ids(segmenter, tmp_path):
    segmenter(CLASSES)
    write_image(tmp_path / "images" / "a.png", np.zeros((8, 40, 3), np.uint8))
    images = open_dataset(tmp_path / "images")
    predict("model", images, tmp_path / "out", PredictOptions(server_ids=True, quiet=True))
    labels, palette = read_labels(tmp_path / "out" / "labels" / "a.png")
    assert labels[0].tolist() == [SCORED[x % 19][0] for x in range(40)]
    assert not palette
    predict("model", images, tmp_path / "own", PredictOptions(quiet=True))
    labels, palette = read_labels(tmp_path / "own" / "labels" / "a.png")
    assert labels[0].tolist() == [x % 19 for x in range(40)]
    assert palette[0] == (128, 64, 128)


def test_other_classes_have_none(segmenter, tmp_path):
    segmenter(Classes.numbered(19))
    write_image(tmp_path / "images" / "a.png", np.zeros((8, 40, 3), np.uint8))
    with pytest.raises(InvalidInput, match="expected Cityscapes' classes"):
        predict(
            "model",
            open_dataset(tmp_path / "images"),
            tmp_path / "out",
            PredictOptions(server_ids=True, quiet=True),
        )


@pytest.mark.parametrize("ids", [(7, 26, 300), (0, 255)])
def test_files_hold_the_ids_of_the_masks_that_a_model_learned_from(segmenter, tmp_path, ids):
    segmenter(Coding(ids).classes)
    write_image(tmp_path / "images" / "a.png", np.zeros((4, len(ids), 3), np.uint8))
    predict("x", open_dataset(tmp_path / "images"), tmp_path / "out", PredictOptions(quiet=True))
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "labels" / "a.png")[0][0], ids)
