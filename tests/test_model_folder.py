"""Model folders: what they hold, and the messages where they hold something else."""

import json

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from segmend.labels import Classes, InvalidInput
from segmend.model_folder import load_model, read_config, save_model
from segmend.refiners import ECN, load
from segmend.segmenters import Segmenter, load_segmenter


@pytest.fixture
def folder(tmp_path):
    save_model(ECN(Classes.numbered(2), "quarter"), tmp_path / "model", "# Card\n\nmade by a test")
    return tmp_path / "model"


def test_a_folder_holds_configuration_weights_and_card(folder):
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    assert read_config(folder)["type"] == "ECN"
    assert "made by a test" in (folder / "README.md").read_text()


def test_its_files_have_the_permissions_of_new_files(folder):
    (folder / "new").write_text("")
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_loading_is_silent(folder, capsys):
    load(folder)
    assert capsys.readouterr() == ("", "")


def test_another_kind_is_refused(folder):
    with pytest.raises(InvalidInput, match=r"holds a ECN, which is not a segmenter: use segmend refine --refiner"):
        load_segmenter(folder)
    with pytest.raises(InvalidInput, match="holds a ECN, expected a Segmenter"):
        load_model(Segmenter, folder)


def test_corrupted_weights_and_configurations_are_named(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InvalidInput, match="weights cannot be loaded"):
        load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps(config | {"width": "half"}))
    with pytest.raises(InvalidInput, match="weights cannot be loaded"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="not readable as JSON"):
        load(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(InvalidInput, match="type"):
        load(folder)


@pytest.mark.parametrize("name", ["runs/corrector/final", "./corrector", "/runs", "univarsal"])
def test_what_is_no_name_of_the_hub_is_refused_without_asking_it(name, monkeypatch):
    monkeypatch.setattr("segmend.model_folder.hf_hub_download", lambda *_: pytest.fail("asked"))
    with pytest.raises(InvalidInput, match="no such folder, and not the name of a model on the hub"):
        load(name)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("no network"), "cannot be reached, and no copy of it was kept here: connect"),
        (OfflineModeIsEnabled("offline"), "cannot be reached, and no copy of it was kept here: connect"),
        (OSError("404"), "no model of that name on the hub .* a private one, log in"),
    ],
)
def test_a_name_that_the_hub_does_not_give_is_refused_with_what_to_do(error, message, monkeypatch):
    def download(*_):
        raise error

    monkeypatch.setattr("segmend.model_folder.hf_hub_download", download)
    with pytest.raises(InvalidInput, match=message):
        load("nobody/nothing")
