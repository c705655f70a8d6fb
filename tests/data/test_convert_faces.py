"""HELEN, LFW Part Labels and COFW in their published layouts."""

import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from segmend.data.convert import convert
from segmend.data.convert.faces import HELEN, cofw_boxes, part_labels_superpixels
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.labels import InvalidInput
from segmend.metrics import superpixel_counts

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (25, 20, 3), dtype=np.uint8)


def grey(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


# ---- HELEN ----


def helen(root):
    """Three images with maps of probabilities ``uint8 [11, 25, 20]``; gives those."""
    maps = RNG.integers(0, 256, (11, 25, 20), dtype=np.uint8)
    maps[:, :3] = 0  # nothing is said there
    maps[4:6, 3] = 255  # as likely
    for list_, name in (("exemplars", "100032540_1"), ("tuning", "1_2"), ("testing", "30_1")):
        (root / f"{list_}.txt").parent.mkdir(parents=True, exist_ok=True)
        (root / f"{list_}.txt").write_text(f"1 , {name}\n")
        write_image(root / "images" / f"{name}.jpg", PHOTO)
        for i, map_ in enumerate(maps):
            grey(root / "labels" / name / f"{name}_lbl{i:02d}.png", map_)
    return maps


def test_helen_labels_are_the_likeliest(tmp_path):
    maps = helen(tmp_path / "a")
    assert convert(tmp_path / "a", tmp_path / "out", "helen").written == 3
    for split, name in (("train", "100032540_1"), ("val", "1_2"), ("test", "30_1")):
        dataset = open_dataset(tmp_path / "out", split)
        assert dataset.classes.names == HELEN
        (record,) = dataset
        assert record.id == name
        labels = dataset.labels(record)
        assert (labels == maps.argmax(axis=0)).all()
        assert (labels[:3] == 0).all()
        assert (labels[3] == 4).all()


def test_broken_images_of_helen_are_listed(tmp_path):
    helen(tmp_path / "a")
    (tmp_path / "a" / "labels" / "1_2" / "1_2_lbl07.png").unlink()
    grey(tmp_path / "a" / "labels" / "30_1" / "30_1_lbl03.png", np.zeros((5, 5), np.uint8))
    done = convert(tmp_path / "a", tmp_path / "out", "helen")
    assert done.written == 1
    assert [file.rpartition("/")[2] for file, _ in done.skipped] == ["1_2_lbl07.png", "30_1_lbl03.png"]


# ---- LFW Part Labels ----

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
"""Of hair, face and background, in the order of its superpixels' labels."""


def part_labels(root):
    """Three images; gives their superpixels ``[25, 20]`` and the labels of those, in theirs."""
    superpixels = np.arange(25)[:, None] // 5 * 4 + np.arange(20) // 5
    labels = RNG.integers(0, 3, superpixels.max() + 1)
    for list_, person, number in (("train", "Aaron_Eckhart", 1), ("validation", "A_B", 12), ("test", "Ana", 3)):
        root.mkdir(exist_ok=True)
        (root / f"parts_{list_}.txt").write_text(f"{person} {number}\n")
        name = f"{person}_{number:04d}"
        write_image(root / "lfw_funneled" / person / f"{name}.jpg", PHOTO)
        grey(root / "parts_lfw_funneled_gt_images" / f"{name}.ppm", COLOURS[labels[superpixels]])
        for folder, numbers in (("superpixels_mat", superpixels), ("gt", [len(labels), *labels])):
            path = root / f"parts_lfw_funneled_{folder}" / person / f"{name}.dat"
            path.parent.mkdir(parents=True)
            np.savetxt(path, numbers, fmt="%d")
    return superpixels, labels


def test_part_labels(tmp_path):
    superpixels, labels = part_labels(tmp_path / "a")
    assert convert(tmp_path / "a", tmp_path / "out", "part-labels").written == 3
    for split, name in (("train", "Aaron_Eckhart_0001"), ("val", "A_B_0012"), ("test", "Ana_0003")):
        dataset = open_dataset(tmp_path / "out", split)
        assert dataset.classes.names == ("background", "face", "hair")
        (record,) = dataset
        assert record.id == name
        truth = dataset.labels(record)
        assert (truth == 2 - labels[superpixels]).all()
        numbers, classes = part_labels_superpixels(tmp_path / "a", name)
        assert (numbers == superpixels).all()
        assert superpixel_counts(truth, classes, numbers, 3) == (len(labels), len(labels))


@pytest.mark.parametrize(
    ("folder", "content", "words"),
    [
        ("gt", "3 0 1 x", "table of whole numbers"),
        ("gt", "", "table of whole numbers"),
        ("gt", "3 0 1", "a count and as many labels"),
        ("gt", "3 0 1 7", "labels of 0..2"),
        ("superpixels_mat", "0 1\n2 77", r"superpixels 0\.\.19, found up to 77"),
        ("superpixels_mat", None, "not readable as text"),
    ],
)
def test_broken_superpixels_are_named(tmp_path, folder, content, words):
    part_labels(tmp_path)
    path = tmp_path / f"parts_lfw_funneled_{folder}" / "Ana" / "Ana_0003.dat"
    path.unlink()
    if content is not None:
        path.write_text(content.replace(" ", "\n") if folder == "gt" else content)
    with pytest.raises(InvalidFile, match=words):
        part_labels_superpixels(tmp_path, "Ana_0003")


def test_lists_of_something_else_are_told(tmp_path):
    part_labels(tmp_path / "a")
    (tmp_path / "a" / "parts_test.txt").write_text("Ana_0003.jpg\n")
    with pytest.raises(InvalidFile, match=r"parts_test\.txt: expected lines of a name and a number"):
        convert(tmp_path / "a", tmp_path / "out", "part-labels")


@pytest.mark.parametrize("name", ["../../home/secret", "/etc/secret", ".secret", ""])
def test_lists_do_not_lead_out_of_their_folders(tmp_path, name):
    part_labels(tmp_path / "lfw")
    (tmp_path / "lfw" / "parts_test.txt").write_text(f"{name} 1\n")
    helen(tmp_path / "helen")
    (tmp_path / "helen" / "testing.txt").write_text(f"1 , {name}\n")
    for folder, from_format in (("lfw", "part-labels"), ("helen", "helen")):
        with pytest.raises(InvalidFile, match=r"expected (names of images|lines of a name)"):
            convert(tmp_path / folder, tmp_path / "out", from_format)


# ---- COFW ----


def cofw(root, end="_color"):
    """Files as MATLAB 7.3 writes them, whose axes come reversed; gives images and boxes of `train`."""
    root.mkdir(exist_ok=True)
    shape = (25, 20, 3) if end else (25, 20)
    images = [RNG.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)]
    boxes = np.array([[1.0, 2, 10, 12], [3, 4, 9, 8]])
    for name, suffix in (("COFW_train", "Tr"), ("COFW_test", "T")):
        with h5py.File(root / f"{name}{end}.mat", "w") as file:
            cells = file.create_dataset(f"Is{suffix}", (1, len(images)), dtype=h5py.ref_dtype)
            for i, image in enumerate(images):
                cells[0, i] = file.create_dataset(f"#refs#/{i}", data=image.T).ref
            file[f"bboxes{suffix}"] = boxes.T
            file[f"phis{suffix}"] = np.zeros((87, len(images)))
    return images, boxes


