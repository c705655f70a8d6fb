"""Choose the weights of the closed form at test, on training images that no training saw.

python benchmarks/dual/closed_form.py
"""

import argparse
import itertools
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from segmend.data.convert.lists import read_lines
from segmend.data.dataset import Dataset, open_dataset, pair_labels
from segmend.dual import DualSegmentation, combined
from segmend.dual.prediction import evidence, sharpened
from segmend.dual.samples import tags_of_labels
from segmend.jobs.train import train
from segmend.metrics import ConfusionMatrix, mean_iou
from segmend.model_folder import load_model
from segmend.training.recipe import read_recipe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402

FEATURES, COLOURS = (0.0, 0.25, 0.5, 1.0, 2.0), (0.0, 0.25, 0.5)
NETWORKS = {"labels alone": ("rounds=[]",), "dual": ()}


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
def scores(model: DualSegmentation, images: Dataset) -> dict[str, dict[str, float]]:
    """mIoU by the weights of the closed form, of images alone and with their tags."""
    count, void = len(images.classes), images.classes.void
    weights = list(itertools.product(FEATURES, COLOURS))
    found = {(pair, tagged): ConfusionMatrix(count) for pair in weights for tagged in (False, True)}
    for record in images:
        image, labels = (torch.from_numpy(array) for array in pair_labels(images, record))
        scale = model.side / max(labels.shape)
        size = [round(scale * length) for length in labels.shape]
        small = F.interpolate(
            image.permute(2, 0, 1)[None].float() / 255, size=size, mode="bilinear", antialias=True
        )
        features = model.encode(small)
        u3, v3 = model.map_logits(features), model.tag_logits(features)
        given = evidence(tags_of_labels(labels, count, void)[None])[:, :, None, None]
        for tagged, logits in ((False, combined(u3, v3)), (True, u3 + given)):
            for by_features, by_colours in weights:
                map_ = sharpened(logits, features, small, by_features=by_features, by_colours=by_colours)
                found[(by_features, by_colours), tagged].update(_enlarged(map_, size, labels), labels[None])

    def score(pair: tuple[float, float], tagged: bool) -> float:
        return 100 * float(mean_iou(found[pair, tagged].counts, images.scored_ids))

    return {
        f"{by_features:g} on features, {by_colours:g} on colours": {
            "images alone": score((by_features, by_colours), False),
            "tags given": score((by_features, by_colours), True),
        }
        for by_features, by_colours in weights
    }


def _enlarged(map_: Tensor, size: list[int], labels: Tensor) -> Tensor:
    cells = F.interpolate(map_, scale_factor=4, mode="bilinear", align_corners=False)[:, :, : size[0], : size[1]]
    return F.interpolate(cells, size=labels.shape, mode="bilinear", align_corners=False).argmax(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Score weights of the closed form.")
    parser.add_argument("--data", type=Path, default=DATA / "voc12_subset", help="folder of the data set")
    parser.add_argument("--runs", type=Path, default=Path("runs/dual/closed_form"))
    arguments = parser.parse_args()
    labelled = read_lines(HERE / "labelled_100.txt")
    everyone = open_dataset(arguments.data, "train")
    others = everyone.subset({record.id for record in everyone} - set(labelled))
    root = part(arguments.data, arguments.runs / "data", labelled)
    figures: dict[str, dict[str, list[float]]] = {}
    for name, overrides in NETWORKS.items():
        folder = arguments.runs / name.replace(" ", "_")
        train(read_recipe("dual", (f"data.root={root}", *overrides)), folder)
        for row, values in scores(load_model(DualSegmentation, folder).eval(), others).items():
            for title, value in values.items():
                figures.setdefault(row, {})[f"{name}, {title}"] = [value]
    write_raw(HERE / "closed_form.json", figures)
    print(table(f"{HERE.name}/closed_form"))


if __name__ == "__main__":
    main()
