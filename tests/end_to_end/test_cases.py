"""Inputs from the field that once went wrong, each with its right result or message."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import segmend
from segmend.data.dataset import open_dataset
from segmend.data.masks import read_mask
from segmend.labels import InvalidInput

CASES = Path(os.environ.get("SEGMEND_CASES", Path(__file__).parents[3] / "shared" / "cases"))
pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason=f"no cases in {CASES}: SEGMEND_CASES names their folder"
)

REFINE = ("refine", "--images", "images", "--out", "out", "--coarse")


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Enter a copy of a case's folder."""

    def enter(name: str) -> None:
        (found,) = CASES.glob(f"{name}-*")
        shutil.copytree(found, tmp_path / name, copy_function=shutil.copyfile)
        for path in (tmp_path / name).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        monkeypatch.chdir(tmp_path / name)

    return enter


@pytest.fixture
def run(segmend_):
    """Runs a command; gives its exit code and all that it printed."""

    def command(*arguments: str) -> tuple[int, str]:
        code, *printed = segmend_(*arguments, *([] if arguments[0] == "convert" else ["--quiet"]))
        return int(code), "".join(printed)

    return command


def ids(path: str) -> np.ndarray:
    found = read_mask(path).ids
    assert found is not None
    return found


def miou() -> float:
    return 100 * json.loads(Path("results.json").read_text())["scores"]["mean_iou"]


def test_01_binary_masks_of_0_and_255(case, run):
    case("01")
    for extra in ((), ("--classes", "2")):
        code, printed = run(*REFINE, "masks", "--overwrite", *extra)
        assert code == 0
        assert "255 is read as foreground, class 1" in printed
        for name in ("p0", "p1"):
            refined = ids(f"out/labels/{name}.png")
            assert np.unique(refined).tolist() == [0, 255]
            assert np.mean(refined != ids(f"masks/{name}.png")) < 0.05
        assert run("evaluate", "--truth", "truth", "--pred", "masks", *extra)[0] == 0
        assert 83 < miou() < 85
    with pytest.warns(UserWarning, match="255 is read as foreground"):
        refined = segmend.load("universal").refine(Image.open("images/p0.png"), Image.open("masks/p0.png"))
    assert 1300 < int((refined.labels == 255).sum()) < 1600


def test_02_one_mask_of_0_and_255_among_those_of_0_and_1(case, run):
    case("02")
    code, printed = run(*REFINE, "masks")
    assert code == 2
    assert "p1.png holds 0 and 255 where p0.png, p2.png hold 1" in printed


def test_03_interpolated_masks(case, run):
    case("03")
    code, printed = run(*REFINE, "masks")
    assert code == 2
    assert "nearest neighbour" in printed


def test_05_void_in_16_bits(case, run):
    case("05")
    for extra in ((), ("--classes", "3")):
        run("evaluate", "--truth", "truth", "--pred", "masks", *extra)
        assert round(miou(), 1) == 79.6
    assert run(*REFINE, "masks")[0] == 0
    assert np.unique(ids("out/labels/p0.png")).tolist() == [0, 1, 2]
    mask = np.array(Image.open("masks/p0.png")).astype(np.int64)
    refined = segmend.load("universal").refine(Image.open("images/p0.png"), mask)
    assert refined.probabilities.shape[0] == 3


def test_06_output_onto_labels_of_the_user(case, run):
    case("06")
    before = {path.name: path.read_bytes() for path in Path("labels").iterdir()}
    for coarse, word in (("coarse", "not written by this program"), ("labels", "an input")):
        for extra in ((), ("--overwrite",)):
            code, printed = run("refine", "--images", "images", "--coarse", coarse, "--out", ".", *extra)
            assert code == 2
            assert word in printed
    assert before == {path.name: path.read_bytes() for path in Path("labels").iterdir()}


def test_07_other_masks_into_the_same_output(case, run):
    case("07")
    run(*REFINE, "masks_a")
    for path in Path("masks_b").iterdir():
        os.utime(path, (1e9, 1e9))
    code, printed = run(*REFINE, "masks_b")
    assert code == 0
    assert "2 of them made again" in printed
    assert np.mean(ids("out/labels/p0.png") != ids("masks_b/p0.png")) < 0.1


