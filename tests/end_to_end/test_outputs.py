"""What commands do to the folder that they write to: nothing of the user's is lost, nothing stale is kept."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segmend.data.masks import note_in, read_labels, write_labels
from segmend.data.probabilities import write_probabilities

IDS = ("p0", "p1")


@pytest.fixture
def printed(segmend_):
    """Runs a command; gives its exit code, and all that it printed in one line."""

    def run(*arguments):
        code, out, err = segmend_(*arguments)
        return code, " ".join((out + err).split())

    return run


@pytest.fixture
def data(tmp_path):
    """A data set of the user's: images, coarse masks, other coarse masks, and labels drawn by hand."""
    rng = np.random.default_rng(0)
    for number, identity in enumerate(IDS):
        labels = np.zeros((24, 32), np.uint8)
        labels[6:18, 8 + number : 24] = 1
        image = np.where(labels[..., None] == 1, (200, 80, 60), (40, 90, 160)) + rng.integers(-20, 20, (24, 32, 3))
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / "images" / f"{identity}.png")
        write_labels(tmp_path / "labels" / f"{identity}.png", labels)
        write_labels(tmp_path / "coarse" / f"{identity}.png", np.roll(labels, 2, axis=1))
        write_labels(tmp_path / "other" / f"{identity}.png", np.rot90(labels, 2))
    return tmp_path


def old(folder):
    for path in folder.rglob("*.*"):
        os.utime(path, (1e9, 1e9))


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def given(data, coarse="coarse", out="out", refiner="guided"):
    """Arguments of a run of `refine`."""
    folders = ("--images", data / "images", "--coarse", data / coarse, "--out", data / out)
    return ("refine", *folders, "--refiner", refiner, "--quiet")


@pytest.mark.parametrize("extra", [(), ("--overwrite",)])
@pytest.mark.parametrize("is_old", [True, False])
def test_labels_drawn_by_hand_are_never_replaced(printed, data, extra, is_old):
    if is_old:
        old(data / "labels")
    before = content(data / "labels")
    code, message = printed(*given(data, out="."), *extra)
    assert code == 2
    assert f"{data / 'labels' / 'p0.png'}: exists and was not written by this program" in message
    assert "--out" in message
    assert content(data / "labels") == before
    assert not (data / "results.json").exists()


def test_probabilities_of_others_are_never_replaced(printed, data):
    write_probabilities(data / "out" / "probs" / "p1.npz", np.full((2, 24, 32), 0.5, np.float32))
    before = content(data / "out" / "probs")
    code, message = printed(*given(data), "--probs", "--overwrite")
    assert (code, "p1.npz: exists and was not written by this program" in message) == (2, True)
    assert content(data / "out" / "probs") == before
    assert not (data / "out" / "labels").exists()
    assert printed(*given(data))[0] == 0  # without --probs nothing of it is in the way
    assert printed(*given(data, out="other_out"), "--probs", "--details")[0] == 0
    assert "2 kept from an earlier run" in printed(*given(data, out="other_out"), "--probs", "--details")[1]


def test_results_of_others_are_not_replaced(printed, data):
    (data / "out").mkdir()
    (data / "out" / "results.json").write_text('{"mine": 1}')
    code, message = printed(*given(data))
    assert (code, "results.json: was not written by refine or predict" in message) == (2, True)


@pytest.mark.parametrize("extra", [(), ("--overwrite",)])
def test_an_output_that_would_replace_an_input_is_refused(printed, data, extra):
    assert printed(*given(data, out="."), "--coarse", data / "labels", *extra)[0] == 2
    assert printed(*given(data))[0] == 0
    before = content(data / "out" / "labels")
    # ours, but an input now
    code, message = printed(*given(data, coarse="out/labels"), *extra)
    assert (code, "an input, which the output would replace" in message) == (2, True)
    assert content(data / "out" / "labels") == before


def test_other_coarse_maps_into_the_same_output_are_refined(printed, data):
    assert f"2 images written to {data / 'out'}, " in printed(*given(data))[1]
    assert printed(*given(data, "other", "expected"))[0] == 0
    old(data / "other")
    code, message = printed(*given(data, "other"))
    assert (code, "2 of them made again" in message) == (0, True)
    for identity in IDS:
        found, expected = (
            read_labels(data / out / "labels" / f"{identity}.png")[0] for out in ("out", "expected")
        )
        assert np.array_equal(found, expected)
    code, message = printed(*given(data, "other"))
    assert (code, "2 kept from an earlier run" in message) == (0, True)


