"""A segmenter: any network from image to logits, with its classes and its normalisation."""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
import importlib
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from segmend.labels import Classes, InvalidInput
from segmend.ops.padding import cropped, pad_to_stride

IMAGENET_MEAN = (127 / 255, 127 / 255, 127 / 255)
IMAGENET_STD = (128 / 255, 128 / 255, 128 / 255)


class Segmenter(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="segmend",
    tags=["image-segmentation"],
):
    """Image ``float32 [B, 3, H, W]`` in 0..1 to logits ``[B, C, H, W]``, for any H and W.

    Args:
        classes: those of the logits.
        network: importable path of an `nn.Module` class that takes a normalised image batch and gives
            logits, at the image's size or smaller; all of ``segmentation_models_pytorch`` qualify.
        arguments: its keyword arguments, ``{"classes": 21, ...}``.
        stride: H and W are padded to a multiple of it before the network sees them.
        mean, std: the network sees ``(image - mean) / std``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classes: Classes,
        network: str,
        arguments: dict[str, Any],
        stride: int = 32,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.stride = stride
        self.network = import_network(network)(**arguments)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        x = pad_to_stride((image - self.mean) / self.std, self.stride)
        logits = self.network(x)
        if logits.ndim != 4 or logits.shape[1] != len(self.classes):
            raise InvalidInput(
                f"expected logits [B, {len(self.classes)}, h, w] from the network, found {list(logits.shape)}"
            )
        if logits.shape[2:] != x.shape[2:]:
            logits = F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)
        return cropped(logits, height, width)


def import_network(path: str) -> type[nn.Module]:
    """The `nn.Module` class at an importable path such as ``my_package.nets.Net``.

    Only module classes are accepted, so that a configuration file cannot call arbitrary code.
    """
    module_name, _, name = path.rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(module_name), name) if module_name else None
    except ImportError as error:
        raise InvalidInput(f"{path}: cannot be imported ({error}); is its package installed?") from None
    except AttributeError:
        found = None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise InvalidInput(f"{path}: not the importable path of an nn.Module class (package.module.Class)")
    return found
