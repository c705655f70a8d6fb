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
from typing import Literal

import torch
from torch import Tensor

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from comparison import DATA, RECIPES  # noqa: E402
from raw import write_raw  # noqa: E402
from sequences import DAVIS_CHOSEN, ByDistance, Recorded, Video, camvid, davis, tracks  # noqa: E402

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
    Track,
    fuse,
    load_motion,
    propagate_labels,
)

DISTANCES = (1, 2, 3, 4, 5, 8)
DAVIS_DISTANCES = (1, 5, 10)
APART = 8
"""Frames between two labelled ones, for propagation from both sides."""

THRESHOLDS = (0.0, 0.5, 0.75, 0.8, 0.85, 0.9, 0.95)

Method = tuple[Motion, Literal["", "vote", "aligned"]]
"""A motion, and whether pixels vote; ``aligned``: and displacements are anchored."""


def learned(data: Path, networks: Path, name: str, mode: str = "reconstruction") -> LearnedMotion:
    """A network trained on the frames of a validation split, without labels; an existing one is kept."""
    run = networks / (name if mode == "reconstruction" else f"{name}_{mode}")
    frames = data / name / "images" / "val"
    overrides = [f"frames=[{frames}]", f"motion.mode={mode}"]
    train(read_recipe(RECIPES / "motion.yaml", overrides), run, quiet=True)
    return LearnedMotion(load_motion(run))


def methods(data: Path, networks: Path, own: str, other: str) -> dict[str, Method]:
    """Rows of the tables: `own` is the data set that is scored, `other` the other one."""
    flow, best, foreign = FlowMotion(), learned(data, networks, own), learned(data, networks, other)
    return {
        "copy": (NoMotion(), ""),
        "flow, half resolution": (FlowMotion(DISFlow(finest_scale=1)), ""),
        "flow": (flow, ""),
        "prediction, these videos": (learned(data, networks, own, "prediction"), ""),
        f"learned, {other} alone": (foreign, ""),
        "learned, these videos": (best, ""),
        "flow, vote": (flow, "vote"),
        "learned, these videos, vote": (best, "vote"),
        "flow, aligned": (flow, "aligned"),
        f"learned, {other} alone, aligned": (foreign, "aligned"),
        "learned, these videos, aligned": (best, "aligned"),
    }


class Cache:
    """Displacements of videos, computed once for each motion."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, str], Recorded] = {}

    def of(self, video: Video, motion: Motion) -> Recorded:
        key = (id(motion), video.name)
        if key not in self.found:
            self.found[key] = Recorded(video.frames, motion)
        return self.found[key]


def propagated(
    video: Video, motion: Recorded, how: str, longest: int, every: int = 1
) -> Iterator[tuple[Track, Propagated, Tensor]]:
    """Tracks from every `every`-th frame with the labels propagated along them, and the ground truth there."""
    anchor = DISFlow() if how == "aligned" else None
    for start, track in tracks(video.frames, motion, longest, every, anchor):
        yield track, propagate_labels(track, video.truth[start], bool(how)), video.truth[start + track.steps]


def score_camvid(data: Path, networks: Path) -> None:
    """All frames of the run are labelled frames in turn, and labels go to the frames after them."""
    [video] = camvid(data)
    cache, figures = Cache(), {}
    for name, (motion, how) in methods(data, networks, "camvid", "davis").items():
        scores = ByDistance(video.num_classes)
        for track, found, truth in propagated(video, cache.of(video, motion), how, max(DISTANCES)):
            if track.steps in DISTANCES:
                scores.add(track.steps, found.labels, truth)
        figures[name] = scores.scores()
        print(name, {k: one["miou"] for k, one in figures[name].items()}, flush=True)
    write_raw(HERE / "camvid.json", figures)


def backward(video: Video) -> Video:
    return Video(video.name, video.frames[::-1], video.truth[::-1], video.num_classes)


Sides = tuple[int, Tensor, tuple[Propagated, int] | None, tuple[Propagated, int] | None]


def both_sides(video: Video, motion: Motion, how: str) -> Iterator[Sides]:
    """For frames between labelled ones `APART` apart: distance to the nearer, truth, labels from each side."""
    last = len(video.frames) - 1
    sides: list[dict[int, tuple[Propagated, int]]] = []
    for one, number in ((video, lambda t: t), (backward(video), lambda t: last - t)):
        found = {}
        offset = 0 if one is video else last % APART
        inner = Video(one.name, one.frames[offset:], one.truth[offset:], one.num_classes)
        reached = {id(frame): number(t) for t, frame in enumerate(one.frames)}
        for track, labels, _ in propagated(inner, Recorded(one.frames, motion), how, APART - 1, APART):
            found[reached[id(track.frame)]] = (labels, track.steps)
        sides.append(found)
    for t in range(last - last % APART):
        if t % APART:
            yield min(t % APART, APART - t % APART), video.truth[t], sides[0].get(t), sides[1].get(t)


def score_both(data: Path, networks: Path) -> None:
    """Labels of every eighth frame of the run, for those between: the nearer alone, and both."""
    [video] = camvid(data)
    figures = {}
    best = learned(data, networks, "camvid")
    rows: list[tuple[str, Motion, str]] = [("flow", FlowMotion(), ""), ("learned", best, "")]
    for name, motion, how in (*rows, ("learned, vote", best, "vote"), ("learned, aligned", best, "aligned")):
        nearer, fused = ByDistance(video.num_classes), ByDistance(video.num_classes)
        for _, truth, before, after in both_sides(video, motion, how):
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
    motion = Recorded(video.frames, learned(data, networks, "camvid"))
    by_threshold = {threshold: ByDistance(video.num_classes) for threshold in THRESHOLDS}
    refiners: dict[str, Refiner] = {"universal": load_refiner("universal"), "dense CRF": load_refiner("crf")}
    refined = {name: ByDistance(video.num_classes) for name in ("none", *refiners)}
    for number, (track, found, truth) in enumerate(propagated(video, motion, "aligned", 4)):
        if track.steps != 4:
            continue
        for threshold, scores in by_threshold.items():
            scores.add(4, found.kept(threshold), truth)
        if number % 32 < 4:
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
    videos, cache, figures = davis(data), Cache(), {}
    for name, (motion, how) in methods(data, networks, "davis", "camvid").items():
        found: dict[str, dict[int, list[tuple[float, float]]]] = {}
        for video in videos:
            scores = found.setdefault(video.name, {k: [] for k in DAVIS_DISTANCES})
            for track, labels, truth in propagated(video, cache.of(video, motion), how, max(scores), 4):
                if track.steps in scores:
                    scores[track.steps].append(object_scores(labels.labels, truth))
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
