"""The vocabulary: classes, void, label maps, probability maps, and the checks that guard them.

Shapes here are those of one picture; every function also takes leading batch dimensions.

* image: ``float32 [3, H, W]``, RGB, 0..1
* label map: ``uint8`` or ``int32 [H, W]`` of class ids ``0..C-1``, or void
* probability map: ``float [C, H, W]``, non-negative, sums to 1 over C
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

VOID = 255
"""Void in ``uint8`` label maps. Void never counts in a loss, a metric or a statistic."""

VOID_16 = 65535
"""Void in ``int32`` label maps (16-bit files)."""

SMOOTHING = 0.02
"""Probability that a hard label leaves to the other classes (``eps`` of `one_hot`)."""


class InvalidInput(ValueError):
    """Input that cannot be used as it is. The message says what was expected, found, and what to do."""


Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Classes:
    """The ordered classes of a data set, with one RGB colour (0..255) for each.

    A palette that is missing or too short is filled up with the colours of PASCAL VOC.
    """

    names: tuple[str, ...]
    palette: Palette = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) < 1:
            raise InvalidInput("a data set needs at least one class")
        if len(set(self.names)) != len(self.names):
            raise InvalidInput(f"class names must differ from each other: {', '.join(self.names)}")
        if len(self.names) > VOID_16:
            raise InvalidInput(f"at most {VOID_16} classes fit a 16-bit label map, found {len(self.names)}")
        given = tuple(tuple(int(v) for v in colour) for colour in self.palette)[: len(self.names)]
        rest = tuple(voc_colour(i) for i in range(len(given), len(self.names)))
        object.__setattr__(self, "palette", given + rest)

    @classmethod
    def numbered(cls, count: int) -> Classes:
        """Classes that nobody named: ``class 0``, ``class 1``, ..."""
        return cls(tuple(f"class {i}" for i in range(count)))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def void(self) -> int:
        """The void id of label maps of these classes."""
        return VOID if len(self) <= VOID else VOID_16

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of label maps of these classes."""
        return np.dtype(np.uint8) if len(self) <= VOID else np.dtype(np.int32)


def voc_colour(index: int) -> tuple[int, int, int]:
    """Colour of class `index` in PASCAL VOC's palette: the bits of the index, dealt to r, g, b in turn."""
    channels = [0, 0, 0]
    for bit in range(24):
        channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


def void_of(labels: Tensor | np.ndarray) -> int:
    """The void id of a label map, by its data type: 255 for ``uint8``, 65535 for wider ones."""
    return VOID if labels.dtype in (torch.uint8, np.uint8) else VOID_16


def one_hot(labels: Tensor, num_classes: int, smoothing: float = SMOOTHING) -> Tensor:
    """Probability map ``float32 [..., C, H, W]`` of a hard label map ``[..., H, W]``.

    The label's class gets ``1 - smoothing``, the others share `smoothing`; void pixels become uniform.

    Raises:
        InvalidInput: an id is neither a class nor void.
    """
    check_ids(labels, num_classes)
    void = labels == void_of(labels)
    index = labels.long().masked_fill(void, 0).unsqueeze(-3)
    others = smoothing / (num_classes - 1) if num_classes > 1 else 0.0
    probabilities = torch.full(
        (*labels.shape[:-2], num_classes, *labels.shape[-2:]), others, dtype=torch.float32, device=labels.device
    )
    probabilities.scatter_(-3, index, 1.0 - others * (num_classes - 1))
    return probabilities.masked_fill_(void.unsqueeze(-3), 1.0 / num_classes)


def most_likely(probabilities: Tensor) -> Tensor:
    """Label map ``[..., H, W]`` of a probability map ``[..., C, H, W]``; ties go to the smaller id."""
    labels = probabilities.argmax(dim=-3)
    return labels.to(torch.uint8 if probabilities.shape[-3] <= VOID else torch.int32)


def as_tensor(value: Any) -> Tensor:
    """A tensor of an array-like; 16-bit unsigned arrays become ``int32``, which torch can compute with."""
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    return torch.from_numpy(np.ascontiguousarray(array))


