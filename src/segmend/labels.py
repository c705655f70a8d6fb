"""The vocabulary: classes, void, label maps, probability maps, and the checks that guard them.

Shapes here are those of one image. `one_hot`, `most_likely` and the checks also take leading batch
dimensions; `as_image` and `as_probabilities` take one image, of what people hold in their hands.

* image: ``float32 [3, H, W]``, RGB, 0..1
* label map: ``uint8`` or ``int32 [H, W]`` of class ids ``0..C-1``, or void
* probability map: ``float [C, H, W]``, non-negative, sums to 1 over C
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segmend.invalid import InvalidInput as InvalidInput
from segmend.pixels import ROUNDING, to_rgb, value_range, values_of

VOID = 255
"""Void in ``uint8`` label maps. Void never counts in a loss, a metric or a statistic."""

VOID_16 = 65535
"""Void in ``int32`` label maps (16-bit files)."""

SMOOTHING = 0.02
"""Probability that a hard label leaves to the other classes (``eps`` of `one_hot`)."""

UNDECIDED = 0.1
"""Share of the pixels on which logits may all be equal."""

HALF_TOLERANCE = 4e-3
"""How far probabilities in half precision may be from a sum of 1; they are divided by their sum when read."""


Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Classes:
    """The ordered classes of a data set, with one RGB colour (0..255) for each.

    A palette that is missing or too short is filled up with the colours of PASCAL VOC.
    """

    names: tuple[str, ...]
    palette: Palette = ()

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise InvalidInput(f"expected a list of class names, found the text {self.names!r}")
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) < 1:
            raise InvalidInput("a data set needs at least one class")
        if len(set(self.names)) != len(self.names):
            raise InvalidInput(f"class names must differ from each other: {', '.join(self.names)}")
        if len(self.names) > VOID_16:
            raise InvalidInput(f"at most {VOID_16} classes fit a 16-bit label map, found {len(self.names)}")
        given = tuple(_colour(colour) for colour in self.palette)[: len(self.names)]
        rest = tuple(voc_colour(i) for i in range(len(given), len(self.names)))
        object.__setattr__(self, "palette", given + rest)

    @classmethod
    def numbered(cls, count: int, palette: Palette = ()) -> Classes:
        """Classes that nobody named: ``class 0``, ``class 1``, ..."""
        return cls(tuple(f"class {i}" for i in range(count)), palette)

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

    def ids(self, names: Iterable[str]) -> tuple[int, ...]:
        """The ids of classes by their names.

        Raises:
            InvalidInput: a name that no class has.
        """
        names = tuple(names)
        unknown = sorted(set(names) - set(self.names))
        if unknown:
            raise InvalidInput(f"no class is named {', '.join(unknown)}; there are {', '.join(self.names)}")
        return tuple(self.names.index(name) for name in names)


def voc_colour(index: int) -> tuple[int, int, int]:
    """Colour of class `index` in PASCAL VOC's palette: the bits of the index, dealt to r, g, b in turn."""
    channels = [0, 0, 0]
    for bit in range(24):
        channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


def _colour(value: Any) -> tuple[int, int, int]:
    try:
        red, green, blue = (int(v) for v in value)
    except (TypeError, ValueError):
        raise InvalidInput(f"expected a colour as [red, green, blue], found {value!r}") from None
    if not all(0 <= v <= 255 for v in (red, green, blue)):
        raise InvalidInput(f"expected a colour of values 0..255, found {value!r}")
    return red, green, blue


def void_of(labels: Tensor | np.ndarray) -> int:
    """The void id of a label map, by its data type: 255 for ``uint8``, 65535 for wider ones."""
    return VOID if labels.dtype in (torch.uint8, np.uint8) else VOID_16


def one_hot(labels: Tensor, num_classes: int, smoothing: float = SMOOTHING) -> Tensor:
    """Probability map ``float32 [..., C, H, W]`` of a hard label map ``[..., H, W]``.

    The label's class gets ``1 - smoothing``, the others share `smoothing`; void pixels become uniform.

    Raises:
        InvalidInput: an id is neither a class nor void.
    """
    labels = as_tensor(labels)
    check_ids(labels, num_classes)
    void = labels == void_of(labels)
    index = labels.long().masked_fill(void, 0).unsqueeze(-3)
    others = smoothing / (num_classes - 1) if num_classes > 1 else 0.0
    probabilities = torch.full(
        (*labels.shape[:-2], num_classes, *labels.shape[-2:]),
        others,
        dtype=torch.float32,
        device=labels.device,
    )
    probabilities.scatter_(-3, index, 1.0 - others * (num_classes - 1))
    return probabilities.masked_fill_(void.unsqueeze(-3), 1.0 / num_classes)