def test_08_a_mask_paired_with_itself(case, run):
    case("08")
    code, printed = run("refine", "--images", "all", "--coarse", "all", "--out", "out")
    assert code == 2
    assert "'_mask'" in printed


def test_09_min_is_white_bits(case, run):
    case("09")
    assert run("evaluate", "--truth", "truth", "--pred", "masks")[0] == 0
    assert miou() == 100


def test_11_palettes_in_another_order(case, run):
    case("11")
    code, printed = run(*REFINE, "masks")
    assert code == 0
    assert "palettes differ" in printed
    for name in ("p0", "p1"):
        before, after = (np.asarray(Image.open(f"{f}/{name}.png").convert("RGB")) for f in ("masks", "out/labels"))
        assert np.mean((before != after).any(axis=-1)) < 0.1
    run("evaluate", "--truth", "truth", "--pred", "masks")
    assert miou() > 75
    assert run("convert", "voc", "converted", "--from", "voc")[0] == 0
    converted = open_dataset("converted")
    truth = {
        name: np.asarray(Image.open(f"voc/SegmentationClass/{name}.png").convert("RGB")) for name in ("p0", "p1")
    }
    palette = np.array(converted.classes.palette)
    for record in converted:
        np.testing.assert_array_equal(palette[converted.labels(record)], truth[record.id])


def test_12_exif_orientations(case, run):
    case("12")
    code, printed = run(*REFINE, "masks")
    assert code == 0
    assert "4 images turned by their EXIF orientation" in printed
    assert "warning: the images of p1.png, p2.png are turned" in printed
    assert ids("out/labels/p0.png").shape == ids("masks/p0.png").shape[::-1]


def test_13_a_class_that_the_ground_truth_lacks(case, run):
    case("13")
    for extra in ((), ("--classes", "3")):
        code, printed = run("evaluate", "--truth", "truth", "--pred", "pred", *extra)
        assert code == 0
        assert round(miou(), 1) == 51.2
        assert "the ground truth lacks class 2" in printed


def test_14_ids_of_another_numbering(case, run):
    case("14")
    code, printed = run("evaluate", "--truth", "truth", "--pred", "pred")
    assert code == 0
    assert "numbered differently" in printed


def test_16_instance_ids(case, run):
    case("16")
    assert run("evaluate", "--truth", "masks", "--pred", "masks")[0] == 0
    assert miou() == 100
    assert run("refine", "--images", "masks", "--coarse", "masks", "--out", "out")[0] == 2  # one file as both


@pytest.mark.parametrize(
    "command",
    [
        (*REFINE[:3], "--coarse", "masks", "--out", "afile"),
        (*REFINE[:3], "--coarse", "masks", "--out", "/proc/nope"),
        ("evaluate", "--truth", "masks", "--pred", "masks", "--out", "."),
    ],
)
def test_17_output_that_cannot_be_written(case, run, command):
    case("17")
    code, printed = run(*command)
    assert code == 2
    assert printed.startswith(f"segmend: {command[-1]}: ")
    assert printed.count("\n") == 1


def test_18_near_infrared_tagged_as_alpha(case, run):
    case("18")
    code, printed = run(*REFINE, "masks")
    assert code == 0
    assert "2 images with 4 bands: the first three are read (--bands)" in printed
    images = open_dataset("images")
    assert all(images.image(record).mean() > 60 for record in images)


def test_19_twelve_bits_in_sixteen(case, run):
    case("19")
    code, printed = run(*REFINE, "masks")
    assert code == 0
    assert "read as 12 bits" in printed
    images = open_dataset("images")
    assert all(images.image(record).mean() > 60 for record in images)


@pytest.mark.parametrize("folder", ["with_comment", "without_comment"])
def test_21_byte_order_marks(case, run, folder):
    case("21")
    assert run("convert", folder, "out", "--from", "voc")[0] == 0
    assert yaml.safe_load(Path("out/dataset.yaml").read_text())["classes"] == ["background", "cat", "dog"]


