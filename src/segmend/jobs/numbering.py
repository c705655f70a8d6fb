"""Whether maps number their classes as the ground truth does: what a confusion matrix says about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from segmend.coding import listed

FEW = 0.01
"""Share of pixels: where fewer have an id that the ground truth holds, the maps are numbered differently."""

FOUND = 0.2
"""Mean accuracy that a shift of all ids must reach before it is reported."""


def numbering_note(confusion: np.ndarray, ids: Sequence[int], foreign: Iterable[int], what: str) -> str | None:
    """A sentence where maps seem to be numbered differently from the ground truth; None where they do not.

    Args:
        confusion: ``int64 [C, C + 1]`` of the maps; its last column counts void and ids that are no class.
        ids: how each of the C classes is stored.
        foreign: ids in the maps that are no class.
        what: how the maps are called in the sentence.
    """
    shift = shifted_by(confusion, ids)
    if shift is not None:
        move = "one lower" if shift == 1 else "one higher"
        before, after = (100 * np.nanmean(_accuracy(confusion, ids, s)) for s in (0, shift))
        return (
            f"the ids of {what} seem to be {move} than those of the ground truth: mean accuracy is {before:.1f}, "
            f"and {after:.1f} with {shift:+d} on each id. Renumber one of the two"
        )
    true, predicted = confusion.sum(axis=1), confusion[:, :-1].sum(axis=0)
    in_maps = sorted({ids[c] for c in np.flatnonzero(predicted).tolist()} | set(foreign))
    if not in_maps or predicted[true > 0].sum() >= FEW * confusion.sum():
        return None
    in_truth = [ids[c] for c in np.flatnonzero(true).tolist()]
    return (
        f"the ground truth has the ids {listed(in_truth)}, {what} have {listed(in_maps)}: are they numbered "
        "differently? Renumber one of the two (Cityscapes: labelIds, trainIds)"
    )


def shifted_by(confusion: np.ndarray, ids: Sequence[int]) -> int | None:
    """1 or -1 where adding it to all ids of the maps finds the classes far better; else None.

    For most classes of the ground truth accuracy rises, its mean at least doubles, and reaches `FOUND`.
    """
    plain = _accuracy(confusion, ids)
    defined = ~np.isnan(plain)
    if not defined.any():
        return None
    for shift in (1, -1):
        moved = _accuracy(confusion, ids, shift)[defined]
        rises = np.count_nonzero(moved > plain[defined])
        if 2 * rises > len(moved) and moved.mean() >= max(FOUND, 2 * plain[defined].mean()):
            return shift
    return None


def _accuracy(confusion: np.ndarray, ids: Sequence[int], shift: int = 0) -> np.ndarray:
    """Share of each class's pixels whose id, with `shift` added, is right: ``float64 [C]``, NaN without pixels."""
    place = {i: c for c, i in enumerate(ids)}
    right = np.array([confusion[c, place[i - shift]] if i - shift in place else 0 for c, i in enumerate(ids)])
    pixels = confusion.sum(axis=1)
    found: np.ndarray = np.divide(right, pixels, out=np.full(len(ids), np.nan), where=pixels > 0)
    return found
