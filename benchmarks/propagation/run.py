"""Propagated labels against ground truth, by distance: CamVid's run and DAVIS.

python benchmarks/propagation/run.py camvid
python benchmarks/propagation/run.py both
python benchmarks/propagation/run.py kept
python benchmarks/propagation/run.py davis
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from comparison import DATA, RECIPES  # noqa: E402
from raw import write_raw  # noqa: E402
from sequences import DAVIS_CHOSEN, ByDistance, Video, camvid, davis, record, tracks  # noqa: E402

from segmend.jobs.train import train  # noqa: E402
from segmend.labels import void_of  # noqa: E402
from segmend.metrics import boundary_f, region_j  # noqa: E402
from segmend.refiners import Refiner  # noqa: E402
from segmend.refiners import load as load_refiner  # noqa: E402
from segmend.training.recipe import read_recipe  # noqa: E402
from segmend.video import (  # noqa: E402
    DISFlow,
    FlowMotion,
    LearnedMotion,
    Motion,
    NoMotion,
    Propagated,
    fuse,
    load_motion,
    propagate_labels,
)

DISTANCES = (1, 2, 3, 4, 5, 8)
DAVIS_DISTANCES = (1, 5, 10)
APART = 8
"""Frames between two labelled ones, for propagation from both sides."""

THRESHOLDS = (0.0, 0.5, 0.6, 0.75, 0.9, 0.95)

Method = tuple[Motion, bool]
"""A motion, and whether pixels vote."""


def learned(data: Path, networks: Path, name: str, mode: str = "reconstruction") -> LearnedMotion:
    """A network trained on the frames of a validation split, without labels; an existing one is kept."""
    run = networks / (name if mode == "reconstruction" else f"{name}_{mode}")
    frames = data / name / "images" / "val"
    overrides = [f"frames=[{frames}]", f"motion.mode={mode}"]
    train(read_recipe(RECIPES / "motion.yaml", overrides), run, quiet=True)
    return LearnedMotion(load_motion(run))


def methods(data: Path, networks: Path, own: str, other: str) -> dict[str, Method]:
    """Rows of the tables: `own` is the data set that is scored, `other` the other one."""
    best, foreign = learned(data, networks, own), learned(data, networks, other)
    return {
        "copy": (NoMotion(), False),
        "flow, half resolution": (FlowMotion(DISFlow(finest_scale=1)), False),
        "flow": (FlowMotion(), False),
        "prediction, these videos": (learned(data, networks, own, "prediction"), False),
        f"learned, {other} alone": (foreign, False),
        "learned, these videos": (best, False),
        "flow, vote": (FlowMotion(), True),
        f"learned, {other} alone, vote": (foreign, True),
        "learned, these videos, vote": (best, True),
    }


class Recorded:
    """Displacements of videos, computed once for each motion."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, str], list[Tensor]] = {}

    def of(self, video: Video, motion: Motion) -> list[Tensor]:
        key = (id(motion), video.name)
        if key not in self.found:
            self.found[key] = record(video.frames, motion)
        return self.found[key]


def score_camvid(data: Path, networks: Path) -> None:
    """All frames of the run are labelled frames in turn, and labels go to the frames after them."""
    [video] = camvid(data)
    recorded, figures = Recorded(), {}
    for name, (motion, vote) in methods(data, networks, "camvid", "davis").items():
        scores = ByDistance(video.num_classes)
        for start, track in tracks(video.frames, recorded.of(video, motion), max(DISTANCES)):
            if track.steps in DISTANCES:
                found = propagate_labels(track, video.truth[start], vote)
                scores.add(track.steps, found.labels, video.truth[start + track.steps])
        figures[name] = scores.scores()
        print(name, {k: one["miou"] for k, one in figures[name].items()}, flush=True)
    write_raw(HERE / "camvid.json", figures)


def backward(video: Video) -> Video:
    return Video(video.name, video.frames[::-1], video.truth[::-1], video.num_classes)


Sides = tuple[int, Tensor, tuple[Propagated, int] | None, tuple[Propagated, int] | None]


def both_sides(video: Video, motion: Motion, vote: bool) -> Iterator[Sides]:
    """For frames between labelled ones `APART` apart: distance to the nearer, truth, labels from each side."""
    last = len(video.frames) - 1
    sides: list[dict[int, tuple[Propagated, int]]] = []
    for one, number in ((video, lambda t: t), (backward(video), lambda t: last - t)):
        found = {}
        offset = 0 if one is video else last % APART
        steps = record(one.frames, motion)
        for start, track in tracks(one.frames[offset:], steps[offset:], APART - 1, APART):
            labels = one.truth[offset + start]
            found[number(offset + start + track.steps)] = (propagate_labels(track, labels, vote), track.steps)
        sides.append(found)
    for t in range(last - last % APART):
        if t % APART:
            yield min(t % APART, APART - t % APART), video.truth[t], sides[0].get(t), sides[1].get(t)


