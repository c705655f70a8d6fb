"""Run lengths of brush regions, against Label Studio's own code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmend.labels import InvalidInput
from segmend.plugins.label_studio.brush import decoded, encoded


def random_mask(seed, height, width, share):
    return np.random.default_rng(seed).random((height, width)) < share


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
def test_a_mask_comes_back(seed, height, width, share):
    mask = random_mask(seed, height, width, share)
    assert (decoded(encoded(mask), height, width) == mask).all()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("size", [(3, 5), (40, 60), (300, 210)])
def test_label_studio_reads_what_is_written_and_the_other_way_round(size, share):
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    mask = random_mask(1, *size, share)
    ours, theirs = encoded(mask), brush.mask2rle(mask.astype(np.uint8) * 255)
    assert theirs[: len(ours)] == ours
    assert ((brush.decode_rle(ours).reshape(*size, 4)[..., 3] > 0) == mask).all()
    assert (decoded(theirs, *size) == mask).all()


def test_values_that_differ_in_a_run_are_read_too():
    """As Label Studio's page writes soft strokes: RGBA, of which alpha counts."""
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    rgba = np.random.default_rng(0).integers(0, 256, (6, 7, 4), np.uint8)
    rle = brush.encode_rle(rgba.ravel())
    assert (decoded(rle, 6, 7) == (rgba[..., 3] >= 128)).all()
    # One run of values that all differ, as the format allows and the code above never writes.
    count, size = rgba.size, "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    bits = f"{count:032b}00111{size}010" if count <= 16 else f"{count:032b}00111{size}010{count - 1:08b}"
    bits += "".join(f"{value:08b}" for value in rgba.ravel())
    bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
    one_run = list(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    assert (brush.decode_rle(one_run) == rgba.ravel()).all()
    assert (decoded(one_run, 6, 7) == (rgba[..., 3] >= 128)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rle: rle[:-3], "cut short"),
        (lambda rle: [], "cut short"),
        (lambda rle: [256, *rle], "numbers 0..255"),
        (lambda rle: "text", "numbers 0..255"),
        (lambda rle: None, "numbers 0..255"),
        (lambda rle: [255] * 40, "expected run lengths of 20 x 10"),
        (lambda rle: encoded(np.ones((10, 21), bool)), "found 840 values"),
        (lambda rle: [*rle[:6], *[255] * 60], "longer than its image"),
    ],
)
def test_broken_run_lengths_are_refused(change, message):
    rle = encoded(random_mask(0, 10, 20, 0.5))
    with pytest.raises(InvalidInput, match=message):
        decoded(change(rle), 10, 20)