def test_22_a_label_map_in_another_order_than_the_palette(case, run):
    case("22")
    assert run("convert", "voc", "converted", "--from", "voc")[0] == 0
    converted = open_dataset("converted")
    (record,) = converted
    largest = np.bincount(converted.labels(record).ravel()).argmax()
    assert converted.classes.names[largest] == "background"


def test_23_colours_grey_triples_and_wide_types(case, run):
    case("23")
    code, printed = run(*REFINE, "masks")
    assert code == 1
    assert "3 images written" in printed
    assert "--palette FILE" in printed
    for name, suffix in (("p1", "png"), ("p3", "tif"), ("p4", "tif")):
        assert np.mean(ids(f"out/labels/{name}.png") != ids(f"masks/{name}.{suffix}")) < 0.05
    code, printed = run("convert", "masks", "converted", "--from", "voc")
    assert code == 2
    assert "plain folder" in printed


@pytest.mark.parametrize(
    ("images", "coarse", "code", "words"),
    [
        ("images", "jpg", 2, "2 .jpg files: JPEG changes ids"),
        ("images", "npy", 2, "np.savez"),
        ("images", "stray", 0, "2 images written"),
        ("heic", "masks", 1, "p0.heic is HEIC"),
        ("images", "masks.zip", 2, "unpack it"),
        ("images/p0.png", "masks/p0.png", 2, "a file, expected a folder"),
    ],
)
def test_25_other_kinds_of_files(case, run, images, coarse, code, words):
    case("25")
    found, printed = run("refine", "--images", images, "--coarse", coarse, "--out", "o")
    assert (found, words in printed) == (code, True), printed


@pytest.mark.parametrize(
    ("coarse", "words"),
    [("hwc", "classes must come first"), ("sigmoid", "1 - p and p"), ("batch", "its first")],
)
def test_26_layouts_of_probabilities(case, run, coarse, words):
    case("26")
    code, printed = run(*REFINE, coarse)
    assert (code, words in printed) == (2, True), printed


def test_26_layouts_in_memory(case):
    case("26")
    image, hwc = np.array(Image.open("images/p0.png")), np.load("hwc/p0.npz")["p"]
    mask = hwc.argmax(-1).astype(np.uint8)
    single = np.stack([np.where(mask == k, 8.0, -8.0) for k in (1, 2)]).astype(np.float32)
    refiner = segmend.load("universal")
    refused = [
        (image, hwc, {}, "classes must come first"),
        (image, (hwc * 255).astype(np.uint8), {}, "classes must come first"),
        ((image / 255 - 0.45) / 0.22, mask, {}, "normalised"),
        (image, [{"segmentation": mask == 1}], {}, "paint the masks into one label map"),
        (image, single, {}, "logits=True"),
        (image, single, {"logits": True}, "without background"),
    ]
    for picture, coarse, options, words in refused:
        with pytest.raises(InvalidInput, match=words):
            refiner.refine(picture, coarse, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey = refiner.refine(image, Image.fromarray(np.repeat(mask[..., None], 3, 2)))
        bright = refiner.refine(np.clip(image / 255 * 1.2, 0, 1 + 1e-6).astype(np.float32), mask)
    assert np.unique(grey.labels).tolist() == np.unique(bright.labels).tolist() == [0, 1, 2]


def test_27_masks_without_any_label(case, run):
    case("27")
    code, printed = run(*REFINE, "masks")
    assert code == 1
    assert "p0.png: every pixel is void" in printed
    assert "2560 void pixels filled (--keep-void keeps them)" in printed
    assert (ids("out/labels/p0.png") == 255).all()
    run("refine", "--images", "images", "--coarse", "masks", "--out", "kept", "--keep-void")
    np.testing.assert_array_equal(ids("kept/labels/p1.png") == 255, ids("masks/p1.png") == 255)


def test_28_labels_edited_beside_probabilities(case, run):
    case("28")
    run(*REFINE, "masks", "--probs")
    for path in Path("truth").iterdir():
        shutil.copyfile(path, Path("out/labels", path.name))
    _, printed = run("evaluate", "--truth", "truth", "--pred", "out")
    assert "edited after the run" in printed
    assert miou() == 100