def as_image(image: Any) -> Tensor:
    """An image ``float32 [3, H, W]`` in 0..1, of what people hold in their hands.

    Takes a ``uint8 [H, W, 3]`` array, PIL picture or tensor, or floats in 0..1 as ``[H, W, 3]`` or
    ``[3, H, W]`` (a tensor with 3 first is taken as channels first).

    Raises:
        InvalidInput: another shape, or floats outside 0..1 (or not finite).
    """
    tensor = as_tensor(image)
    if tensor.ndim != 3 or 3 not in (tensor.shape[0], tensor.shape[-1]):
        raise InvalidInput(f"expected an RGB image [H, W, 3] or [3, H, W], found shape {tuple(tensor.shape)}")
    channels_first = tensor.shape[0] == 3 and (isinstance(image, Tensor) or tensor.shape[-1] != 3)
    if not channels_first:
        tensor = tensor.permute(2, 0, 1)
    if tensor.dtype == torch.uint8:
        return tensor.float().div_(255.0).contiguous()
    tensor = tensor.float().contiguous()
    low, high = tensor.aminmax()
    if not (low >= 0.0 and high <= 1.0):
        raise InvalidInput(
            f"expected image values in 0..1 (or uint8), found {float(low):g}..{float(high):g}: divide by 255"
        )
    return tensor


def as_probabilities(coarse: Any, num_classes: int, smoothing: float = SMOOTHING) -> Tensor:
    """A probability map ``float32 [C, H, W]`` of a label map ``[H, W]`` or of a probability map.

    Raises:
        InvalidInput: wrong number of classes, ids outside the classes, or no probabilities.
    """
    tensor = as_tensor(coarse)
    if tensor.ndim == 2 and not tensor.is_floating_point():
        return one_hot(tensor, num_classes, smoothing)
    if tensor.ndim != 3 or not tensor.is_floating_point():
        raise InvalidInput(
            "expected a label map [H, W] of integers or a probability map [C, H, W] of floats, "
            f"found {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    if tensor.shape[0] != num_classes:
        raise InvalidInput(f"expected probabilities of {num_classes} classes, found {tensor.shape[0]}")
    tensor = tensor.float()
    check_probabilities(tensor)
    return tensor


def check_ids(labels: Tensor | np.ndarray, num_classes: int) -> None:
    """Raise `InvalidInput` where an id is neither one of `num_classes` classes nor void."""
    tensor = as_tensor(labels)
    if tensor.numel() == 0:
        raise InvalidInput(f"expected a label map with pixels, found shape {tuple(tensor.shape)}")
    outside = (tensor < 0) | ((tensor >= num_classes) & (tensor != void_of(tensor)))
    if outside.any():
        found = sorted(int(i) for i in tensor[outside].unique()[:5])
        raise InvalidInput(
            f"expected ids 0..{num_classes - 1} or {void_of(tensor)} for void, found "
            f"{', '.join(map(str, found))} on {int(outside.sum())} pixels: "
            "name all classes, or map these ids to void"
        )


def check_probabilities(probabilities: Tensor, tolerance: float = 1e-3) -> None:
    """Raise `InvalidInput` unless `probabilities` ``[..., C, H, W]`` are non-negative and sum to 1 over C."""
    if probabilities.numel() == 0:
        raise InvalidInput(f"expected a probability map with pixels, found {tuple(probabilities.shape)}")
    total = probabilities.sum(dim=-3, dtype=torch.float32)
    if not torch.isfinite(total).all():
        raise InvalidInput("the probability map holds NaN or infinite values: write it anew")
    if probabilities.amin() < -tolerance:
        raise InvalidInput(
            f"expected probabilities of at least 0, found {float(probabilities.amin()):g}: "
            "are these logits? Apply softmax over the classes"
        )
    worst = float((total - 1.0).abs().max())
    if worst > tolerance:
        raise InvalidInput(
            f"expected probabilities that sum to 1 within {tolerance:g}, found sums off by up to {worst:.3g}: "
            "apply softmax over the classes, or divide by the sum"
        )


def check_same_size(**maps: Tensor | np.ndarray) -> None:
    """Raise `InvalidInput` unless the named maps (``[..., H, W]``) have one height and width."""
    sizes = {name: tuple(map_.shape[-2:]) for name, map_ in maps.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {w} x {h}" for name, (h, w) in sizes.items())
        raise InvalidInput(f"expected one size, found {found} (width x height): resize one of them")


def named_classes(names: Classes | Sequence[str]) -> Classes:
    """`names` as `Classes`."""
    return names if isinstance(names, Classes) else Classes(tuple(names))
