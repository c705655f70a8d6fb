"""Publish a model folder on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import HfApi, ModelCard

from segmend.data.files import InvalidFile, atomic_write
from segmend.labels import InvalidInput
from segmend.model_folder import CARD, CONFIG, WEIGHTS, read_config
from segmend.refiners import TUNED
from segmend.report.card import model_card
from segmend.report.results import Evaluation, holds, read_results

RESULTS = "results.json"

PUBLISHED = [CONFIG, WEIGHTS, CARD, "LICENSE", "NOTICE", "*.onnx"]
"""Files that are uploaded; recipes, logs and checkpoints of a training are not."""


@dataclass(frozen=True)
class Published:
    """A published model.

    Attributes:
        url: of its page.
        has_licence: whether its card names one.
    """

    url: str
    has_licence: bool


def publish(
    folder: Path | str, repository: str, results: Path | str | None = None, private: bool = False
) -> Published:
    """Upload a model folder, from where ``segmend.load(repository)`` loads it.

    Its card (``README.md``) is completed before: front matter, and the scores of an evaluation. Needs a token:
    that of ``hf auth login``, or the environment variable ``HF_TOKEN``.

    Args:
        folder: that `segmend train` wrote.
        repository: ``user/name``, made where it is missing.
        results: the ``results.json`` of `segmend evaluate` (None: that in the folder, where there is one).
        private: whether only you can read a repository that is made.

    Raises:
        InvalidInput: no model folder, one that is no single model, or no repository that can be written.
        InvalidFile: `results` does not hold an evaluation.
    """
    folder = Path(folder)
    check_publishable(folder)
    write_card(folder, repository.rpartition("/")[2], results)
    try:
        api = HfApi()
        created = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=created.repo_id,
            folder_path=folder,
            allow_patterns=PUBLISHED,
            commit_message="Model of segmend",
        )
    except Exception as error:  # the errors of the connection are those of one library or another, by version
        reason = str(error).strip().partition("\n")[0]
        raise InvalidInput(
            f"{repository}: not published ({type(error).__name__}: {reason}): it must be user/name, with a token "
            "that may write (`hf auth login`, or HF_TOKEN) and a connection; the same command tries again"
        ) from error
    card = ModelCard.load(folder / CARD)
    return Published(str(created), card.data.license is not None)


def check_publishable(folder: Path) -> None:
    """Raise `InvalidInput` unless a folder is that of one model."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder: expected a model folder that `segmend train` wrote")
    kind = read_config(folder)["type"]
    if kind == TUNED:
        raise InvalidInput(
            f"{folder}: a choice of `segmend tune`, which may refer to other folders: publish the model that it "
            "chose, and say with which --min-confidence to use it"
        )


def write_card(folder: Path, name: str, results: Path | str | None = None) -> None:
    """Complete the card of a model folder (see `publish`)."""
    path = folder / CARD
    evaluation = None
    if results is not None:
        found = read_results(results)
        if not isinstance(found, Evaluation):
            raise InvalidFile(
                results, f"expected the results of `segmend evaluate`, found those of a {found.kind}"
            )
        evaluation = found
    elif holds(folder / RESULTS, Evaluation):
        evaluation = read_results(folder / RESULTS)  # type: ignore[assignment]
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    try:
        after = model_card(before, name, evaluation)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InvalidFile(path, f"its front matter is no YAML that the hub reads ({reason}): correct it") from None
    if after != before:
        atomic_write(path, after.encode())
