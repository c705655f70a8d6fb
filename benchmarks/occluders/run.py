"""Faces behind pasted objects: a teacher with few labels, labels generated from its maps, and students of both.

python benchmarks/occluders/run.py
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segmend import metrics
from segmend.data.dataset import Dataset, open_dataset
from segmend.data.description import write_description
from segmend.data.images import write_image
from segmend.data.masks import write_labels
from segmend.faces.occlusion import BACKGROUND, FACE, OCCLUSION
from segmend.jobs.occlusions import CLASSES, OcclusionOptions, label_occlusions
from segmend.jobs.predict import predict
from segmend.jobs.train import train
from segmend.ops.blobs import components
from segmend.training.recipe import read_recipe
from segmend.training.tasks.segmenter import SegmenterRecipe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA, RECIPES  # noqa: E402
from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402

from faces import NARROW  # noqa: E402

SIDE = 128
PARTS = (
    *("skin", "nose", "eye_glasses", "left_eye", "right_eye", "left_brow", "right_brow"),
    *("mouth", "upper_lip", "lower_lip"),
)
"""Classes of CelebAMask-HQ inside the outline of a face."""

TAUGHT = 100
"""Faces of the training split that have labels; the others have none."""

COVERED = 0.75
"""Share of the faces that get an object."""

SIDES = (0.25, 0.6)
"""Range of the square root of an object's area, in sides of the face."""

STEPS = "optimisation.steps=500"
"""Steps of a student."""

TAUGHT_STEPS = "optimisation.steps=1500"
"""Three times a student's: further training alone would improve a teacher that has not converged."""

AGREEING = ("consensus.alpha=0.3", "consensus.beta=3")
"""Less than the recipe's: occluders are few pixels and often wrong, and a blob counts whatever its size."""

FURTHER = "optimisation.lr=1.0e-3"
"""Learning rate of students, which start from their teacher's weights."""


@dataclass(frozen=True)
class Cutout:
    """An object ``uint8 [h, w, 3]`` and its mask ``bool [h, w]``."""

    image: np.ndarray
    mask: np.ndarray


def cutouts(dataset: Dataset) -> list[Cutout]:
    """The largest object of each image that is no person and does not touch the image's sides."""
    person, void = dataset.classes.names.index("person"), dataset.classes.void
    found = []
    for record in dataset:
        labels = dataset.labels(record)
        regions = components(np.isin(labels, (0, person, void), invert=True))
        sizes = np.bincount(regions.ravel())[1:]
        if not sizes.size or sizes.max() < 0.02 * labels.size:
            continue
        mask = regions == 1 + int(sizes.argmax())
        if mask[[0, -1]].any() or mask[:, [0, -1]].any():
            continue
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        found.append(Cutout(dataset.image(record)[part], mask[part]))
    return found


def paste(image: np.ndarray, face: np.ndarray, thing: Cutout, rng: np.random.Generator) -> np.ndarray:
    """Paste an object over a face, in place, centred inside the face's box; gives its mask, ``bool [H, W]``."""
    rows, columns = (np.flatnonzero(face.any(axis=axis)) for axis in (1, 0))
    side = float(max(np.ptp(rows), np.ptp(columns)))
    scale = rng.uniform(*SIDES) * side / np.sqrt(thing.mask.sum())
    turn = scale * rng.choice((-1, 1))
    x, y = (rng.uniform(places[0], places[-1]) for places in (columns, rows))
    height, width = thing.mask.shape
    move = np.array([[turn, 0, x - turn * width / 2], [0, scale, y - scale * height / 2]])
    seen = cv2.warpAffine(thing.image, move, face.shape[::-1])
    where = cv2.warpAffine(thing.mask.astype(np.uint8), move, face.shape[::-1], flags=cv2.INTER_NEAREST) > 0
    image[where] = seen[where]
    return where


def prepare(faces: Path, things: Path, root: Path) -> Path:
    """Faces at 128 x 128 px behind objects, with exact labels, in splits taught, found and val.

    ``labels`` are background, face and what covers it (inside the convex hull of all of the face).
    """
    if (root / "dataset.yaml").is_file():
        return root
    for split in ("train", "val"):
        objects, dataset = cutouts(open_dataset(things, split)), open_dataset(faces, split)
        parts = dataset.classes.ids(PARTS)
        for number, record in enumerate(dataset):
            rng = np.random.default_rng((number, len(dataset)))
            image, labels = dataset.image(record).copy(), dataset.labels(record)
            full = np.isin(labels, parts)
            covered = np.zeros_like(full)
            if rng.random() < COVERED:
                covered = paste(image, full, objects[rng.integers(len(objects))], rng)
            points = np.argwhere(full)[:, ::-1].astype(np.int32)
            hull = cv2.fillConvexPoly(full.astype(np.uint8), cv2.convexHull(points), 1).astype(bool)
            truth = np.where(covered & hull, OCCLUSION, np.where(full & ~covered, FACE, BACKGROUND))
            name = "val" if split == "val" else "taught" if number < TAUGHT else "found"
            small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            write_image(root / "images" / name / f"{record.id}.png", small)
            shrunk = cv2.resize(truth.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST_EXACT)
            write_labels(root / "labels" / name / f"{record.id}.png", np.asarray(shrunk), CLASSES.palette)
    write_description(root, "covered_faces", CLASSES)
    return root


