"""Pictures of any size in bounded memory: overlapping tiles whose seams are blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis: evenly spread, at least `overlap` shared, the whole axis covered."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def tiled_bands(
    function: Callable[[slice, slice], Tensor], size: tuple[int, int], tile: int, overlap: int
) -> Iterator[tuple[slice, Tensor]]:
    """Apply a function of picture regions tile by tile, and yield finished bands of rows from the top.

    Where tiles overlap their results are averaged, each weighted by its distance to the tile's rim, so no
    seam is seen. Memory is that of a band of `tile` rows, whatever the height.

    Args:
        function: takes rows and columns, gives ``[C, rows, columns]``.
        size: height and width of the whole.
        tile: side of a tile in pixels (a smaller picture is one tile).
        overlap: pixels that neighbours share at least, fewer than `tile`.

    Yields:
        Rows, and their result ``float32 [C, rows, W]``; together they are the whole picture, each row once.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"expected an overlap of at least 0 and less than the tile of {tile}, found {overlap}")
    height, width = size
    tops, lefts = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)
    total: Tensor | None = None
    weights = torch.zeros(0)
    for top, following in zip(tops, [*tops[1:], height], strict=True):
        rows = slice(top, min(top + tile, height))
        for left in lefts:
            columns = slice(left, min(left + tile, width))
            result = function(rows, columns).float()
            if total is None:
                total = result.new_zeros(result.shape[0], rows.stop - rows.start, width)
                weights = result.new_zeros(rows.stop - rows.start, width)
            weight = _ramp(result)
            total[:, :, columns] += result * weight
            weights[:, columns] += weight
        assert total is not None
        finished = following - top
        yield slice(top, following), total[:, :finished] / weights[:finished]
        if following < height:
            total = torch.cat((total[:, finished:], torch.zeros_like(total[:, :finished])), dim=1)
            weights = torch.cat((weights[finished:], torch.zeros_like(weights[:finished])), dim=0)


def _ramp(tile: Tensor) -> Tensor:
    """Weights ``[H, W]`` of a tile ``[C, H, W]`` that fall linearly from its middle to its rim, above 0."""

    def along(length: int) -> Tensor:
        position = torch.arange(length, device=tile.device, dtype=torch.float32)
        return torch.minimum(position + 1, length - position)

    return along(tile.shape[1])[:, None] * along(tile.shape[2])[None, :]