@pytest.mark.parametrize("end", ["_color", ""])
def test_cofw(tmp_path, end):
    images, boxes = cofw(tmp_path / "a", end)
    done = convert(tmp_path / "a", tmp_path / "out", "cofw")
    assert (done.written, done.unlabelled) == (4, 4)
    for split in ("train", "test"):
        dataset = open_dataset(tmp_path / "out", split)
        assert [record.id for record in dataset] == [f"{split}_0000", f"{split}_0001"]
        for record, image in zip(dataset, images, strict=True):
            theirs = image if image.ndim == 3 else np.stack([image] * 3, axis=2)
            assert (dataset.image(record) == theirs).all()
        assert (cofw_boxes(tmp_path / "a", split) == boxes).all()


@pytest.mark.parametrize("to_format", ["voc", "camvid"])
def test_images_without_files_of_their_own_reach_every_format(tmp_path, to_format):
    images, _ = cofw(tmp_path / "a")
    assert convert(tmp_path / "a", tmp_path / "other", "cofw", to_format).written == 4
    back = convert(tmp_path / "other", tmp_path / "out", to_format)
    assert back.written == 4
    dataset = open_dataset(tmp_path / "out", "test")
    assert (dataset.image(dataset.records[1]) == images[1]).all()


def test_a_file_that_is_not_of_cofw_is_named(tmp_path):
    (tmp_path / "COFW_train_color.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(InvalidFile, match=r"COFW_train_color\.mat: expected a MATLAB 7\.3 file with IsTr"):
        convert(tmp_path, tmp_path / "out", "cofw")
    with pytest.raises(InvalidFile, match=r"expected COFW_test_color\.mat"):
        cofw_boxes(tmp_path, "test")


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    cofw(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InvalidInput, match=r"needs h5py: pip install 'segmend\[formats\]'"):
        convert(tmp_path / "a", tmp_path / "out", "cofw")