def write_faces(root: Path, split: str, images: Dataset, maps: Iterable[np.ndarray]) -> None:
    """A data set of faces and background, which includes occluders.

    It lists the class of occluders too, so that students can start from their teacher's weights.
    """
    for record, map_ in zip(images, maps, strict=True):
        write_image(root / "images" / split / f"{record.id}.png", images.image(record))
        labels = np.where(map_ == FACE, FACE, BACKGROUND).astype(np.uint8)
        write_labels(root / "labels" / split / f"{record.id}.png", labels, CLASSES.palette)
    write_description(root, "faces", CLASSES)


TITLES = ("face IoU", "accuracy", "face recall", "mean recall", "sparsity", "boundary IoU", "occlusion recall")


def score(truth: Dataset, maps: Path) -> list[float]:
    """Scores of face and everything else, as in SVC's Table 1, and the recall of occluders."""
    confusion, boundary = np.zeros((2, 3), np.int64), np.zeros((2, 2), np.int64)
    torn, covered, spared = metrics.Sparsity(2), 0, 0
    predicted = truth.with_coarse(maps)
    for record in predicted:
        labels, map_ = truth.labels(record), (predicted.coarse(record) == FACE).astype(np.uint8)
        face = (labels == FACE).astype(np.uint8)
        confusion += metrics.confusion_matrix(map_, face, 2)
        boundary += metrics.boundary_iou_counts(map_, face, 2)
        torn.update(map_, face)
        covered += int((labels == OCCLUSION).sum())
        spared += int(((labels == OCCLUSION) & (map_ == 0)).sum())
    recall = np.diag(confusion) / confusion.sum(axis=1)
    return [
        100 * float(metrics.iou(confusion)[1]),
        100 * float(np.trace(confusion) / confusion.sum()),
        100 * float(recall[1]),
        100 * float(recall.mean()),
        float(torn.compute()),
        100 * float(metrics.boundary_iou(boundary)[1]),
        100 * spared / max(1, covered),
    ]


@dataclass(frozen=True)
class Study:
    """The teacher and students of one seed."""

    faces: Path
    out: Path
    seed: int

    def scores(self) -> Iterator[tuple[str, list[float]]]:
        """Rows of the table, by name."""
        taught, found, val = (open_dataset(self.faces, split) for split in ("taught", "found", "val"))
        faces = self.out / "faces"
        write_faces(faces, "taught", taught, map(taught.labels, taught))
        plain = ("consensus=null",)
        teacher = self.trained("teacher", faces, "taught", *plain, TAUGHT_STEPS)
        predict(teacher, found, self.out / "teacher_maps")
        maps = self.out / "teacher_maps" / "labels"
        yield "unlabelled: teacher's maps", score(found, maps)
        seen, made = found.with_coarse(maps), self.out / "made"
        label_occlusions(seen, made, OcclusionOptions((FACE,), steps=True))
        part = found.subset({record.id for record in open_dataset(made, "train").records})
        yield "unlabelled: generated labels", score(part, made / "labels" / "train")
        write_faces(faces, "found", found, map(seen.coarse, seen))
        yield "teacher", self.scored(teacher, val)
        for name, root, split, loss in (
            ("teacher, trained further", faces, "taught", plain),
            ("student of the teacher's maps, cross-entropy", faces, "found", plain),
            ("student of the teacher's maps, consensus and cross-entropy", faces, "found", AGREEING),
            ("student of generated labels, cross-entropy", made, "train", plain),
            ("student of generated labels, consensus and cross-entropy", made, "train", AGREEING),
        ):
            further = f"start={teacher}", FURTHER
            yield name, self.scored(self.trained(name, root, split, *loss, *further), val)

    def trained(self, name: str, root: Path, split: str, *overrides: str) -> Path:
        options = (
            f"data.root={root}",
            f"data.train={split}",
            f"optimisation.seed={self.seed}",
            NARROW,
            STEPS,
            *overrides,
        )
        recipe = read_recipe(RECIPES / "face_parser.yaml", options)
        assert isinstance(recipe, SegmenterRecipe)
        train(recipe, self.out / name)
        return self.out / name

    def scored(self, model: Path, val: Dataset) -> list[float]:
        predict(model, val, model / "maps")
        return score(val, model / "maps" / "labels")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on generated labels of faces behind objects.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/occluders"), help="folder for everything that is written"
    )
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    faces = prepare(
        arguments.data / "celebamask_hq_mini", arguments.data / "voc12_subset", arguments.runs / "faces"
    )
    found: dict[str, list[list[float]]] = {}
    for seed in range(arguments.seeds):
        for name, scores in Study(faces, arguments.runs / str(seed), seed).scores():
            found.setdefault(name, []).append(scores)
            print(seed, name, [round(value, 1) for value in scores], flush=True)
    figures = {name: dict(zip(TITLES, zip(*rows, strict=True), strict=True)) for name, rows in found.items()}
    write_raw(HERE / "faces.json", figures, range(arguments.seeds))
    print(table(f"{HERE.name}/faces", "maps"))


if __name__ == "__main__":
    main()
