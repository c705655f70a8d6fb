"""The network of DIS: an encoder and three subnets, for the label map, the image, and the tags (section 2.1)."""

# Annotations stay objects here (no `from __future__`): the hub mixin reads them to decode `config.json`.
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from segmend.labels import Classes, InvalidInput

MEAN, STD = 127 / 255, 128 / 255
"""What ImageNet features of the package expect."""

STRIDE = 32
"""Images are padded to a multiple of it."""

CELL = 8
"""Side in pixels of an element of the label map, as in the paper."""


class DualFeatures(NamedTuple):
    """What the encoder gives; inference changes u1 and v1.

    Attributes:
        u1: features of each cell, ``[B, D, h, w]``.
        v1: features of the image, ``[B, D]``.
        valid: share of each cell that is inside the image and not padding, ``[B, 1, h, w]``.
    """

    u1: Tensor
    v1: Tensor
    valid: Tensor


class DualOutput(NamedTuple):
    """What the three subnets give.

    Attributes:
        map_logits: u3, ``[B, C, h, w]``.
        reconstruction: z3, ``[B, 3, h, w]`` in -1..1.
        tag_logits: v3, ``[B, C]``.
    """

    features: DualFeatures
    map_logits: Tensor
    reconstruction: Tensor
    tag_logits: Tensor


