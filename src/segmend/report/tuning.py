"""What ``segmend tune`` found, in words."""

from __future__ import annotations

from segmend.report.results import Tried, Tuning


def best_of_each(results: Tuning) -> list[Tried]:
    """Of each method the setting with the best gain if unlucky, the best first."""
    best: dict[str, Tried] = {}
    for one in sorted(results.tried, key=lambda one: -one.unlucky):
        best.setdefault(one.name.partition(",")[0], one)
    return list(best.values())


def sentence_of(results: Tuning) -> str:
    """What was chosen, and what gain to expect."""
    masks = f"{results.images} good masks"
    expected = (
        f"{100 * results.expected_gain:+.1f} mIoU on others (95 % interval {100 * results.low:+.1f} to "
        f"{100 * results.high:+.1f}), of {100 * results.mean_iou:.1f}"
    )
    if results.chosen == results.tried[0].name:
        return f"no refiner is surely better on {masks} than leaving the maps as they are"
    return f"chosen by {masks}: {results.chosen}; expected gain {expected}"