def test_another_image_or_kind_of_coarse_map_is_refined_anew(printed, data):
    printed(*given(data))
    image = np.asarray(Image.open(data / "images" / "p1.png"))
    Image.fromarray(image[::-1]).save(data / "images" / "p1.png")
    old(data / "images")
    assert "1 of them made again, 1 kept" in printed(*given(data))[1]
    for identity in IDS:  # probabilities of the same IDs
        labels = read_labels(data / "coarse" / f"{identity}.png")[0]
        write_probabilities(
            data / "soft" / f"{identity}.npz", np.eye(2, dtype=np.float32)[labels].transpose(2, 0, 1)
        )
    assert "2 of them made again" in printed(*given(data, "soft"))[1]


def test_probabilities_that_are_missing_or_stored_in_another_way_are_made(printed, data):
    printed(*given(data))
    assert "2 of them made again" in printed(*given(data), "--probs")[1]
    code, message = printed(*given(data), "--probs", "--quantised")
    assert (code, "made with other weights or options" in message) == (2, True)
    assert printed(*given(data), "--probs", "--quantised", "--overwrite")[0] == 0
    assert np.load(data / "out" / "probs" / "p0.npz")["p"].dtype == np.uint8


def test_other_options_are_refused_before_any_work(printed, data):
    printed(*given(data))
    before = content(data / "out" / "labels")
    for extra in (("--min-confidence", "0.9"), ("--keep-void",), ("--refiner", "crf")):
        code, message = printed(*given(data), *extra)
        assert (code, "made with other weights or options" in message) == (2, True)
        assert "--overwrite" in message
    assert content(data / "out" / "labels") == before
    assert "2 of them made again" in printed(*given(data), "--keep-void", "--overwrite")[1]


def test_masks_that_are_read_in_another_way_are_refined_anew(printed, data):
    printed(*given(data))
    assert "2 of them made again" in printed(*given(data), "--classes", "3")[1]
    assert "2 kept from an earlier run" in printed(*given(data), "--classes", "3")[1]
    code, message = printed(*given(data), "--ids", "1,0")  # files of two numberings never lie in one folder
    assert (code, "ids 1,0): choose another output folder" in message) == (2, True)


COMMANDS = {
    "refine": ("refine", "--images", "images", "--coarse", "coarse", "--refiner", "guided", "--out"),
    "predict": ("predict", "model", "--images", "images", "--out"),
    "occlusions": ("occlusions", "--images", "images", "--masks", "coarse", "--face", "1", "--out"),
    "train": ("train", "recipe.yaml", "--out"),
    "demo": ("demo", "--out"),
    "convert": ("convert", "images", "--from", "segmend"),
    "evaluate": ("evaluate", "--truth", "labels", "--pred", "coarse", "--out"),
    "report": ("report", "results.json", "--out"),
}
OF_FILES = ("evaluate", "report")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_cannot_be_written_is_refused_in_one_line(printed, data, command, monkeypatch):
    monkeypatch.chdir(data)
    (data / "afile").touch()
    places = {"afile/x": "a file, expected a folder", "/proc/nope/x": "cannot be written"}
    places |= {"images": "a folder, expected a file"} if command in OF_FILES else {"afile": "expected a folder"}
    for place, words in places.items():
        code, message = printed(*COMMANDS[command], place)
        assert code == 2
        assert message.startswith("segmend: ")
        assert words in message
        assert "Traceback" not in message
    assert sorted(path.name for path in data.iterdir()) == ["afile", "coarse", "images", "labels", "other"]


def test_a_file_where_a_folder_of_the_output_belongs_is_refused(printed, data):
    (data / "out").mkdir()
    (data / "out" / "labels").touch()
    code, message = printed(*given(data))
    assert (code, f"{data / 'out' / 'labels'}: a file, expected a folder" in message) == (2, True)


def test_where_nothing_could_be_done_the_input_is_unusable(printed, data):
    for identity in IDS:
        (data / "images" / f"{identity}.png").write_bytes(b"no image")
    code, message = printed(*given(data))
    assert (code, "2 skipped" in message) == (2, True)