def most_likely(probabilities: Tensor) -> Tensor:
    """Label map ``[..., H, W]`` of a probability map ``[..., C, H, W]``; ties go to the smaller id."""
    labels = probabilities.max(dim=-3).indices  # a third of the time of argmax, which reads across channels
    return labels.to(torch.uint8 if probabilities.shape[-3] <= VOID else torch.int32)


_WIDER = {
    torch.int8: torch.int32,  # cannot hold void
    torch.int16: torch.int32,
    torch.uint16: torch.int32,  # torch hardly computes with these
    torch.uint32: torch.int64,
    torch.uint64: torch.int64,
}


def as_tensor(value: Any) -> Tensor:
    """A tensor of an array, image or tensor: a view where torch can compute with the memory, else a copy.

    Integers that cannot hold void, or that torch cannot compute with, become wider.

    Raises:
        InvalidInput: not numbers.
    """
    if not isinstance(value, Tensor):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            masks = isinstance(value, Sequence) and len(value) and isinstance(value[0], Mapping)
            advice = ": paint the masks into one label map first, larger ones first" if masks else ""
            raise InvalidInput(
                f"expected an array, an image or a tensor, found {type(value).__name__}{' of masks' * bool(masks)}"
                f"{advice}"
            )
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        value = torch.from_numpy(array if array.flags.writeable else array.copy())
    found: Tensor = value.to(_WIDER[value.dtype]) if value.dtype in _WIDER else value
    return found


def as_image(image: Any) -> Tensor:
    """An image ``float32 [3, H, W]`` in 0..1 of an array, a tensor or an image of Pillow.

    * arrays and tensors: RGB, ``uint8`` or floats in 0..1, ``[H, W, 3]`` or ``[3, H, W]`` (a tensor with 3 first
      is taken as channels first). Floats outside 0..1 by rounding, as resizing leaves them, are clipped.
    * images of Pillow: of any mode, converted as `segmend.data.images.read_image` converts files: turned by their
      EXIF orientation, grey and palettes to RGB, transparency over black, deeper values by their range.

    Raises:
        InvalidInput: another shape, or values that are not in 0..1; the message says what to do.

    Example:
        >>> as_image(np.full((2, 3, 3), 255, np.uint8)).shape
        torch.Size([3, 2, 3])
    """
    if isinstance(image, Image.Image):
        return _in_unit_range(torch.from_numpy(to_rgb(*values_of(image))).permute(2, 0, 1))
    tensor = as_tensor(image)
    if tensor.ndim != 3 or 3 not in (tensor.shape[0], tensor.shape[-1]) or tensor.numel() == 0:
        shape = tuple(tensor.shape)
        raise InvalidInput(
            f"expected an RGB image [H, W, 3] or [3, H, W], found shape {shape}: {_advice_on_shape(shape)}"
        )
    channels_first = tensor.shape[0] == 3 and (isinstance(image, Tensor) or tensor.shape[-1] != 3)
    return _in_unit_range(tensor if channels_first else tensor.permute(2, 0, 1))


def _advice_on_shape(shape: tuple[int, ...]) -> str:
    if len(shape) == 2 or (len(shape) == 3 and 1 in (shape[0], shape[-1])):
        return "repeat a grey image for red, green and blue"
    if len(shape) == 4 and shape[0] == 1:
        return "give one image of the batch, image[0]"
    if len(shape) == 3 and 4 in (shape[0], shape[-1]):
        return "give the first three channels, without transparency or near infrared"
    return "give one image in red, green and blue"


