"""Images of any size in bounded memory: overlapping tiles whose seams are blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def tile_spans(length: int, tile: int, overlap: int) -> list[slice]:
    """The tiles along an axis: as few as can be of at most `tile`, no longer than they must be, evenly spread.

    Neighbours share at least `overlap`.
    """
    if length <= tile:
        return [slice(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    side = -(-(length + (count - 1) * overlap) // count)
    starts = [round(i * (length - side) / (count - 1)) for i in range(count)]
    return [slice(start, start + side) for start in starts]


def tiled_bands(
    function: Callable[[slice, slice], Tensor], size: tuple[int, int], tile: tuple[int, int], overlap: int
) -> Iterator[tuple[slice, Tensor]]:
    """Apply a function of image regions tile by tile, and yield finished bands of rows from the top.

    Where tiles overlap their results are averaged, each weighted by its distance to the tile's rim, so no
    seam is seen. Memory is that of a band of a tile's rows, whatever the height.

    Args:
        function: takes rows and columns, gives ``[C, rows, columns]``.
        size: height and width of the whole.
        tile: most that a tile measures in height and width, in pixels (a smaller image is one tile).
        overlap: pixels that neighbours share at least, fewer than either.

    Yields:
        Rows, and their result ``float32 [C, rows, W]``; together they are the whole image, each row once.
    """
    if not 0 <= overlap < min(tile):
        raise ValueError(f"expected an overlap of at least 0 and less than a tile of {tile}, found {overlap}")
    height, width = size
    down, across = tile_spans(height, tile[0], overlap), tile_spans(width, tile[1], overlap)
    row_weights, column_weights = _weights(down, height), _weights(across, width)
    total: Tensor | None = None
    for i, rows in enumerate(down):
        following = down[i + 1].start if i + 1 < len(down) else height
        for j, columns in enumerate(across):
            result = function(rows, columns).float()
            if len(down) == len(across) == 1:
                yield rows, result
                return
            weights = torch.outer(row_weights[i], column_weights[j]).to(result.device)
            if total is None:
                total = result.new_zeros(result.shape[0], rows.stop - rows.start, width)
            total[:, :, columns].addcmul_(result, weights)
        assert total is not None
        finished = following - rows.start
        yield slice(rows.start, following), total[:, :finished]
        if following < height:
            total, before = torch.zeros_like(total), total
            total[:, : before.shape[1] - finished] = before[:, finished:]


def _weights(spans: list[slice], length: int) -> list[Tensor]:
    """Of each tile along an axis; they fall linearly from its middle to its rim, and sum to 1 everywhere."""
    ramps = []
    for span in spans:
        position = torch.arange(span.stop - span.start, dtype=torch.float32)
        ramps.append(torch.minimum(position + 1, position.flip(0) + 1))
    total = torch.zeros(length)
    for span, ramp in zip(spans, ramps, strict=True):
        total[span] += ramp
    return [ramp / total[span] for span, ramp in zip(spans, ramps, strict=True)]
