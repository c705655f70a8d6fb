"""How stored ids are read as classes, rule by rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmend.coding import Coding, IdCounts, decide, shares
from segmend.labels import InvalidInput


def blocks(*ids: int, dtype: type = np.uint8) -> np.ndarray:
    """A mask of 12 x 12 px blocks, one for each id."""
    return np.kron(np.array(ids, dtype), np.ones((12, 12), dtype))


def reading(*masks: np.ndarray, **options: object):
    return decide({f"{i}.png": IdCounts.of(mask) for i, mask in enumerate(masks)}, **options)


def test_counts_are_those_of_a_slow_loop():
    mask = np.random.default_rng(0).integers(0, 3, (9, 11)) * 7
    counts = IdCounts.of(mask)
    slow = {}
    for y in range(9):
        for x in range(11):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = all(0 <= v < 9 and 0 <= u < 11 and mask[v, u] == mask[y, x] for v, u in around)
            pixels, interior = slow.get(int(mask[y, x]), (0, 0))
            slow[int(mask[y, x])] = pixels + 1, interior + inside
    found = zip(
        counts.ids.tolist(), zip(counts.pixels.tolist(), counts.interior.tolist(), strict=True), strict=True
    )
    assert dict(found) == slow
    twice = IdCounts.total([counts, counts])
    assert twice.pixels.tolist() == (2 * counts.pixels).tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_0_and_255_alone_are_background_and_foreground(dtype):
    decision = reading(blocks(0, 255, dtype=dtype), blocks(255, 0, 0, dtype=dtype))
    assert decision.coding == Coding((0, 255), ())
    assert decision.assumed == ("255 is read as foreground, class 1",)
    assert decision.coding.decode(blocks(0, 255)).max() == 1
    assert reading(blocks(0, 255), count=2) == decision
    assert reading(blocks(0, 255), count=21).coding.void == (255, 65535)  # of many classes it is void


def test_65535_is_foreground_too():
    assert reading(blocks(0, 65535, dtype=np.uint16)).coding.ids == (0, 65535)


def test_0_and_255_beside_0_and_1_are_refused_and_named():
    with pytest.raises(InvalidInput, match=r"1\.png holds 0 and 255 where 0\.png, 2\.png hold 1: .* --ids 0,1"):
        reading(blocks(0, 1), blocks(0, 255), blocks(0, 1))
    stray = blocks(0, 255)
    stray[0, 0] = 1
    with pytest.raises(InvalidInput, match="0 and 255 where"):
        reading(blocks(0, 255), stray)
    assert reading(blocks(0, 1), blocks(0, 255), ids=(0, 1)).coding.void == (255, 65535)
    assert reading(blocks(0, 1), blocks(0, 255), blocks(0, 1, 255)).coding.void == (255, 65535)  # void is shown


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("void", [255, 65535])
def test_the_largest_value_is_void_in_any_type(dtype, void):
    if void > np.iinfo(dtype).max:
        pytest.skip("does not fit")
    coding = reading(blocks(0, 1, 2, void, dtype=dtype)).coding
    assert coding.ids == (0, 1, 2)
    decoded = coding.decode(blocks(0, 1, 2, void, dtype=dtype))
    assert decoded.dtype == np.uint8
    assert np.unique(decoded).tolist() == [0, 1, 2, 255]


def test_255_is_a_class_among_many():
    coding = reading(np.kron(np.arange(300).reshape(15, 20), np.ones((3, 3), int))).coding
    assert len(coding.ids) == 300
    assert 255 not in coding.void


@pytest.mark.parametrize("ids", [(0, 85, 170, 255), (0, 127, 255), (0, 128, 255), (0, 51, 102, 153, 204, 255)])
def test_ids_spread_for_viewing_are_refused(ids):
    with pytest.raises(InvalidInput, match=r"scaled for viewing.*--ids 0,"):
        reading(blocks(*ids))
    assert reading(blocks(*ids), ids=ids).coding.ids == ids


def test_interpolated_masks_are_refused():
    disc = np.hypot(*np.mgrid[-30:31, -30:31]) < 20
    soft = np.clip(np.cumsum(np.pad(disc, ((0, 0), (5, 0))), axis=1), 0, None)
    soft = ((soft[:, 5:] - soft[:, :-5]) * 51).astype(np.uint8)  # a box filter
    with pytest.raises(InvalidInput, match=r"grey, interpolated or JPEG mask.*nearest neighbour"):
        reading(soft)


def test_greys_of_a_saliency_map_are_refused():
    smooth = np.add.outer(np.arange(256), np.arange(300) // 3).clip(0, 255).astype(np.uint8)
    noisy = smooth ^ np.random.default_rng(0).integers(0, 8, smooth.shape, dtype=np.uint8)
    with pytest.raises(InvalidInput, match="grey"):
        reading(noisy)


def test_thin_lines_and_small_objects_are_classes():
    mask = np.zeros((40, 40), np.uint8)
    for i in range(1, 7):
        mask[6 * i] = i  # lines of one pixel
    assert reading(mask).coding.ids == tuple(range(7))


def test_ids_with_gaps_are_counted_by_those_that_occur():
    decision = reading(blocks(7, 26001, 33003, dtype=np.int32))
    assert decision.coding.ids == (7, 26001, 33003)
    assert "7, 26001, 33003 are 3 classes" in decision.assumed[0]
    assert list(decision.coding.classes.names) == ["class 7", "class 26001", "class 33003"]
    assert np.unique(decision.coding.decode(blocks(26001, 7, dtype=np.int32))).tolist() == [0, 1]
    with pytest.raises(InvalidInput, match="expected ids 7, 26001, 33003 or 255 for void, found 8 on 144"):
        decision.coding.decode(blocks(8, dtype=np.int32))


def test_thousands_of_ids_are_instances():
    with pytest.raises(InvalidInput, match=r"1,600 ids up to 1600: are these instances, or"):
        reading(np.kron(np.arange(1, 1601).reshape(40, 40), np.ones((3, 3), int)))


def test_negative_ids_and_ids_that_contradict_the_count_are_refused():
    with pytest.raises(InvalidInput, match="at least 0, found -1, 0, 1"):
        reading(blocks(-1, 0, 1, dtype=np.int64))
    with pytest.raises(InvalidInput, match="2 ids were given for 3 classes"):
        reading(blocks(0, 1), count=3, ids=(0, 1))
    with pytest.raises(InvalidInput, match="for two classes: 0, 1, 1"):
        reading(blocks(0, 1), ids=(0, 1, 1))


def test_nothing_labelled_has_two_classes_and_is_void():
    coding = reading(blocks(255)).coding
    assert (coding.decode(blocks(255)) == 255).all()
    assert reading().coding.ids == (0, 1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 60000).filter(lambda i: i != 255), min_size=1, max_size=9, unique=True))
def test_decoding_and_encoding_give_back_what_was_stored(ids):
    stored = blocks(*sorted(ids), dtype=np.int32)
    coding = Coding(tuple(ids))
    assert np.array_equal(coding.encode(coding.decode(stored)), stored)
    stored[0, 0] = 65535
    assert coding.encode(coding.decode(stored))[0, 0] in (255, 65535)


def test_shares_name_classes_and_void():
    counts = IdCounts.of(blocks(0, 0, 1, 255))
    assert shares(counts, Coding.counted(2), ["sky", "cow"]) == "sky 50.0 %, cow 25.0 %; void 25.0 %"


def test_one_grey_mask_among_good_ones_is_named():
    noise = np.where(np.random.default_rng(0).random((60, 60)) < 0.5, 0, 200).astype(np.uint8)
    noise[::2] += np.arange(30, dtype=np.uint8)[:, None]
    with pytest.raises(InvalidInput, match=r"^1\.png: found .* grey"):
        reading(blocks(0, 1, 2), noise, blocks(0, 2))


def test_masks_of_void_and_0_alone_are_named_among_others():
    for others in ((0, 1, 2), (0, 1, 255)):
        decision = reading(blocks(*others), blocks(0, 255))
        assert decision.assumed == ("1.png holds void and id 0 alone: is foreground written as void there?",)
