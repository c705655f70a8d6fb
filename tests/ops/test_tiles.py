"""Tiles: whatever the sizes, each pixel once, seams invisible, memory that of a band."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segmend.ops.tiles import tile_spans, tiled_bands

lengths = st.integers(1, 300)


@given(lengths, st.integers(2, 90), st.data())
def test_starts_cover_the_axis_with_the_overlap_asked_for(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    spans = tile_spans(length, tile, overlap)
    assert (spans[0].start, spans[-1].stop) == (0, length)
    assert all(a.stop - b.start >= overlap and a.start < b.start for a, b in pairwise(spans))
    assert len({s.stop - s.start for s in spans}) == 1
    assert spans[0].stop <= tile


@pytest.mark.parametrize(("height", "width"), [(50, 70), (8, 200), (200, 8), (1, 1), (33, 33)])
def test_a_pointwise_function_is_reproduced(height, width):
    image = torch.rand(3, height, width)
    bands = list(
        tiled_bands(lambda rows, columns: 2 * image[:, rows, columns], (height, width), tile=(20, 32), overlap=9)
    )
    assert [rows.start for rows, _ in bands] == [0, *(rows.stop for rows, _ in bands[:-1])]
    assert bands[-1][0].stop == height
    assert torch.allclose(torch.cat([band for _, band in bands], dim=1), 2 * image, atol=1e-5)


def test_where_tiles_disagree_the_seam_is_a_slope():
    calls = []

    def constant(rows, columns):
        calls.append(columns)
        return torch.full((1, rows.stop - rows.start, columns.stop - columns.start), float(len(calls)))

    (_, band), *rest = tiled_bands(constant, (10, 50), tile=(30, 30), overlap=10)
    assert not rest
    steps = band[0, 5].diff()
    assert steps.min() >= 0
    assert steps.max() < 0.2
    assert (band[0, 5, 0], band[0, 5, -1]) == (1, 2)


def test_an_overlap_as_large_as_the_tile_is_refused():
    with pytest.raises(ValueError, match="overlap"):
        next(tiled_bands(lambda r, c: torch.zeros(1, 1, 1), (9, 9), tile=(4, 8), overlap=4))