def _in_unit_range(image: Tensor) -> Tensor:
    """Values of an image as contiguous ``float32`` in 0..1."""
    if image.dtype == torch.uint8:
        return image.float().div_(255.0).contiguous()
    values = image.float().contiguous()
    low, high = (float(v) for v in values.aminmax())
    if not math.isfinite(low) or not math.isfinite(high):
        raise InvalidInput("the image holds NaN or infinite values: write it anew")
    white = int(value_range(np.dtype(np.int64), max(low, 0), high)[1])
    if not image.is_floating_point():
        how = "convert it to uint8" if low >= 0 and white == 255 else f"divide by {white}"
        raise InvalidInput(f"expected uint8, or floats in 0..1, found integers {low:g}..{high:g}: {how}")
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return values.clamp(0, 1) if low < 0 or high > 1 else values
    how = f"divide by {white}"
    if low < -ROUNDING or high < NORMALISED:
        how = "these look normalised (mean/std): give the image before that, 0..1 or uint8"
    raise InvalidInput(f"expected image values in 0..1 (or uint8), found {low:g}..{high:g}: {how}")


NORMALISED = 16
"""Values above 1 and below this look normalised by a mean and a standard deviation; larger ones like 0..255."""


def as_label_map(value: Any) -> np.ndarray | None:
    """The ids ``[H, W]`` of an array, PIL image or tensor that is a label map; None for anything else.

    Floats that are whole numbers are ids, and so is grey in three equal channels ``[H, W, 3]``. Integers may have
    one axis of length 1 more.

    Example:
        >>> as_label_map(np.array([[0.0, 2.0]])).tolist()
        [[0, 2]]
        >>> as_label_map(np.array([[0.2, 0.8]])) is None
        True
    """
    array = as_tensor(value).detach().cpu().numpy()
    if array.ndim == 3 and array.shape[-1] in (3, 4) and array.dtype == np.uint8:
        grey = array[..., :1]
        same = (array[..., :3] == grey).all() and array.shape[0] > 4
        array = grey[..., 0] if same else array
    if array.ndim == 3 and array.dtype.kind in "biu" and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        return None
    if array.dtype.kind != "f":
        return array
    whole = np.rint(np.nan_to_num(array, nan=0.5))
    return whole.astype(np.int64) if np.array_equal(whole, array) else None


def as_probabilities(coarse: Any, num_classes: int, smoothing: float = SMOOTHING, logits: bool = False) -> Tensor:
    """A probability map ``float32 [C, H, W]`` of a label map ``[H, W]`` or of a probability map.

    Probabilities may also be ``uint8``, in shares of 255, as they are stored where they are to take little room.

    Args:
        logits: floats ``[C, H, W]`` are logits, and their softmax is meant.

    Raises:
        InvalidInput: wrong number of classes, ids outside the classes, or no probabilities.
    """
    tensor = as_tensor(coarse)
    if tensor.ndim == 2 and not tensor.is_floating_point():
        return one_hot(tensor, num_classes, smoothing)
    stored = tensor.dtype == torch.uint8 and tensor.ndim == 3 and tensor.shape[0] == num_classes
    if tensor.ndim != 3 or not (tensor.is_floating_point() or stored):
        raise InvalidInput(
            "expected a label map [H, W] of integers or a probability map [C, H, W] of floats, "
            f"found {tensor.dtype} of shape {tuple(tensor.shape)}{_layout(tensor, num_classes)}"
        )
    if tensor.shape[0] != num_classes:
        raise InvalidInput(
            f"expected probabilities of {num_classes} classes, found {tensor.shape[0]} of shape "
            f"{tuple(tensor.shape)}{_layout(tensor, num_classes)}"
        )
    return softened(tensor) if logits and not stored else normalised(tensor)


def _layout(tensor: Tensor, num_classes: int) -> str:
    """What an array of another layout than ``[C, H, W]`` seems to be, and what to do, for messages."""
    if tensor.ndim == 3 and tensor.dtype == torch.bool:
        return ": one mask in each plane, paint them into one label map first, larger ones first"
    if tensor.ndim == 3 and not tensor.is_floating_point() and tensor.shape[0] == num_classes:
        return ": one plane for each class? Give floats, or the label map"
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        return ": a batch of one, take its first element"
    if tensor.ndim == 4:
        return ": a batch, give one image at a time"
    if tensor.ndim == 3 and tensor.shape[0] == 1:
        return ": one plane, so p of the foreground? Give two, 1 - p and p"
    if tensor.ndim == 3 and tensor.shape[-1] in (num_classes, 1) and tensor.shape[0] != num_classes:
        return ": classes must come first, not last"
    if tensor.ndim == 3 and tensor.is_floating_point() and bool((tensor.sum(-1) - 1).abs().max() < HALF_TOLERANCE):
        return ": the last axis sums to 1, but classes must come first"
    return ""


