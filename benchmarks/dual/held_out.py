"""Choose the rounds of the recipe, and the weights of the closed form at test, on images that no training saw.

python benchmarks/dual/held_out.py rounds
python benchmarks/dual/held_out.py closed_form
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.data.convert.lists import read_lines
from segmend.data.dataset import Dataset, open_dataset, pair_labels
from segmend.dual import DualSegmentation, combined
from segmend.dual.prediction import COLOURS, FEATURES, evidence, sharpened
from segmend.dual.samples import tags_of_labels
from segmend.jobs.train import train
from segmend.metrics import ConfusionMatrix, mean_iou
from segmend.model_folder import load_model
from segmend.training.recipe import read_recipe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA, folder_of  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402

Trained = Callable[..., DualSegmentation]
"""The network of a name, trained with ``key=value`` for the recipe."""

Weights = tuple[float, float]
"""Of features and of colours in the closed form."""

WEIGHTS = tuple(itertools.product((0.0, 0.25, 0.5, 1.0, 2.0), (0.0, 0.25, 0.5)))
NETWORKS = {"labels alone": ("rounds=[]",), "dual": ()}

STEPS, CLOSED_FORM = "{steps: 30}", "{}"
STEPS_AS_IT_IS, CLOSED_FORM_AS_IT_IS = "{steps: 30, teacher: false}", "{teacher: false}"
ROUNDS = {
    "tag steps; closed form; both by the network as it is": (STEPS_AS_IT_IS, CLOSED_FORM_AS_IT_IS),
    "tag steps; closed form by the network as it is": (STEPS, CLOSED_FORM_AS_IT_IS),
    "tag steps by the network as it is; closed form": (STEPS_AS_IT_IS, CLOSED_FORM),
    "tag steps; closed form (the recipe)": (STEPS, CLOSED_FORM),
    "closed form, twice": (CLOSED_FORM, CLOSED_FORM),
    "tag steps; closed form, twice": (STEPS, CLOSED_FORM, CLOSED_FORM),
}


def part(root: Path, out: Path, labelled: list[str]) -> Path:
    """A data set whose training split is the labelled images alone; ``weak`` is as it is."""
    for kind in ("images", "labels"):
        (out / kind / "train").mkdir(parents=True, exist_ok=True)
        for record in open_dataset(root, "train").subset(set(labelled)):
            file = record.image if kind == "images" else record.labels
            assert file is not None
            if not (out / kind / "train" / file.name).exists():
                (out / kind / "train" / file.name).symlink_to(file.resolve())
    for name in ("dataset.yaml", "tags.json", "images/weak"):
        if not (out / name).exists():
            (out / name).symlink_to((root / name).resolve())
    return out


@torch.no_grad()
def scores(model: DualSegmentation, data: Dataset, weights: Sequence[Weights]) -> dict[Weights, dict[str, float]]:
    """mIoU by the weights of the closed form, of images alone and with their tags."""
    count, void = len(data.classes), data.classes.void
    found = {(pair, tagged): ConfusionMatrix(count) for pair in weights for tagged in (False, True)}
    for record in data:
        image, labels = (torch.from_numpy(array) for array in pair_labels(data, record))
        scale = model.side / max(labels.shape)
        size = [round(scale * length) for length in labels.shape]
        small = F.interpolate(
            image.permute(2, 0, 1)[None].float() / 255, size=size, mode="bilinear", antialias=True
        )
        features = model.encode(small)
        u3, v3 = model.map_logits(features), model.tag_logits(features)
        given = evidence(tags_of_labels(labels, count, void)[None])[:, :, None, None]
        for tagged, logits in ((False, combined(u3, v3)), (True, u3 + given)):
            for pair in weights:
                map_ = sharpened(logits, features, small, by_features=pair[0], by_colours=pair[1])
                found[pair, tagged].update(_enlarged(map_, size, labels), labels[None])

    def score(pair: Weights, tagged: bool) -> float:
        return 100 * float(mean_iou(found[pair, tagged].counts, data.scored_ids))

    return {pair: {"images alone": score(pair, False), "tags given": score(pair, True)} for pair in weights}


def _enlarged(map_: Tensor, size: list[int], labels: Tensor) -> Tensor:
    cells = F.interpolate(map_, scale_factor=4, mode="bilinear", align_corners=False)[:, :, : size[0], : size[1]]
    return F.interpolate(cells, size=labels.shape, mode="bilinear", align_corners=False).argmax(1)


def score_rounds(trained: Trained, others: Dataset) -> None:
    """Rounds of training, by the map and by the closed form with the weights of `segmend predict`."""
    figures: dict[str, dict[str, list[float]]] = {}
    for name, rounds in ROUNDS.items():
        model = trained(name, f"rounds=[{', '.join(rounds)}]")
        found = scores(model, others, ((0.0, 0.0), (FEATURES, COLOURS)))
        titles = (f"{title}, {way}" for way in ("map", "closed form") for title in ("images alone", "tags given"))
        values = (value for one in found.values() for value in one.values())
        figures[name] = {title: [value] for title, value in zip(titles, values, strict=True)}
        print(name, figures[name])
    write_raw(HERE / "rounds.json", figures)


def score_closed_form(trained: Trained, others: Dataset) -> None:
    """Weights of the closed form, of networks with and without tags in training."""
    figures: dict[str, dict[str, list[float]]] = {}
    for name, overrides in NETWORKS.items():
        for (by_features, by_colours), values in scores(trained(name, *overrides), others, WEIGHTS).items():
            row = f"{by_features:g} on features, {by_colours:g} on colours"
            for title, value in values.items():
                figures.setdefault(row, {})[f"{name}, {title}"] = [value]
    write_raw(HERE / "closed_form.json", figures)


TABLES: dict[str, Callable[[Trained, Dataset], None]] = {"rounds": score_rounds, "closed_form": score_closed_form}


def main() -> None:
    parser = argparse.ArgumentParser(description="Score choices on images that no training saw.")
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--data", type=Path, default=DATA / "voc12_subset", help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs/dual/held_out"))
    arguments = parser.parse_args()
    labelled = read_lines(HERE / "labelled_100.txt")
    everyone = open_dataset(arguments.data, "train")
    others = everyone.subset({record.id for record in everyone} - set(labelled))
    root = part(arguments.data, arguments.runs / "data", labelled)

    def trained(name: str, *overrides: str) -> DualSegmentation:
        folder = arguments.runs / folder_of(name)
        train(read_recipe("dual", (f"data.root={root}", *overrides)), folder, quiet=True)
        return load_model(DualSegmentation, folder).eval()

    TABLES[arguments.table](trained, others)
    print(table(f"{HERE.name}/{arguments.table}"))


if __name__ == "__main__":
    main()
