"""MSRC-21: refiners over the maps of a segmenter that they were not trained on; after run.py of both kinds.

python benchmarks/refine_msrc21/other_maps.py
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from segmend.data.dataset import Dataset, open_dataset
from segmend.jobs.evaluate import evaluate
from segmend.jobs.refine import RefineOptions, open_pairs, refine
from segmend.refiners import load
from segmend.report.results import Evaluation, Scores, read_results

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import tables  # noqa: E402
from comparison import DATA, Method  # noqa: E402
from raw import write_raw  # noqa: E402
from run import COMPARED  # noqa: E402

SHOWN = ("dense CRF", "ECN", "SPN, three-way")
MIN_CONFIDENCE = 0.7
"""Chosen on a fold of the training split: SPN of the other folds, trained on maps of `linear`, gains 0.3 on those
of `deeplab` where every change is kept, 1.1 with 0.7 and with 0.8, and 1.0 with 0.9."""

TITLES = ("mIoU", "boundary IoU", "trimap 3 px")
PAIRS = (("linear", "deeplab"), ("deeplab", "linear"))
"""Maps that refiners are trained on, and maps that they refine."""


def with_min_confidence(method: Method) -> Method:
    """The trained refiners of a method, with a minimum confidence."""
    return replace(
        method,
        name=f"{method.name}, minimum confidence {MIN_CONFIDENCE}",
        min_confidence=MIN_CONFIDENCE,
        trained_as=method,
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


def order_of(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Rows of the table."""
    rows = []
    for own, other in pairs:
        methods = [m for m in COMPARED[other] if m.name in SHOWN]
        methods += [with_min_confidence(m) for m in methods if m.seeds > 1]
        rows += [f"coarse: {other}", *(f"{m.name}: {own} to {other}" for m in methods)]
    return rows


def scores_of(found: list[Scores]) -> dict[str, list[float]]:
    """Scores in points, a value for each seed."""
    return {title: [100 * (tables.SCORES[title](s.model_dump()) or 0.0) for s in found] for title in TITLES}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Refiners over maps of a segmenter that they were not trained on."
    )
    parser.add_argument("--data", type=Path, default=DATA / "msrc21", help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "msrc21", help="folder that run.py filled")
    parser.add_argument("--only", nargs="+", metavar="REFINER", choices=SHOWN, help="make these rows alone")
    parser.add_argument(
        "--trained-on", choices=[own for own, _ in PAIRS], help="make rows of refiners trained on these maps alone"
    )
    arguments = parser.parse_args()
    truth = open_dataset(arguments.data, "val")
    figures: dict[str, dict] = {}
    for own, other in PAIRS:
        if arguments.trained_on not in (None, own):
            continue
        methods = [m for m in COMPARED[other] if m.name in (arguments.only or SHOWN)]
        methods += [with_min_confidence(m) for m in methods if m.seeds > 1]
        for method in methods:
            found = [
                refined_elsewhere(
                    arguments.runs, arguments.data / "images" / "val", truth, method, seed, own, other
                )
                for seed in range(method.seeds)
            ]
            before = found[0].coarse_scores
            assert before is not None
            figures[f"coarse: {other}"] = {"refiner": "coarse", "trained on": "", "refines": other} | {
                **scores_of([before]),
                "share degraded": None,
            }
            figures[f"{method.name}: {own} to {other}"] = {
                **{"refiner": method.name, "trained on": own, "refines": other},
                **scores_of([e.scores for e in found]),
                "share degraded": [100 * (e.degraded or 0.0) for e in found],
            }
    write_raw(HERE / "other_maps.json", figures, range(3), order_of(PAIRS))
    print(tables.other_maps(f"{HERE.name}/other_maps"))


if __name__ == "__main__":
    main()
