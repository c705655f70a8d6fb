"""The vocabulary: properties of the maps, and messages that say what was expected, found, and what to do."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from torch import Tensor

from segmend.data.images import read_image
from segmend.labels import (
    VOID,
    VOID_16,
    Classes,
    InvalidInput,
    as_image,
    as_probabilities,
    as_tensor,
    check_ids,
    check_probabilities,
    check_same_size,
    most_likely,
    one_hot,
    voc_colour,
    void_of,
)

few = settings(max_examples=40, deadline=None, derandomize=True)
sides = st.integers(1, 6)


@st.composite
def label_maps(draw: st.DrawFn, most: int = 300) -> tuple[np.ndarray, int]:
    """A label map of any batch shape, with void, in the data type of its classes; and how many these are."""
    count = draw(st.integers(1, most))
    dtype, void = (np.uint8, VOID) if count <= VOID else (np.int32, VOID_16)
    shape = (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(sides), draw(sides))
    ids = st.one_of(st.integers(0, count - 1), st.just(void))
    return draw(arrays.arrays(dtype, shape, elements=ids)), count


# ---- classes ----


def test_palette_is_filled_up_with_the_colours_of_voc() -> None:
    assert Classes(("a", "b", "c"), ((9, 8, 7),)).palette == ((9, 8, 7), (128, 0, 0), (0, 128, 0))
    assert len(Classes(("a",), ((1, 1, 1), (2, 2, 2))).palette) == 1
    assert [voc_colour(i) for i in (0, 1, 15, 20, 255)] == [
        (0, 0, 0),
        (128, 0, 0),
        (192, 128, 128),
        (0, 64, 128),
        (224, 224, 192),
    ]
    assert len({voc_colour(i) for i in range(256)}) == 256


@pytest.mark.parametrize(
    ("count", "void", "dtype"),
    [(1, 255, np.uint8), (255, 255, np.uint8), (256, 65535, np.int32), (300, 65535, np.int32)],
)
def test_more_than_255_classes_need_16_bits(count: int, void: int, dtype: type) -> None:
    classes = Classes.numbered(count)

    assert len(classes) == count
    assert classes.void == void
    assert classes.dtype == dtype
    assert void_of(np.zeros((1, 1), classes.dtype)) == void
    assert void >= count


@pytest.mark.parametrize(
    ("names", "palette", "message"),
    [
        ((), (), "at least one class"),
        (("a", "b", "a"), (), "must differ from each other: a, b, a"),
        ("cat", (), "found the text 'cat'"),
        (tuple(map(str, range(65536))), (), "at most 65535 classes"),
        (("a",), ((1, 2),), r"as \[red, green, blue\], found \(1, 2\)"),
        (("a",), ("#ff0000",), "found '#ff0000'"),
        (("a",), ((0, 0, 256),), r"0\.\.255, found \(0, 0, 256\)"),
    ],
)
def test_classes_that_cannot_be(names: tuple[str, ...], palette: tuple, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Classes(names, palette)


# ---- label maps and probability maps ----


@few
@given(label_maps(), st.floats(0.0, 0.4))
def test_one_hot_is_a_probability_map_that_most_likely_undoes(given_: tuple, smoothing: float) -> None:
    array, count = given_
    labels = torch.from_numpy(array)
    known = labels != void_of(labels)

    probabilities = one_hot(labels, count, smoothing)

    assert probabilities.shape == (*labels.shape[:-2], count, *labels.shape[-2:])
    assert probabilities.dtype == torch.float32
    check_probabilities(probabilities, tolerance=1e-5)
    on_label = probabilities.gather(-3, labels.long().where(known, 0)[..., None, :, :]).squeeze(-3)
    expected = torch.tensor(1 - smoothing if count > 1 else 1.0)
    torch.testing.assert_close(on_label[known], expected.expand(int(known.sum())))
    torch.testing.assert_close(on_label[~known], torch.full((int((~known).sum()),), 1 / count))
    if count == 1 or smoothing < 1 - 1 / count:
        assert torch.equal(most_likely(probabilities)[known], labels[known])


@few
@given(arrays.arrays(np.float32, (3, 4, 5), elements=st.sampled_from([0.0, 0.25, 0.5])))
def test_most_likely_gives_ties_to_the_smaller_id(values: np.ndarray) -> None:
    labels = most_likely(torch.from_numpy(values))

    assert labels.dtype == torch.uint8
    np.testing.assert_array_equal(labels.numpy(), values.argmax(axis=0))  # numpy promises the first


def test_most_likely_of_many_classes_is_int32() -> None:
    labels = torch.tensor([[299, 255], [256, 0]], dtype=torch.int32)
    assert torch.equal(most_likely(one_hot(labels, 300)), labels)
    assert most_likely(one_hot(labels, 300)).dtype == torch.int32
    assert most_likely(torch.rand(2, 255, 1, 1)).shape == (2, 1, 1)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint32, bool, ">u2"]
)
def test_label_maps_of_any_integers(dtype: type) -> None:
    labels = np.array([[0, 1], [1, 0]]).astype(dtype)
    expected = one_hot(torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8), 2)

    assert torch.equal(as_probabilities(labels, 2), expected)
    assert torch.equal(as_probabilities(labels[:, ::-1], 2), expected.flip(-1))
    if dtype != ">u2":
        assert torch.equal(one_hot(torch.from_numpy(labels), 2), expected)


def test_void_follows_the_data_type() -> None:
    uniform = torch.full((2, 1, 1), 0.5)
    assert torch.equal(as_probabilities(np.array([[255]], np.uint8), 2), uniform)
    for dtype in (np.uint16, np.int32, np.int64):
        assert torch.equal(as_probabilities(np.array([[65535]], dtype), 2), uniform)
        with pytest.raises(InvalidInput, match="255 is void only in uint8 maps"):
            as_probabilities(np.array([[255]], dtype), 2)


@few
@given(label_maps(), st.integers(1, 5))
def test_ids_outside_the_classes_are_named(given_: tuple, beyond: int) -> None:
    array, count = given_
    labels = torch.from_numpy(array.astype(np.int32))
    labels[labels == (VOID if count <= VOID else VOID_16)] = VOID_16
    check_ids(labels, count)
    check_ids(labels.numpy(), count)

    labels[..., 0, 0] = count - 1 + beyond
    message = (
        rf"ids 0\.\.{count - 1} or 65535 for void, found {count - 1 + beyond} on {labels[..., 0, 0].numel()} pix"
    )
    for map_ in (labels, labels.numpy()):
        with pytest.raises(InvalidInput, match=message):
            check_ids(map_, count)
    labels[..., 0, 0] = -beyond
    with pytest.raises(InvalidInput, match=f"found -{beyond}"):
        one_hot(labels, count)


def test_a_data_set_may_have_a_void_of_its_own() -> None:
    check_ids(np.array([[0, 11]]), 11, void=11)
    with pytest.raises(
        InvalidInput, match=r"0\.\.10 or 11 for void, found 12 on 1 pixels: name all classes, or map"
    ):
        check_ids(np.array([[0, 12]]), 11, void=11)


@few
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), sides, sides), elements=st.floats(0, 1, width=32)))
def test_probability_maps_are_taken_as_they_are(values: np.ndarray) -> None:
    values = values + 1e-3
    probabilities = values / values.sum(axis=0)

    for given_ in (probabilities, probabilities.astype(np.float64), torch.from_numpy(probabilities)):
        taken = as_probabilities(given_, len(values))
        assert taken.dtype == torch.float32
        np.testing.assert_array_equal(taken.numpy(), probabilities)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken_and_sums_to_one_again(dtype: torch.dtype) -> None:
    """What a model gives under autocast: its rounding alone is more than the tolerance."""
    logits = torch.randn(19, 50, 60, generator=torch.Generator().manual_seed(0))
    half = logits.softmax(0).to(dtype)

    taken = as_probabilities(half, 19)

    assert taken.dtype == torch.float32
    torch.testing.assert_close(taken.sum(0), torch.ones(50, 60))
    torch.testing.assert_close(taken, half.float(), atol=4e-3, rtol=4e-3)


def test_logits_mean_their_softmax():
    torch.manual_seed(0)
    logits = 9 * torch.randn(4, 5, 6)
    torch.testing.assert_close(as_probabilities(logits, 4, logits=True), logits.softmax(dim=0))
    impossible = torch.tensor([0.0, -torch.inf]).view(2, 1, 1)
    assert as_probabilities(impossible, 2, logits=True).flatten().tolist() == [1, 0]
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        as_probabilities(torch.full((2, 1, 1), torch.inf), 2, logits=True)


def test_stored_probabilities_are_those_they_were_stored_from():
    torch.manual_seed(0)
    given = torch.randn(4, 5, 6).softmax(dim=0)
    bytes_ = (given * 255).round().byte()
    for stored, within in ((given.half(), 1e-3), (bytes_, 1e-2), (given.double(), 1e-6)):
        before = stored.clone()
        found = as_probabilities(stored, 4)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, given, atol=within, rtol=0)
        torch.testing.assert_close(found.sum(dim=0), torch.ones(5, 6))
        assert torch.equal(stored, before)


@pytest.mark.parametrize(
    ("coarse", "message"),
    [
        (torch.full((3, 2, 2), 1 / 3), "of 2 classes, found 3"),
        (torch.full((2, 2, 2), 0.4), "sum to 1 within 0.001, found sums off by 0.2: apply softmax"),
        (torch.tensor([[[2.0]], [[-1.0]]]), "at least 0, found -1: are these logits"),
        (torch.tensor([[[torch.nan]], [[1.0]]]), "NaN or infinite"),
        (torch.tensor([[[torch.inf]], [[-torch.inf]]]), "NaN or infinite"),
        (torch.zeros(2, 0, 5), r"found shape \(2, 0, 5\)"),
        (torch.zeros(0, 5, dtype=torch.uint8), r"with pixels, found shape \(0, 5\)"),
        (torch.zeros(4, 4), "label map .* of integers or a probability map .* found torch.float32"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"found torch.uint8 of shape \(4, 4, 3\)"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), "sum to 1 within"),
        (torch.zeros(1, 2, 4, 4), r"of shape \(1, 2, 4, 4\)"),
        ("mask.png", "an array, an image or a tensor, found str"),
        (None, "found NoneType"),
    ],
)
def test_what_is_no_coarse_map(coarse: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        as_probabilities(coarse, 2)


def test_checks_take_batches() -> None:
    good = torch.full((2, 3, 4, 5, 6), 0.25)
    check_probabilities(good)
    good[1, 2, :, 4, 5] = 0.5
    with pytest.raises(InvalidInput, match="off by 1"):
        check_probabilities(good)
    with pytest.raises(InvalidInput, match=r"found shape \(4, 5\)"):
        check_probabilities(torch.zeros(4, 5))
    check_same_size(image=torch.zeros(2, 3, 4, 5), labels=np.zeros((4, 5)))
    with pytest.raises(InvalidInput, match=r"image 5 x 4, labels 4 x 5 \(width x height\): resize"):
        check_same_size(image=torch.zeros(3, 4, 5), labels=np.zeros((5, 4)))


# ---- images ----


@few
@given(arrays.arrays(np.uint8, st.tuples(sides, sides, st.just(3))))
def test_an_image_is_the_same_however_it_is_held(pixels: np.ndarray) -> None:
    expected = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 255
    held: list[object] = [pixels, Image.fromarray(pixels), pixels.astype(np.float64) / 255]
    held.append(torch.from_numpy(expected))
    if pixels.shape[0] != 3:  # else 3 first means channels first
        held.append(torch.from_numpy(pixels))
    if pixels.shape[1] != 3:
        held += [expected, pixels.transpose(2, 0, 1)]

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the memory of an image is read-only, of which torch warns
        images = [as_image(image) for image in held]

    for image in images:
        assert image.dtype == torch.float32
        assert image.is_contiguous()
        np.testing.assert_allclose(image.numpy(), expected, atol=1e-7)


def test_three_pixels_high_and_wide() -> None:
    array = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_allclose(as_image(array)[:, 0, 0].numpy() * 255, [0, 1, 2])  # an array: channels last
    np.testing.assert_allclose(as_image(torch.from_numpy(array))[:, 0, 0].numpy() * 255, [0, 9, 18])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5), np.uint8), r"found shape \(4, 5\): repeat a grey image for red, green and blue"),
        (np.zeros((4, 5, 1), np.uint8), "repeat a grey image"),
        (np.zeros((4, 5, 4), np.uint8), r"found shape \(4, 5, 4\): give the first three channels"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"one image of the batch, image\[0\]"),
        (np.zeros((0, 5, 3), np.float32), "found shape"),
        (np.full((4, 5, 3), 2.0), r"0\.\.1 \(or uint8\), found 2\.\.2: these look normalised \(mean/std\): give"),
        (np.full((4, 5, 3), -0.5), r"found -0.5\.\.-0.5: these look normalised"),
        (np.full((4, 5, 3), 200.0), r"found 200\.\.200: divide by 255"),
        (np.full((4, 5, 3), 60.0), "divide by 255"),
        (np.full((4, 5, 3), 3920.0), "divide by 4095"),
        (np.full((4, 5, 3), 200, np.int64), r"found integers 200\.\.200: convert it to uint8"),
        (np.full((4, 5, 3), 3920, np.uint16), r"found integers 3920\.\.3920: divide by 4095"),
        (np.full((4, 5, 3), np.nan), "holds NaN"),
        (np.full((4, 5, 3), np.inf), "holds NaN or infinite"),
        ("photo.jpg", "found str"),
    ],
)
def test_what_is_no_image(image: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        as_image(image)


def test_values_outside_the_range_by_rounding_are_clipped() -> None:
    values = np.array([-1e-7, 0, 0.5, 1, 1 + 1e-6, 1 + 5e-4]).reshape(1, 2, 3)
    np.testing.assert_allclose(as_image(values).numpy().ravel(), [0, 1, 0, 1, 0.5, 1], atol=1e-7)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_images_of_pillow_become_what_their_file_becomes(tmp_path: Path, mode: str) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (4, 5), np.uint16)
    image = Image.fromarray(values)
    if mode != "I;16":
        image = Image.fromarray((values % 256).astype(np.uint8)).convert(mode)
    path = tmp_path / "a.tif"
    image.save(path)

    as_file = torch.from_numpy(read_image(path)).permute(2, 0, 1) / 255

    assert torch.equal(as_image(image), as_file)
    with Image.open(path) as opened:
        assert torch.equal(as_image(opened), as_file)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_of_pillow_are_turned_by_their_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.arange(64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)).save(path, exif=exif)
    with Image.open(path) as image:
        assert torch.equal(as_image(image), torch.from_numpy(read_image(path)).permute(2, 0, 1) / 255)


def test_tensors_share_memory_where_they_can() -> None:
    array = np.zeros((4, 5), np.int32)
    assert as_tensor(array).data_ptr() == array.ctypes.data
    tensor = torch.zeros(4, 5)
    assert as_tensor(tensor) is tensor
    array.flags.writeable = False
    assert as_tensor(array).data_ptr() != array.ctypes.data
    wide: Tensor = as_tensor(np.array([65535], np.uint16))
    assert wide.dtype == torch.int32
    assert wide.item() == 65535