def test_a_mask_without_any_label_stays_as_it_is_and_is_listed(printed, data):
    write_labels(data / "coarse" / "p0.png", np.full((24, 32), 255, np.uint8))
    for _ in range(2):  # also by a run that resumes
        code, message = printed(*given(data), "--probs")
        assert code == 1
        assert "coarse/p0.png: every pixel is void: written as it is, not refined" in message
        assert (read_labels(data / "out" / "labels" / "p0.png")[0] == 255).all()
        assert (read_labels(data / "out" / "labels" / "p1.png")[0] < 2).all()
    assert "1 kept from an earlier run" in message


def test_void_is_filled_unless_it_is_to_be_kept(printed, data):
    void = np.zeros((24, 32), bool)
    void[:, :10] = True
    labels = read_labels(data / "coarse" / "p0.png")[0]
    write_labels(data / "coarse" / "p0.png", np.where(void, 255, labels).astype(np.uint8))
    code, message = printed(*given(data))
    assert (code, f"{void.sum()} void pixels filled (--keep-void keeps them)" in message) == (0, True)
    filled = read_labels(data / "out" / "labels" / "p0.png")[0]
    assert (filled != 255).all()
    code, message = printed(*given(data, out="kept"), "--keep-void")
    assert (code, "pixels filled" in message) == (0, False)
    assert np.array_equal(read_labels(data / "kept" / "labels" / "p0.png")[0], np.where(void, 255, filled))


@pytest.mark.parametrize("refiner", ["universal", "guided", "crf"])
def test_tiny_images_do_not_end_the_folder(printed, data, refiner):
    for height, width in ((1, 1), (2, 3), (1, 40)):
        name = f"tiny_{height}x{width}.png"
        Image.new("RGB", (width, height), (90, 60, 30)).save(data / "images" / name)
        write_labels(data / "coarse" / name, np.ones((height, width), np.uint8))
    code, message = printed(*given(data, refiner=refiner))
    assert (code, "5 images written" in message) == (0, True)


def test_every_file_holds_the_note_of_how_it_was_made(printed, data):
    printed(*given(data), "--min-confidence", "0.7")
    notes = {note_in(path) for path in (data / "out" / "labels").iterdir()}
    assert len(notes) == 2  # of two inputs
    assert all("GuidedFilter" in note and "min_confidence=0.7" in note and "; inputs " in note for note in notes)


@pytest.mark.parametrize("module", ["segmend", "segmend.cli"])
def test_both_modules_run_the_command(module, tmp_path):
    command = [sys.executable, "-m", module, "train", "nowhere.yaml", "--out", tmp_path / "out"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr


def test_commands_leave_folders_with_files_of_others_alone(printed, data, monkeypatch):
    monkeypatch.chdir(data)
    before = content(data / "labels")
    for command in (("convert", "voc", "labels", "--from", "voc"), ("demo", "--out", "labels", "--quiet")):
        if command[0] == "convert":
            voc = data / "voc"
            for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
                (voc / folder).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(voc / "JPEGImages" / "a.png")
            write_labels(voc / "SegmentationClass" / "a.png", np.zeros((8, 8), np.uint8))
            (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
        code, message = printed(*command)
        assert (code, "files that this program did not write" in message) == (2, True)
    assert before == content(data / "labels")
    assert printed("convert", "voc", "new", "--from", "voc")[0] == 0
    assert printed("convert", "voc", "new", "--from", "voc")[0] == 0  # the same again
    code, message = printed("convert", "voc", "new", "--from", "voc", "--to", "voc")
    assert (code, "another run" in message) == (2, True)


def test_train_does_not_take_the_model_of_somebody_else_for_its_own(printed, data, monkeypatch):
    monkeypatch.chdir(data)
    (data / "mine").mkdir()
    (data / "mine" / "model.safetensors").write_bytes(b"mine")
    options = ("data.root=images", "data.labels=labels", "coarse.train=coarse", "--out", "mine", "--quiet")
    code, message = printed("train", "ecn_paper", *options)
    assert (code, "of no recipe" in message) == (2, True)
    assert (data / "mine" / "model.safetensors").read_bytes() == b"mine"


def test_ids_that_no_label_file_holds_are_refused_before_any_work(printed, data):
    for path in sorted((data / "coarse").iterdir()):
        ids = np.asarray(Image.open(path)).astype(np.int32) * 100_000
        Image.fromarray(ids, mode="I").save(path.with_suffix(".tif"))
        path.unlink()
    code, message = printed(*given(data))
    assert (code, "do not fit the 16 bits of label files" in message) == (2, True)