def score_both(data: Path, networks: Path) -> None:
    """Labels of every eighth frame of the run, for those between: the nearer alone, and both."""
    [video] = camvid(data)
    figures = {}
    for name, motion, vote in (
        ("flow", FlowMotion(), False),
        ("learned", learned(data, networks, "camvid"), False),
        ("learned, vote", learned(data, networks, "camvid"), True),
    ):
        nearer, fused = ByDistance(video.num_classes), ByDistance(video.num_classes)
        for _, truth, before, after in both_sides(video, motion, vote):
            assert before is not None
            assert after is not None
            near = before if before[1] <= after[1] else after
            nearer.add(0, near[0].labels, truth)
            fused.add(0, fuse(before[0], after[0]).labels, truth)
        figures[f"{name}: nearer label"] = nearer.scores()["0"]
        figures[f"{name}: both"] = fused.scores()["0"]
        print(name, figures[f"{name}: nearer label"], figures[f"{name}: both"], flush=True)
    write_raw(HERE / "both.json", figures)


def score_kept(data: Path, networks: Path) -> None:
    """What confidence leaves at distance 4, and what refiners change there."""
    [video] = camvid(data)
    motion = learned(data, networks, "camvid")
    steps = record(video.frames, motion)
    by_threshold = {threshold: ByDistance(video.num_classes) for threshold in THRESHOLDS}
    refiners: dict[str, Refiner] = {"universal": load_refiner("universal"), "dense CRF": load_refiner("crf")}
    refined = {name: ByDistance(video.num_classes) for name in ("none", *refiners)}
    for start, track in tracks(video.frames, steps, 4):
        if track.steps != 4:
            continue
        found, truth = propagate_labels(track, video.truth[start]), video.truth[start + 4]
        for threshold, scores in by_threshold.items():
            scores.add(4, found.kept(threshold), truth)
        if start % 8 == 0:
            refined["none"].add(4, found.labels, truth)
            for name, refiner in refiners.items():
                changed = refiner.refine(track.frame.rgb, found.labels.numpy(), video.num_classes, keep_void=True)
                refined[name].add(4, changed.labels.to(found.labels.dtype), truth)
    write_raw(HERE / "kept.json", {f"{t:g}": scores.scores()["4"] for t, scores in by_threshold.items()})
    write_raw(HERE / "refined.json", {name: scores.scores()["4"] for name, scores in refined.items()})
    for threshold, scores in by_threshold.items():
        print(threshold, scores.scores())
    for name, scores in refined.items():
        print(name, scores.scores())


def score_davis(data: Path, networks: Path) -> None:
    """J and F of the object, means over frames and then over sequences; void counts as background."""
    videos, recorded, figures = davis(data), Recorded(), {}
    for name, (motion, vote) in methods(data, networks, "davis", "camvid").items():
        found: dict[str, dict[int, list[tuple[float, float]]]] = {}
        for video in videos:
            scores = found.setdefault(video.name, {k: [] for k in DAVIS_DISTANCES})
            for start, track in tracks(video.frames, recorded.of(video, motion), max(DAVIS_DISTANCES), 2):
                if track.steps in scores:
                    labels = propagate_labels(track, video.truth[start], vote).labels
                    scores[track.steps].append(object_scores(labels, video.truth[start + track.steps]))
        figures[name] = {
            group: {str(k): means(found, names, k) for k in DAVIS_DISTANCES}
            for group, names in (
                ("all", tuple(found)),
                ("half", tuple(n for n in found if n not in DAVIS_CHOSEN)),
            )
        }
        print(name, figures[name]["all"], flush=True)
    write_raw(HERE / "davis.json", figures)


def object_scores(labels: Tensor, truth: Tensor) -> tuple[float, float]:
    """J and F of class 1."""
    labels = torch.where(labels == void_of(labels), 0, labels)
    return float(region_j(labels, truth, 2)[1]), float(boundary_f(labels, truth, 2)[1])


def means(
    found: dict[str, dict[int, list[tuple[float, float]]]], names: tuple[str, ...], distance: int
) -> dict[str, float]:
    def mean(which: int) -> float:
        by_video = [statistics.mean(s[which] for s in found[n][distance] if s[which] == s[which]) for n in names]
        return round(100 * statistics.mean(by_video), 2)

    return {"J": mean(0), "F": mean(1)}


TABLES: dict[str, Callable[[Path, Path], None]] = {
    "camvid": score_camvid,
    "both": score_both,
    "kept": score_kept,
    "davis": score_davis,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Score propagated labels.")
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--networks", type=Path, default=Path("runs/propagation/networks"))
    arguments = parser.parse_args()
    TABLES[arguments.table](arguments.data, arguments.networks)


if __name__ == "__main__":
    main()
