"""MSRC-21: what refiners trained on one segmenter's maps do to another's; after run.py of both kinds.

python benchmarks/refine_msrc21/other_maps.py
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from segmend.data.dataset import Dataset, open_dataset
from segmend.jobs.evaluate import evaluate
from segmend.jobs.refine import RefineOptions, open_pairs, refine
from segmend.refiners import load
from segmend.report.results import Evaluation, read_results

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from comparison import COLUMNS, DATA, Method, replace_table, spread  # noqa: E402
from run import COMPARED  # noqa: E402

SHOWN = ("dense CRF", "ECN", "SPN, three-way")
MIN_CONFIDENCE = 0.7
"""Chosen on a fold of the training split: SPN of the other folds, trained on maps of `linear`, gains 0.3 on those
of `deeplab` if every change is taken, 1.1 with 0.7 and with 0.8, and 1.0 with 0.9."""

TITLES = ("mIoU", "boundary IoU", "trimap 3 px")
PAIRS = (("linear", "deeplab"), ("deeplab", "linear"))
"""Maps that refiners are trained on, and maps that they refine."""


def cautious(method: Method) -> Method:
    """What a method has trained, with unsure changes undone."""
    return replace(
        method, name=f"{method.name}, unsure changes undone", min_confidence=MIN_CONFIDENCE, trained_as=method
    )


def refined_elsewhere(
    runs: Path, images: Path, truth: Dataset, method: Method, seed: int, own: str, other: str
) -> Evaluation:
    """Scores of a method that was trained on maps of the kind `own`, over those of the kind `other`."""
    out = runs / other / f"{method.folder}-trained-on-{own}" / str(seed)
    results = out / "results.json"
    if not results.is_file():
        trained = runs / own / (method.trained_as or method).folder / str(seed) / "refiner"
        refiner, coarse = load(trained), runs / other / "val" / "probs"
        pairs, _ = open_pairs(images, coarse, refiner)
        refine(refiner, pairs, out / "refined", RefineOptions(min_confidence=method.min_confidence))
        evaluate(truth, out / "refined" / "labels", coarse, results)
    found = read_results(results)
    assert isinstance(found, Evaluation)
    return found


def with_rows(lines: list[str], old: str) -> str:
    """The old table with new rows in place of old ones, or after those that refine the same maps."""
    found = {tuple(line.split("|")[1:4]): line for line in [*old.splitlines()[2:], *lines[2:]]}
    kinds = list(dict.fromkeys(refines for *_, refines in found))
    return "\n".join([*lines[:2], *(line for kind in kinds for key, line in found.items() if key[2] == kind)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Refiners over maps of a segmenter that they were not trained on."
    )
    parser.add_argument("--data", type=Path, default=DATA / "msrc21", help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "msrc21", help="folder that run.py filled")
    parser.add_argument("--only", nargs="+", metavar="REFINER", choices=SHOWN, help="rows to make anew")
    parser.add_argument("--trained-on", choices=[own for own, _ in PAIRS], help="the same")
    arguments = parser.parse_args()
    truth = open_dataset(arguments.data, "val")
    lines = ["| refiner | trained on | refines | " + " | ".join(TITLES) + " | degraded |", "|---" * 7 + "|"]
    for own, other in PAIRS:
        if arguments.trained_on not in (None, own):
            continue
        methods = [m for m in COMPARED[other] if m.name in (arguments.only or SHOWN)]
        methods += [cautious(m) for m in methods if m.seeds > 1]
        for method in methods:
            found = [
                refined_elsewhere(
                    arguments.runs, arguments.data / "images" / "val", truth, method, seed, own, other
                )
                for seed in range(method.seeds)
            ]
            if method is methods[0]:
                before = found[0].coarse_scores
                assert before is not None
                cells = [spread([100 * (COLUMNS[t](before) or 0.0)]) for t in TITLES]
                lines.append(f"| coarse | | {other} | " + " | ".join(cells) + " | |")
            cells = [spread([100 * (COLUMNS[t](e.scores) or 0.0) for e in found]) for t in TITLES]
            worse = spread([100 * (e.degraded or 0.0) for e in found])
            lines.append(f"| {method.name} | {own} | {other} | " + " | ".join(cells) + f" | {worse} % |")
    text = "\n".join(lines)
    change = partial(with_rows, lines) if arguments.only or arguments.trained_on else text
    replace_table(HERE.parents[1] / "docs" / "results.md", "msrc21 other maps", change)
    print(text)


if __name__ == "__main__":
    main()
