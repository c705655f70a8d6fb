"""The common base of refiners that are neural networks."""

from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from segmend.refiners.base import Refiner


class RefinerNetwork(
    nn.Module, Refiner, PyTorchModelHubMixin, library_name="segmend", tags=["image-segmentation"]
):
    """A refiner with weights: an `nn.Module` that is saved to and loaded from a model folder or the hub."""
