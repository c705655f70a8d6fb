"""Model folders are published on the hub and loaded from there by name.

The hub is a folder here: the two calls that upload (`HfApi.create_repo`, `HfApi.upload_folder`) and the one that
downloads (`hf_hub_download`) are replaced; what is uploaded, and how a model is put together again, is real.
"""

import fnmatch
import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError
from typer.testing import CliRunner

import segmend
from segmend.cli import app
from segmend.data.files import InvalidFile
from segmend.jobs.publish import publish
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.refiners import ECN, GuidedFilter, SpatialPropagation, save_filter, save_tuned
from segmend.report.results import Run, write_results
from segmend.segmenters import Segmenter

CLASSES = Classes(("sky", "road"))


class Name(str):
    """What `create_repo` gives: an address with the name in it."""

    repo_id: str


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder that stands for the hub: ``user/name`` holds the files of a repository."""
    root = tmp_path / "hub"
    made = {}

    def create_repo(self, repo_id, *, private, exist_ok):
        assert exist_ok
        made.setdefault(repo_id, private)
        (root / repo_id).mkdir(parents=True, exist_ok=True)
        url = Name(f"https://hub.example/{repo_id}")
        url.repo_id = repo_id
        return url

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        assert made[repo_id] is not None
        for path in sorted(folder_path.rglob("*")):
            name = path.relative_to(folder_path).as_posix()
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                shutil.copyfile(path, root / repo_id / name)

    def download(repo_id, filename, **_):
        path = root / repo_id / filename
        if not path.is_file():
            raise LocalEntryNotFoundError(f"{filename} of {repo_id}")
        return str(path)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    # Called with the name of the file at the second place, or as an option.
    by_option = lambda repo_id, filename="config.json", **rest: download(repo_id, filename, **rest)  # noqa: E731
    monkeypatch.setattr("segmend.model_folder.hf_hub_download", by_option)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", by_option)
    return SimpleNamespace(root=root, made=made)


MODELS = {
    "ecn": ECN(CLASSES, "quarter"),
    "spn": SpatialPropagation(CLASSES, width="quarter"),
    "segmenter": Segmenter(CLASSES, "torch.nn.Conv2d", {"in_channels": 3, "out_channels": 2, "kernel_size": 3}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_published_model_is_loaded_by_its_name_and_computes_the_same(name, hub, tmp_path):
    model = MODELS[name].eval()
    save_model(model, tmp_path / "model", "# Card")
    for other in ("recipe.yaml", "checkpoint.pt", "log.jsonl"):
        (tmp_path / "model" / other).write_text("paths of this machine")
    assert publish(tmp_path / "model", "somebody/model").url == "https://hub.example/somebody/model"
    uploaded = {path.name for path in (hub.root / "somebody" / "model").iterdir()}
    assert uploaded == {"config.json", "model.safetensors", "README.md"}
    loaded = segmend.load("somebody/model")
    assert type(loaded) is type(model)
    image, coarse = torch.rand(1, 3, 20, 30), torch.rand(1, 2, 20, 30).softmax(dim=1)
    with torch.no_grad():
        if name == "segmenter":
            assert torch.equal(loaded(image), model(image))
        else:
            found, expected = (one.refine_batch(image, coarse) for one in (loaded, model))
            assert torch.equal(found.probabilities, expected.probabilities)


def test_a_filter_is_published_without_weights(hub, tmp_path):
    save_filter(GuidedFilter(radius=3), tmp_path / "filter")
    publish(tmp_path / "filter", "somebody/filter", private=True)
    assert hub.made == {"somebody/filter": True}
    assert segmend.load("somebody/filter") == GuidedFilter(radius=3)


def test_the_command_says_where_the_model_is_and_that_it_has_no_licence(hub, tmp_path):
    save_model(MODELS["ecn"], tmp_path / "model", "# Card")
    result = CliRunner().invoke(app, ["publish", str(tmp_path / "model"), "somebody/model"])
    assert result.exit_code == 0, result.output
    assert "Published: https://hub.example/somebody/model" in result.output
    assert "names no licence" in result.output
    card = tmp_path / "model" / "README.md"
    card.write_text(card.read_text().replace("---\n", "---\nlicense: mit\n", 1))
    result = CliRunner().invoke(app, ["publish", str(tmp_path / "model"), "somebody/model"])
    assert "licence" not in result.output
    assert yaml.safe_load((hub.root / "somebody" / "model" / "README.md").read_text().split("---")[1])["license"]


def test_scores_of_the_folder_or_of_a_file_are_in_the_card(hub, tmp_path, evaluation):
    save_model(MODELS["ecn"], tmp_path / "model", "# Card")
    write_results(tmp_path / "model" / "results.json", evaluation)
    publish(tmp_path / "model", "somebody/model")
    card = (hub.root / "somebody" / "model" / "README.md").read_text()
    assert card == (tmp_path / "model" / "README.md").read_text()
    assert "| mIoU | 61.0 |" in card
    assert "model-index" in card
    write_results(tmp_path / "other.json", evaluation.model_copy(update={"truth": "cells/labels/val"}))
    publish(tmp_path / "model", "somebody/model", tmp_path / "other.json")
    assert "On 0 images of `cells`, split `val`" in (hub.root / "somebody" / "model" / "README.md").read_text()


def test_other_results_are_refused(hub, tmp_path):
    save_model(MODELS["ecn"], tmp_path / "model", "# Card")
    run = Run(version="0", command="refine", model="m", classes=[], done=1, seconds={}, images_per_second=1)
    write_results(tmp_path / "run.json", run)
    with pytest.raises(InvalidFile, match="expected the results of `segmend evaluate`, found those of a run"):
        publish(tmp_path / "model", "somebody/model", tmp_path / "run.json")
    assert not hub.made


def test_what_is_no_model_folder_is_refused(hub, tmp_path):
    with pytest.raises(InvalidInput, match="no such folder: expected a model folder"):
        publish(tmp_path / "nothing", "somebody/model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="not a model folder"):
        publish(tmp_path / "empty", "somebody/model")
    save_tuned("universal", 0.7, tmp_path / "tuned")
    with pytest.raises(InvalidInput, match="publish the model that it chose"):
        publish(tmp_path / "tuned", "somebody/model")
    assert not hub.made


def test_a_front_matter_that_is_no_yaml_is_named(hub, tmp_path):
    save_model(MODELS["ecn"], tmp_path / "model", "---\nlicense: [mit\n---\n# Card")
    with pytest.raises(InvalidFile, match=r"README\.md: its front matter is no YAML that the hub reads"):
        publish(tmp_path / "model", "somebody/model")


def test_a_hub_that_refuses_is_reported_with_what_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("Name or service not known\nmore lines")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    save_model(MODELS["ecn"], tmp_path / "model", "# Card")
    with pytest.raises(
        InvalidInput, match=r"not published \(ConnectionError: Name or service not known\): .*hf auth login"
    ):
        publish(tmp_path / "model", "somebody/model")


@pytest.fixture
def evaluation():
    from segmend.report.results import Evaluation, Scores

    values = dict.fromkeys(
        ("pixel_accuracy", "mean_accuracy", "mean_iou", "boundary_iou", "boundary_f", "region_j"), 0.61
    )
    scores = Scores(**values, iou={"sky": 0.7, "road": None}, f_measure={}, trimap=[])
    return Evaluation(
        version="0",
        classes=["sky", "road"],
        palette=[(0, 0, 0)] * 2,
        truth="t",
        pred="p",
        scores=scores,
        per_image=[],
    )
