"""A trained model is a folder: ``config.json``, ``model.safetensors`` and ``README.md``.

Models are `huggingface_hub` mixins with ``from_pretrained`` and ``push_to_hub``. The configuration also holds the
name of the class under ``type``.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import ModelHubMixin, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from safetensors import SafetensorError
from torch import nn

from segmend.labels import InvalidInput

Model = TypeVar("Model", bound=PyTorchModelHubMixin)

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
"""The files of a model folder."""


def save_model(model: ModelHubMixin, folder: Path | str, card: str = "") -> None:
    """Write `model` as a folder; each of its files is replaced atomically.

    Args:
        model: the model.
        folder: made where it is missing.
        card: text of the model card (``README.md``): data, terms, figures, command.
            Its front matter, where it has any, replaces the default.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model.", dir=folder) as temporary:
        name = type(model).__name__
        if card:
            has_header = card.startswith("---\n")
            header = "" if has_header else "---\nlibrary_name: segmend\ntags:\n- image-segmentation\n---\n\n"
            (Path(temporary) / CARD).write_text(header + card, encoding="utf-8")
        model.save_pretrained(temporary, config={"type": name, **_config_of(model)})
        for path in sorted(Path(temporary).iterdir()):
            copy = Path(temporary) / f"{path.name}.part"
            # A copy has the permissions of any new file; safetensors writes files that only their owner can read.
            shutil.copyfile(path, copy)
            copy.replace(folder / path.name)


def load_model(kind: type[Model], name: str | Path) -> Model:
    """Load a model of class `kind` from a folder or hub repository, in evaluation mode.

    Raises:
        InvalidInput: no such model, one of another kind, or weights that do not fit it.
    """
    found = read_config(name)["type"]
    if found != kind.__name__:
        raise InvalidInput(f"{name}: holds a {found}, expected a {kind.__name__}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the mixin prints where it loads from
            model = kind.from_pretrained(str(name), strict=True)
    except (SafetensorError, RuntimeError, OSError, TypeError) as error:
        raise InvalidInput(f"{name}: its weights cannot be loaded ({error}): train or copy it again") from error
    assert isinstance(model, nn.Module)
    model.eval()
    return model


def _config_of(model: ModelHubMixin) -> dict[str, Any]:
    """The arguments of the model's constructor, as the mixin recorded them."""
    config = model._hub_mixin_config
    assert isinstance(config, dict)
    return config


def read_config(name: str | Path) -> dict[str, Any]:
    """The configuration of the model folder or hub repository `name`.

    Raises:
        InvalidInput: neither a model folder nor a repository that can be reached.
    """
    path = Path(name) / CONFIG
    if not path.is_file():
        if Path(name).exists():
            raise InvalidInput(
                f"{name}: not a model folder (no config.json): expected a folder that `segmend train` wrote"
            )
        path = _from_hub(str(name))
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(config, dict) or not isinstance(config.get("type"), str):
        raise InvalidInput(f"{path}: it has no `type`: not written by segmend")
    return config


def _from_hub(name: str) -> Path:
    if name.count("/") != 1 or name.startswith(("/", ".")):  # asking for it offline takes half a minute
        raise InvalidInput(f"{name}: no such folder, and not the name of a model on the hub, which is user/name")
    try:
        return Path(hf_hub_download(name, CONFIG))
    except (OfflineModeIsEnabled, LocalEntryNotFoundError):
        raise InvalidInput(
            f"{name}: no such folder; if it is a model on the hub, that cannot be reached, and no copy of it was "
            "kept here: connect, or give the path of a model folder"
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InvalidInput(
            f"{name}: no such folder, and no model of that name on the hub ({type(error).__name__}): "
            "for a private one, log in with `hf auth login`"
        ) from None