def softened(logits: Tensor) -> Tensor:
    """Softmax of logits ``[C, H, W]`` over C, in float32.

    Raises:
        InvalidInput: NaN, or infinite ones.
    """
    found = logits.float().softmax(dim=0)
    if not torch.isfinite(found.sum(dim=0)).all():
        raise InvalidInput("the logits hold NaN or infinite values: write them anew")
    equal = float((logits.amax(dim=0) == logits.amin(dim=0)).float().mean()) if len(logits) > 1 else 0.0
    if equal > UNDECIDED:
        raise InvalidInput(
            f"the logits of all classes are equal on {100 * equal:.0f} % of the pixels: are these logits of "
            "single masks, without background? Add a first plane of zeros for it"
        )
    return found


def normalised(stored: Tensor) -> Tensor:
    """Probabilities ``float32 [C, H, W]`` as they are stored: floats, or ``uint8`` in shares of 255.

    What half floats and bytes round away must not add up: their sums are made 1.

    Raises:
        InvalidInput: negative or infinite ones, or sums further from 1 than by rounding.
    """
    if stored.dtype in (torch.float32, torch.float64):
        check_probabilities(stored)
        return stored.float()
    found = stored.float()
    if stored.dtype == torch.uint8:
        found /= found.sum(dim=0, keepdim=True).clamp_min(1)
        check_probabilities(found)
        return found
    check_probabilities(found, HALF_TOLERANCE)
    return found.div_(found.sum(dim=0, keepdim=True))


def check_ids(labels: Tensor | np.ndarray, num_classes: int, void: int | None = None) -> None:
    """Raise `InvalidInput` where an id is neither one of `num_classes` classes nor void.

    Args:
        void: the void id where it is not that of the data type (`void_of`).
    """
    if not isinstance(labels, np.ndarray):  # loaders check arrays: torch's threads would only get in their way
        labels = as_tensor(labels)
    void = void_of(labels) if void is None else void
    if 0 in labels.shape:
        raise InvalidInput(f"expected a label map with pixels, found shape {tuple(labels.shape)}")
    outside = (labels < 0) | ((labels >= num_classes) & (labels != void))
    if outside.any():
        found = sorted(int(i) for i in as_tensor(labels[outside]).unique()[:5])
        wrong_type = VOID in found and void == VOID_16
        raise InvalidInput(
            f"expected ids 0..{num_classes - 1} or {void} for void, found "
            f"{', '.join(map(str, found))} on {int(outside.sum())} pixels: "
            + ("255 is void only in uint8 maps" if wrong_type else "name all classes, or map these ids to void")
        )


def check_probabilities(probabilities: Tensor, tolerance: float = 1e-3) -> None:
    """Raise `InvalidInput` unless `probabilities` ``[..., C, H, W]`` are non-negative and sum to 1 over C."""
    if probabilities.ndim < 3 or probabilities.numel() == 0:
        raise InvalidInput(f"expected a probability map [C, H, W], found shape {tuple(probabilities.shape)}")
    total = probabilities.sum(dim=-3, dtype=torch.float32)
    if not torch.isfinite(total).all():
        raise InvalidInput("the probability map holds NaN or infinite values: write it anew")
    if probabilities.amin() < -tolerance:
        raise InvalidInput(
            f"expected probabilities of at least 0, found {float(probabilities.amin()):g}: "
            "are these logits? Say so (--logits, or logits=True). Logits of single masks need a plane of zeros "
            "for the background first"
        )
    worst = float((total - 1.0).abs().max())
    if worst > tolerance:
        layout = _layout(probabilities, probabilities.shape[-3])
        raise InvalidInput(
            f"expected probabilities that sum to 1 within {tolerance:g}, found sums off by {worst:.3g}"
            f"{layout or ': apply softmax over the classes, or divide by the sum'}"
        )


def check_same_size(**maps: Tensor | np.ndarray) -> None:
    """Raise `InvalidInput` unless the named maps (``[..., H, W]``) have one height and width."""
    sizes = {name: tuple(map_.shape[-2:]) for name, map_ in maps.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {w} x {h}" for name, (h, w) in sizes.items())
        raise InvalidInput(f"expected one size, found {found} (width x height): resize one of them")
