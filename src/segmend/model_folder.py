"""A trained model is a folder: ``config.json``, ``model.safetensors`` and ``README.md``.

Models are `huggingface_hub` mixins, so ``from_pretrained`` and ``push_to_hub`` work as people expect. The
configuration also holds the class's name under ``type``, so that a folder says what it is.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import ModelCard, ModelHubMixin, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from safetensors import SafetensorError
from torch import nn

from segmend.labels import InvalidInput

Model = TypeVar("Model", bound=PyTorchModelHubMixin)


def save_model(model: ModelHubMixin, folder: Path | str, card: str = "") -> None:
    """Write `model` as a folder; each of its files is replaced whole.

    Args:
        card: text of the model card (``README.md``): data, terms, figures, command. Front matter in it replaces the default.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model.", dir=folder) as temporary:
        name = type(model).__name__
        if card:
            has_header = card.startswith("---\n")
            header = "" if has_header else "---\nlibrary_name: segmend\ntags:\n- image-segmentation\n---\n\n"
            ModelCard(header + card, ignore_metadata_errors=True).save(Path(temporary) / "README.md")
        model.save_pretrained(temporary, config={"type": name, **_config_of(model)})
        for path in sorted(Path(temporary).iterdir()):
            whole = Path(temporary) / f"{path.name}.part"
            # A copy has the rights of any new file: safetensors gives weights to their owner alone.
            shutil.copyfile(path, whole)
            whole.replace(folder / path.name)


def load_model(kind: type[Model], name: str | Path) -> Model:
    """The model of class `kind` in a folder or hub repository, ready to be used.

    Raises:
        InvalidInput: no such model, one of another kind, or weights that do not fit it.
    """
    found = read_config(name)["type"]
    if found != kind.__name__:
        raise InvalidInput(f"{name}: holds a {found}, expected a {kind.__name__}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the mixin tells where it loads from
            model = kind.from_pretrained(str(name), strict=True)
    except (SafetensorError, RuntimeError, OSError, TypeError) as error:
        raise InvalidInput(f"{name}: its weights cannot be loaded ({error}): train or copy it anew") from error
    assert isinstance(model, nn.Module)
    model.eval()
    return model


def _config_of(model: ModelHubMixin) -> dict[str, Any]:
    """Arguments that the model was made with, as the mixin recorded them."""
    config = model._hub_mixin_config
    assert isinstance(config, dict)
    return config


def read_config(name: str | Path) -> dict[str, Any]:
    """The configuration of the model folder or hub repository `name`.

    Raises:
        InvalidInput: neither a model folder nor a repository that can be reached.
    """
    path = Path(name) / "config.json"
    if not path.is_file():
        if Path(name).exists():
            raise InvalidInput(f"{name}: not a model folder (no config.json): give a folder that train wrote")
        path = _from_hub(str(name))
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(config, dict) or not isinstance(config.get("type"), str):
        raise InvalidInput(f"{path}: does not say its `type`: not written by segmend")
    return config


def _from_hub(name: str) -> Path:
    try:
        return Path(hf_hub_download(name, "config.json"))
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise InvalidInput(
            f"{name}: no such folder, and no model of that name on the hub ({type(error).__name__})"
        ) from None
