"""Speed of `segmend refine` over 100 pictures of 500 x 375 with 21 classes, every refiner in one run.

    python benchmarks/refine_speed/run.py

The pictures are drawn by the package, so the benchmark needs no data; networks have random weights, which cost
as much as trained ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import RECIPES, replace_table  # noqa: E402

from segmend.data.damage import Damage  # noqa: E402
from segmend.data.dataset import open_dataset  # noqa: E402
from segmend.data.drawn import CLASSES, draw_dataset  # noqa: E402
from segmend.data.files import write_probabilities  # noqa: E402
from segmend.devices import Precision  # noqa: E402
from segmend.jobs.refine import open_pairs, refine  # noqa: E402
from segmend.labels import Classes  # noqa: E402
from segmend.refiners import ECN, DenseCRF, GuidedFilter, Refiner  # noqa: E402
from segmend.report.results import Run  # noqa: E402
from segmend.training.recipe import RefinerRecipe, read_recipe  # noqa: E402

COUNT = 21


def refiners() -> list[tuple[str, Refiner, Precision]]:
    """What is timed: name, refiner, precision."""
    torch.manual_seed(0)
    classes = Classes.numbered(COUNT)
    recipe = read_recipe(RECIPES / "ecn_few_pictures.yaml")
    assert isinstance(recipe, RefinerRecipe)
    assert recipe.ecn is not None
    small = ECN(classes, **recipe.ecn.model_dump(exclude={"features"})).eval()
    networks = {f"ECN {width}": ECN(classes, width).eval() for width in ("full", "half", "quarter")}
    timed: list[tuple[str, Refiner, Precision]] = [
        ("dense CRF, 5 iterations", DenseCRF(), "32"),
        ("guided filter", GuidedFilter(), "32"),
        ("ECN for few pictures", small, "32"),
        ("ECN for few pictures, bf16", small, "bf16"),
    ]
    for name, network in networks.items():
        timed += [(name, network, "32"), (f"{name}, bf16", network, "bf16")]
    return timed


def prepare(folder: Path, pictures: int) -> None:
    """Draw the pictures and damage their truth, with room for `COUNT` classes in the maps."""
    draw_dataset(folder / "data", train=1, val=pictures, height=375, width=500)
    dataset = open_dataset(folder / "data", "val")
    torch.manual_seed(0)
    for record in dataset:
        labels = torch.from_numpy(dataset.labels(record))
        write_probabilities(folder / "coarse" / f"{record.id}.npz", Damage().of_truth(labels, COUNT).numpy())


def row(name: str, run: Run) -> str:
    """A line of the table: rate, and milliseconds a picture by part."""
    each = {part: 1000 * seconds / run.done for part, seconds in run.seconds.items()}
    idle = run.seconds["waited"] / run.seconds["total"]
    return (
        f"| {name} | {run.pictures_per_second:.2f} | {each['network']:.0f} | {each['read']:.0f} | "
        f"{each['write']:.0f} | {each['total']:.0f} | {idle:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100)
    arguments = parser.parse_args()
    assert len(CLASSES) <= COUNT
    lines = ["| refiner | pictures a second | network ms | reading ms | writing ms | total ms | network idle |"]
    lines.append("|---" * 7 + "|")
    raw = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.pictures)
        for title, refiner, precision in refiners():
            pairs, _ = open_pairs(folder / "data" / "images" / "val", folder / "coarse", refiner, COUNT)
            run = refine(refiner, pairs, folder / "out", name=title, precision=precision)
            shutil.rmtree(folder / "out")
            raw[title] = run.model_dump(mode="json", include={"done", "seconds", "pictures_per_second"})
            lines.append(row(title, run))
    (HERE / "results.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    replace_table(HERE.parents[1] / "docs" / "results.md", "refine speed", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