class DualSegmentation(nn.Module, PyTorchModelHubMixin, library_name="segmend", tags=["image-segmentation"]):
    """Predicts a label map and tags, and reconstructs the image from the label map.

    Names follow the paper: u1, u2, u3 of subnet 1, z3 of subnet 2, v1, v2, v3 of subnet 3. The encoder's features
    of all strides from 8 on are projected to one width and summed; a dilated encoder gives all at stride 8.

    Args:
        classes: of the label map and of the tags.
        encoder: name of an encoder of segmentation-models-pytorch, ``resnet101`` as in the paper, for example.
        output_stride: 8 (the paper), 16 or 32; lower ones dilate the encoder.
        width: D, the number of features.
        side: longest side in pixels of the images that it was trained on; `segmend predict` shrinks images to it.
        common: classes that most images hold, such as the background. Where tags pass over them, every image is
            taken to hold them (see `segmend.data.tags.implied_classes`).

    Raises:
        InvalidInput: no such encoder, one that cannot be dilated, or the extra ``train`` is not installed.

    >>> network = DualSegmentation(Classes(("background", "cat", "dog")), encoder="resnet18").eval()
    >>> output = network(torch.rand(1, 3, 64, 100))
    >>> [tuple(part.shape) for part in output[1:]]
    [(1, 3, 8, 13), (1, 3, 8, 13), (1, 3)]
    """

    def __init__(
        self,
        classes: Classes,
        encoder: str = "tu-tf_efficientnet_lite0",
        output_stride: int = 32,
        width: int = 64,
        side: int = 256,
        common: tuple[str, ...] = (),
    ) -> None:
        try:
            from segmentation_models_pytorch.encoders import get_encoder
        except ImportError:
            raise InvalidInput("networks of DIS need a package: pip install 'segmend[train]'") from None

        super().__init__()
        self.classes, self.side, self.common = classes, side, tuple(common)
        count = len(classes)
        try:
            made = get_encoder(encoder, in_channels=3, depth=5, weights=None, output_stride=output_stride)
        except (KeyError, RuntimeError, ValueError) as error:
            raise InvalidInput(f"encoder {encoder} with output_stride {output_stride}: {error.args[0]}") from None
        self.encoder = made
        channels = self.encoder.out_channels[3:]
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)) for inputs in channels
        )
        self.to_u1 = nn.Sequential(
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.to_v1 = nn.Sequential(nn.BatchNorm1d(channels[-1]), nn.Dropout(0.2), nn.Linear(channels[-1], width))
        self.subnet1 = nn.Conv2d(width, count, 3, padding=1)
        self.subnet2 = nn.Sequential(
            nn.Conv2d(count, count, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(count, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 3, 3, padding=1),
        )
        self.subnet3 = nn.Linear(width, count)

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """What the encoder gives for images ``float32 [B, 3, H, W]`` in 0..1: its maps from stride 8 on."""
        height, width = image.shape[2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        found: list[Tensor] = self.encoder(F.pad((image - MEAN) / STD, padding, mode="replicate"))[3:]
        return found

    def encode(self, image: Tensor | Sequence[Tensor], valid: Tensor | None = None) -> DualFeatures:
        """Features of images.

        Args:
            image: ``float32 [B, 3, H, W]`` in 0..1; h and w are H / 8 and W / 8, rounded up. Or what `pyramid`
                gave for it, with `valid`.
            valid: share of each cell that is inside the image, not padding, ``[B, 1, h, w]`` (None: no padding).
        """
        if isinstance(image, Tensor):
            found: Sequence[Tensor] = self.pyramid(image)
            if valid is None:
                valid = F.avg_pool2d(torch.ones_like(image[:, :1]), CELL, ceil_mode=True, count_include_pad=False)
        else:
            found = [map_.float() for map_ in image]
        assert valid is not None
        size, deep = found[0].shape[2:], found[-1]
        projected = (project(map_) for project, map_ in zip(self.projections, found, strict=True))
        total = sum(F.interpolate(map_, size=size, mode="bilinear", align_corners=False) for map_ in projected)
        u1 = self.to_u1(total)[:, :, : valid.shape[2], : valid.shape[3]]
        weight = F.interpolate(valid, size=deep.shape[2:], mode="area")
        return DualFeatures(u1, self.to_v1(_weighted_mean(deep, weight)), valid)

    def map_logits(self, features: DualFeatures) -> Tensor:
        """u3 of subnet 1: logits of the label map, ``[B, C, h, w]``, of ``u2 = u1 + v1``."""
        logits: Tensor = self.subnet1(features.u1 + features.v1[:, :, None, None])
        return logits

    def reconstruct(self, map_logits: Tensor) -> Tensor:
        """z3 of subnet 2: the image at the size of the label map, ``[B, 3, h, w]`` in -1..1.

        It sees the probabilities, as the logits' scale means nothing.
        """
        image: Tensor = self.subnet2(map_logits.softmax(dim=1))
        return image

    def tag_logits(self, features: DualFeatures) -> Tensor:
        """v3 of subnet 3: logits of the tags, ``[B, C]``, of ``v2 = avgpool(u1) + v1``."""
        logits: Tensor = self.subnet3(_weighted_mean(features.u1, features.valid) + features.v1)
        return logits

    def forward(self, image: Tensor | Sequence[Tensor], valid: Tensor | None = None) -> DualOutput:
        """Label map, reconstruction and tags of images; the arguments are those of `encode`."""
        features = self.encode(image, valid)
        logits = self.map_logits(features)
        return DualOutput(features, logits, self.reconstruct(logits), self.tag_logits(features))


def _weighted_mean(map_: Tensor, weight: Tensor) -> Tensor:
    return (map_ * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)


def combined(map_logits: Tensor, tag_logits: Tensor) -> Tensor:
    """The final map (the paper's convolution of u3 with v3, in log space): ``u3 + log sigmoid(v3)``.

    >>> combined(torch.zeros(1, 2, 1, 1), torch.tensor([[0.0, 30.0]])).flatten().exp()
    tensor([0.5000, 1.0000])
    """
    return map_logits + F.logsigmoid(tag_logits)[:, :, None, None]


def target_image(image: Tensor) -> Tensor:
    """What subnet 2 reconstructs: the mean colours of the cells of an image in 0..1, ``[B, 3, h, w]`` in -1..1.

    Cells that reach beyond the image count the pixels that there are.

    >>> target_image(torch.full((1, 3, 16, 20), 0.75)).unique()
    tensor([0.5000])
    """
    mean = F.avg_pool2d(image, CELL, ceil_mode=True, count_include_pad=False)
    return 2 * mean - 1


def map_loss(map_logits: Tensor, probabilities: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy with soft labels, mean over the weighted cells.

    Args:
        map_logits, probabilities: ``[B, C, h, w]``.
        weight: ``[B, 1, h, w]``; 0 for void.
    """
    each = -(probabilities * map_logits.log_softmax(dim=1)).sum(dim=1, keepdim=True)
    return (each * weight).sum() / weight.sum().clamp_min(1)


def image_loss(reconstruction: Tensor, image: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error of z3 over the valid part of each image, ``[B]``."""
    return _weighted_mean((reconstruction - image).square(), valid).mean(dim=1)


def tag_loss(tag_logits: Tensor, tags: Tensor, kind: str = "sigmoid") -> Tensor:
    """Cross-entropy of the tags for each image, ``[B]``.

    Args:
        tags: ``[B, C]``, the share of each tag in 0..1.
        kind: ``sigmoid``, as several tags hold at once; ``softmax``, as in the paper: the tags share the
            probability evenly.
    """
    if kind == "softmax":
        shares = tags / tags.sum(dim=1, keepdim=True).clamp_min(1e-6)
        return -(shares * tag_logits.log_softmax(dim=1)).sum(dim=1)
    return F.binary_cross_entropy_with_logits(tag_logits, tags.float(), reduction="none").mean(dim=1)


def soft_labels(labels: Tensor, num_classes: int, void: int) -> tuple[Tensor, Tensor]:
    """Shares of the classes in the cells of label maps ``[B, H, W]``: ``[B, C, h, w]``; and of valid pixels.

    >>> shares, valid = soft_labels(torch.tensor([[[0, 1], [1, 255]]]), 2, 255)
    >>> [round(share, 3) for share in shares.flatten().tolist()], valid.item()
    ([0.333, 0.667], 0.75)
    """
    count, height, width = labels.shape
    h, w = -(-height // CELL), -(-width // CELL)
    rows, columns = (torch.arange(length, device=labels.device) // CELL for length in (height, width))
    cell = (torch.arange(count, device=labels.device)[:, None, None] * h + rows[:, None]) * w + columns
    valid = labels != void
    counts = torch.bincount((cell * num_classes + labels)[valid], minlength=count * h * w * num_classes)
    planes = counts.view(count, h, w, num_classes).movedim(-1, 1).float()
    pixels, total = torch.bincount(cell.flatten()).view(count, 1, h, w), planes.sum(dim=1, keepdim=True)
    return planes / total.clamp_min(1), total / pixels
