"""The targets of each method, and whether the stored figures meet them."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tables import (
    MEAN,
    SEGMENTERS,
    SEGMENTERS_AS_MASKS,
    average,
    coarse_iou,
    davis_lead,
    gain_of,
    gain_over_baseline,
    lead,
    lowest_trimap_gain,
    markdown,
    mean_gain_of,
    mean_over_distances,
    raw,
    reduction,
    refined_iou,
    share_degraded,
)

RULES: dict[str, Callable[[float, float], bool]] = {
    "at least": operator.ge,
    "at most": operator.le,
    "more than": operator.gt,
}


@dataclass(frozen=True)
class Target:
    """A figure and its target.

    Attributes:
        what: the figure in words, with its unit.
        rule: a key of `RULES`.
        form: how the figure is printed.
    """

    data_set: str
    method: str
    what: str
    figure: float
    rule: str
    bound: float
    form: str = "+.2f"

    @property
    def met(self) -> bool:
        return RULES[self.rule](self.figure, self.bound)

    def row(self) -> list[str]:
        met = "met" if self.met else "**not met**"
        return [
            self.data_set,
            self.method,
            self.what,
            format(self.figure, self.form),
            f"{self.rule} {self.bound:g}",
            met,
        ]


def count(targets: list[Target]) -> str:
    """How many targets are met."""
    return f"{sum(target.met for target in targets)} of {len(targets)}"


def table(targets: Iterable[Target]) -> str:
    head = ["data set", "method", "figure", "value", "target", "result"]
    return markdown(head, [target.row() for target in targets])


LINEAR, DEEPLAB = "refine_msrc21/linear", "refine_msrc21/deeplab"
ECN, ONE, THREE = "ECN", "SPN, one-way", "SPN, three-way"
OVER_CRF = "mIoU over the searched dense CRF"
LINEAR_MAPS, DEEPLAB_MAPS = "MSRC-21, linear maps", "MSRC-21, DeepLabV3+ maps"


def refiners() -> list[Target]:
    """ECN and SPN, trained for their data set."""
    branches = max(refined_iou(LINEAR, f"ECN, {branch} only") for branch in ("propagation", "replacement"))
    found = [
        Target(LINEAR_MAPS, ECN, OVER_CRF, gain_over_baseline(LINEAR, ECN), "at least", 0.5),
        Target(
            LINEAR_MAPS,
            ECN,
            "lowest trimap gain over the CRF, 3 to 20 px",
            lowest_trimap_gain(LINEAR, ECN)[1],
            "more than",
            0,
        ),
        Target(
            LINEAR_MAPS,
            ECN,
            "mIoU over the better branch alone",
            refined_iou(LINEAR, ECN) - branches,
            "at least",
            0,
        ),
        Target(LINEAR_MAPS, ECN, "share degraded, %", share_degraded(LINEAR, ECN), "at most", 10, ".1f"),
        Target(
            DEEPLAB_MAPS,
            ECN,
            "mIoU over the coarse maps",
            refined_iou(DEEPLAB, ECN) - coarse_iou(DEEPLAB, ECN),
            "more than",
            0,
        ),
        Target(DEEPLAB_MAPS, ECN, OVER_CRF, gain_over_baseline(DEEPLAB, ECN), "more than", 0),
    ]
    for name, title in ((LINEAR, LINEAR_MAPS), (DEEPLAB, DEEPLAB_MAPS)):
        found.append(Target(title, THREE, OVER_CRF, gain_over_baseline(name, THREE), "at least", 2))
        found.append(_over(name, title, THREE, ONE))
    for name, title in (
        ("refine_celebamask/unet_eighth", "CelebAMask-HQ, parser at 1/8"),
        ("refine_fasseg/eighth", "FASSEG, ground truth at 1/8"),
    ):
        found.append(_over(name, title, THREE, ONE))
        found.append(
            Target(
                title,
                ONE,
                "mIoU over the coarse maps",
                refined_iou(name, ONE) - coarse_iou(name, ONE),
                "more than",
                0,
            )
        )
    others = raw("refine_msrc21/other_maps").rows()
    for own, other in (("linear", "deeplab"), ("deeplab", "linear")):
        for method in (THREE, f"{THREE}, minimum confidence 0.7"):
            gain = average(others[f"{method}: {own} to {other}"]["mIoU"]) - average(
                others[f"coarse: {other}"]["mIoU"]
            )
            title = f"MSRC-21, trained on {own} maps, over {other} maps"
            found.append(Target(title, method, "mIoU over the coarse maps", gain, "more than", 0))
    return found


def _over(name: str, title: str, method: str, other: str) -> Target:
    gain = refined_iou(name, method) - refined_iou(name, other)
    return Target(title, method, f"mIoU over {other}", gain, "more than", 0)


CRF = "dense CRF, one setting"


def universal() -> list[Target]:
    """The class-agnostic refiner of probability maps, on sets that its weights were never trained on."""
    rows = raw("universal/results").rows().values()
    means = {f["coarse maps"]: f["gains"] for f in rows if f["set"] == MEAN}
    every = [f for f in rows if f["set"] != MEAN and f["coarse maps"] not in means]
    real = [f for f in every if not f["coarse maps"].endswith("as masks")]
    gains = [f["gains"]["universal"] for f in real]
    mean = average(means[SEGMENTERS]["universal"]["mIoU"])
    boundary = [
        statistics.mean(average(f["gains"][method]["boundary IoU"]) for f in real) for method in ("universal", CRF)
    ]
    linear = next(f for f in real if (f["set"], f["coarse maps"]) == ("msrc21", "linear"))["gains"]["universal"]
    of_low = [of for kind, of in means.items() if kind not in (SEGMENTERS, SEGMENTERS_AS_MASKS)]
    low = [average(of["universal"]["mIoU"]) for of in of_low]
    maps, method = "segmenters' maps of four kinds", "universal"
    crf = "over the dense CRF with one setting"
    return [
        Target(maps, method, "mean gain, mIoU", mean, "at least", 1.5),
        Target(maps, method, "lowest gain, mIoU", min(average(g["mIoU"]) for g in gains), "more than", 0),
        Target(
            maps,
            method,
            "lowest gain, boundary IoU",
            min(average(g["boundary IoU"]) for g in gains),
            "more than",
            0,
        ),
        Target(
            maps, method, f"mean gain {crf}, mIoU", mean - average(means[SEGMENTERS][CRF]["mIoU"]), "more than", 0
        ),
        Target(maps, method, f"mean gain {crf}, boundary IoU", boundary[0] - boundary[1], "more than", 0),
        Target("MSRC-21, linear maps", method, "gain, mIoU", average(linear["mIoU"]), "at least", 3),
        Target(
            maps,
            method,
            "highest share degraded, %",
            max(average(g["share degraded"]) for g in gains),
            "at most",
            5,
            ".1f",
        ),
        Target(
            "ground truth at a low resolution, four sets",
            method,
            "lowest gain of a resolution, mean of the sets, mIoU",
            min(low),
            "more than",
            0,
        ),
    ]


CE, BOTH, LIGHT = "cross-entropy", "consensus and cross-entropy", "alpha 1, beta 3 and cross-entropy"
STRICT = "relaxed, thin classes strict"
FURTHER = ", dropout and mirror"


def masks() -> list[Target]:
    """The class-agnostic refiner on folders of masks that are off in one way; its weights never saw these sets."""
    rows = list(raw("universal/masks").rows().values())

    def of(beginnings: tuple[str, ...]) -> list[Mapping[str, Any]]:
        return [row["scores"] for row in rows if row["masks"].startswith(beginnings)]

    def gain(scores: Mapping[str, Any]) -> float:
        return scores["universal"]["mIoU"] - scores["before"]["mIoU"]

    def removed(beginnings: tuple[str, ...]) -> float:
        shares = [
            gain(one) / (100 - one["before"]["mIoU"]) for one in of(beginnings) if one["before"]["mIoU"] < 100
        ]
        return 100 * statistics.mean(shares)

    moved = ("eroded", "dilated", "each class", "shifted")
    what = "masks of fourteen sets"
    share = "share of the error removed, mean over sets, %"
    return [
        Target(f"{what}, eroded, dilated or shifted", "universal", share, removed(moved), "at least", 50, ".0f"),
        Target(
            f"{what}, eroded, dilated or shifted",
            "universal",
            "lowest gain of a set, mIoU",
            min(gain(one) for one in of(moved)),
            "at least",
            0,
        ),
        Target(
            f"{what}, polygons and ragged",
            "universal",
            share,
            removed(("polygons", "ragged")),
            "at least",
            20,
            ".0f",
        ),
        Target(f"{what}, of mixed kinds", "universal", share, removed(("mixed",)), "at least", 10, ".0f"),
        Target(
            f"{what}, exact",
            "universal",
            "lowest gain of a set, mIoU",
            min(gain(one) for one in of(("ground truth",))),
            "at least",
            -0.1,
        ),
        Target(
            what,
            "universal",
            "highest share degraded of a set and kind, %",
            max(row["scores"]["universal"]["share degraded"] for row in rows),
            "at most",
            5,
            ".1f",
        ),
    ]


def objects() -> list[Target]:
    """Masks of single objects, each refined on its crop; the weights never saw these sets."""
    rows = [row for row in raw("universal/objects").rows().values() if "masks" in row]
    gains = [row["refined"] - row["before"] for row in rows]
    over = [row["refined"] - row["whole maps"] for row in rows]
    what = "masks of objects of seven sets"
    seconds = raw("universal/objects").rows()["large image"]
    return [
        Target(what, "universal", "lowest gain of a set and kind, IoU", min(gains), "at least", 0),
        Target(what, "universal", "mean over refining whole maps, IoU", statistics.mean(over), "more than", 0),
        Target(
            "objects of one image, alone and in a mosaic of 16",
            "universal",
            "times the time alone",
            seconds["mosaic, objects"] / seconds["alone, objects"],
            "at most",
            1.5,
            ".1f",
        ),
    ]


def tuning() -> list[Target]:
    """Refiners chosen by five and ten good masks, of sets that the weights of the package never saw."""
    rows = raw("tune/results").rows().values()
    best = "best of all 12"
    found = []
    for size in ("5 masks", "10 masks"):
        lowest = min(row[f"{size}, lowest"][0] for row in rows)
        behind = max(max(row[best][0], 0.0) - row[size][0] for row in rows)
        found += [
            Target("three sets, exact and eroded", f"tuned, {size}", "lowest gain, mIoU", lowest, "at least", 0),
            Target(
                "three sets, exact and eroded",
                f"tuned, {size}",
                "mean behind the best candidate on all 12, mIoU",
                behind,
                "at most",
                1,
            ),
        ]
    return found


def losses() -> list[Target]:
    """Relaxation, class-uniform sampling and consensus, beside cross-entropy in the same recipe."""
    val = "relaxation/camvid"
    gain = gain_of(val, STRICT, CE, "mIoU")
    moved = gain_of(val, f"contours moved: {STRICT}", "contours moved: cross-entropy", "mIoU")
    found = [
        Target("CamVid val", STRICT, "mIoU over cross-entropy", gain, "at least", 0.8),
        Target(
            "CamVid val, contours moved",
            STRICT,
            "mIoU gain above that without moved contours",
            moved - gain,
            "more than",
            0,
        ),
        Target(
            "CamVid val",
            "class-uniform",
            "rare classes over cross-entropy, IoU",
            gain_of(val, "class-uniform", CE, "rare classes"),
            "more than",
            0,
        ),
    ]
    for kind, title in (("folds", "CamVid, held-out folds"), ("drives", "CamVid, held-out drives")):
        name = f"relaxation/camvid_{kind}"
        found.append(
            Target(
                title, STRICT, "mIoU over cross-entropy", mean_gain_of(name, STRICT, CE, "mIoU"), "at least", 0.8
            )
        )
        found.append(
            Target(
                title,
                "class-uniform",
                "rare classes over cross-entropy, IoU",
                mean_gain_of(name, "class-uniform", CE, "rare classes"),
                "more than",
                0,
            )
        )
    for name, title, method in (("three", "faces, three classes", BOTH), ("all", "faces, all classes", LIGHT)):
        for more in ("", FURTHER):
            row, plain = f"{method}{more}", f"{CE}{more}"
            over = gain_of(f"consensus/{name}", row, plain, "mIoU")
            found.append(Target(title, row, "mIoU over cross-entropy", over, "at least", 1))
            lower = reduction(f"consensus/{name}", row, plain, "sparsity")
            found.append(
                Target(title, row, "sparsity below that of cross-entropy, %", lower, "at least", 50, ".0f")
            )
    for row in raw("occluders/faces").rows():
        if row.startswith("student"):
            over = gain_of("occluders/faces", row, "teacher", "face IoU")
            found.append(Target("faces behind objects", row, "face IoU over the teacher", over, "more than", 0))
    return found


FLOW, LEARNED = "flow", "learned, these videos"
ALIGNED = f"{LEARNED}, aligned"


def propagation() -> list[Target]:
    """Labels through time."""
    name, davis = "propagation/camvid", "propagation/davis"
    four, all_labels = raw("propagation/kept").rows()["0.8"], "propagation/training"
    found = [
        Target(
            "CamVid's run", LEARNED, "smallest lead over flow, mIoU", lead(name, LEARNED, FLOW), "more than", 0
        ),
        Target(
            "CamVid's run",
            LEARNED,
            "smallest lead over prediction, mIoU",
            lead(name, LEARNED, "prediction, these videos"),
            "more than",
            0,
        ),
        Target(
            "CamVid's run",
            ALIGNED,
            "mean mIoU over distances",
            mean_over_distances(name, ALIGNED),
            "at least",
            86.5,
            ".2f",
        ),
        Target("CamVid's run, 4 away", "confidence of 0.8", "right, %", four["right"], "at least", 98, ".2f"),
        Target("CamVid's run, 4 away", "confidence of 0.8", "kept, %", four["kept"], "at least", 95, ".1f"),
        Target(
            "CamVid's run, labels 8 apart",
            "learned, aligned, both sides",
            "mIoU",
            raw("propagation/both").rows()["learned, aligned: both"]["miou"],
            "at least",
            88.5,
            ".2f",
        ),
    ]
    for which in "JF":
        figure = f"smallest lead over flow, {which}"
        found.append(Target("DAVIS", LEARNED, figure, davis_lead(davis, LEARNED, FLOW, which), "more than", 0))
    for row, over in (("JP, relaxed", "JP"), ("JP", "labels alone")):
        gain = gain_of(all_labels, row, over, "mIoU")
        found.append(Target("CamVid, 11 labels", row, f"mIoU over {over}", gain, "more than", 0))
        gain = gain_of(f"{all_labels}_davis", row, over, "mIoU")
        found.append(Target("DAVIS, every tenth label", row, f"mIoU over {over}", gain, "more than", 0))
    speeds = raw("propagation/speed").rows()
    for row, bound in (("flow", 4), ("learned", 1), ("learned, aligned", 0.5)):
        figure = speeds[f"{row}, 2048 x 1024"]["frames a second"]
        found.append(Target("2048 x 1024", row, "frames a second", figure, "at least", bound, ".2f"))
    short, long = (figures["peak_mb"] for row, figures in speeds.items() if " frames of " in row)
    times = "times the peak memory of 10 frames"
    found.append(Target("1000 frames of 320 x 240", "flow, aligned", times, long / short, "at most", 1.05, ".2f"))
    return found


LABELS, MASKED, DUAL = "labels alone", "tags as a mask (t_tr = 0)", "dual"
MASKED_BY_TEACHER, CLEANED = "tags as a mask, by a teacher", "dual, cleaned tags"


def dual() -> list[Target]:
    """Few label maps, many tags. Networks are compared with their better way to predict."""
    main, noise, trained = "dual/main", "dual/noise", "dual/trained_encoder"
    voc = "VOC subset, 100 labelled"
    longer = f"{LABELS}, as many steps"
    trimap = gain_of(main, DUAL, longer, "trimap 6 px")
    lost = best_test(main, MASKED) - best_test(noise, MASKED), best_test(main, DUAL) - best_test(noise, CLEANED)
    f1 = gain_of("dual/tags", "cleaned", "given", "F1")
    speeds = {row: average(figures["forward passes"]) for row, figures in raw("dual/speed").rows().items()}
    steps = max(figure for row, figure in speeds.items() if " steps on " in row)
    return [
        *(
            Target(
                voc, DUAL, f"mIoU over {over}", best_test(main, DUAL) - best_test(main, over), "at least", bound
            )
            for over, bound in ((LABELS, 9), (longer, 9), (MASKED, 4), (MASKED_BY_TEACHER, 4))
        ),
        Target(voc, DUAL, f"trimap 6 px over {longer}", trimap, "at least", 8),
        *(
            Target(
                f"{voc}, encoder trained",
                row,
                f"mIoU over {over}",
                best_test(trained, row) - best_test(trained, over),
                "more than",
                0,
            )
            for row, over in ((DUAL, MASKED), (MASKED, LABELS))
        ),
        Target("VOC subset, noisy tags", "`segmend tags clean`", "F1 over the given tags", f1, "at least", 10),
        Target(
            "VOC subset, noisy tags",
            CLEANED,
            f"mIoU lost, as a share of what {MASKED} loses",
            lost[1] / lost[0],
            "at most",
            0.5,
            ".2f",
        ),
        Target("256 x 192", "30 steps of inference", "forward passes", steps, "at most", 3, ".2f"),
        Target("256 x 192", "closed form", "forward passes", speeds["closed form"], "at most", 0.1, ".2f"),
    ]


def best_test(name: str, row: str) -> float:
    """mIoU of a training, mean over seeds, with the closed form or without."""
    figures = raw(name).rows()[row]
    return max(average(figures["map"]), average(figures["with the closed form"]))


SCAN, BOTH_WAYS, LOSS = (
    "four-direction scan",
    "scan forward and backward",
    "forward and backward, 8 x 19 x 512 x 512",
)


def wrong_labels() -> list[Target]:
    """`segmend check` beside cleanlab: mean over all rows of a set, and in how many of all rows it is better."""
    ours, theirs = "segmend check", "cleanlab"
    leads: dict[str, list[float]] = {}
    for row, figures in raw("check/images").rows().items():
        lead_of_row = average(figures[ours]) - average(figures[theirs])
        leads.setdefault(row.split(": ")[0], []).append(lead_of_row)
    found = [
        Target(name, ours, f"average precision over {theirs}", statistics.mean(rows), "more than", 0, "+.1f")
        for name, rows in leads.items()
    ]
    every = [lead_of_row for rows in leads.values() for lead_of_row in rows]
    better = 100 * sum(one > 0 for one in every) / len(every)
    found.append(
        Target("all sets", ours, f"rows with a higher one than {theirs}, %", better, "at least", 100, ".0f")
    )
    return found


def speed() -> list[Target]:
    """`segmend refine` with the universal refiner, and the operations."""
    rates, found = raw("refine_speed/results").rows(), []
    for size, bound in (("500 x 375, 21 classes", 5), ("2048 x 1024, 19 classes", 8)):
        own, crf = (rates[f"{name}, {size}"] for name in ("universal", "dense CRF, 5 iterations"))
        times = own["images_per_second"] / crf["images_per_second"]
        found.append(
            Target(size, "universal", "times the speed of the dense CRF", times, "at least", bound, ".1f")
        )
    for kind in ("eroded", "ragged"):
        size = f"500 x 375, 21 classes, {kind} masks"
        own, crf = (rates[f"{name}, {size}"] for name in ("universal", "dense CRF, 5 iterations"))
        times = own["images_per_second"] / crf["images_per_second"]
        found.append(
            Target(
                size,
                "universal, with its look at the folder",
                "times the speed of the dense CRF",
                times,
                "at least",
                4,
                ".1f",
            )
        )
    memory = rates["universal, 2048 x 1024, 19 classes"]["peak_mb"]
    found.append(Target("2048 x 1024, 19 classes", "universal", "peak memory, MB", memory, "at most", 1000, ".0f"))
    maps = [r["seconds"] for r in rates.values() if "masks" not in r]
    beside = max(100 * (seconds["total"] / seconds["network"] - 1) for seconds in maps)
    found.append(
        Target("all sizes", "all refiners", "time beyond the network's, at most, %", beside, "at most", 10, ".1f")
    )
    times = raw("ops/times").rows()

    def faster(row: str, bound: float) -> Target:
        value = times[row]["PyTorch"] / times[row]["segmend"]
        return Target("two cores", row, "times the speed of PyTorch", value, "at least", bound, ".1f")

    def copies(row: str, bound: float) -> Target:
        value = times[row]["segmend"] / times[row]["copy"]
        return Target("two cores", row, "times the duration of a copy", value, "at most", bound, ".1f")

    def plain(row: str, bound: float) -> Target:
        value = times[row]["segmend"] / times[row]["PyTorch"]
        return Target(
            "two cores", row, "times the duration of plain cross-entropy", value, "at most", bound, ".2f"
        )

    own, shared = f"{SCAN}, own gates, 32 x 512 x 512", f"{SCAN}, shared gates, 32 x 512 x 512"
    found += [faster(own, 40), copies(own, 4), faster(shared, 25), copies(shared, 10)]
    found += [
        faster(f"{BOTH_WAYS}, own gates, 32 x 256 x 256", 25),
        faster("label warp, 19 classes, 1024 x 2048", 40),
    ]
    found += [plain(f"relaxed cross-entropy, {LOSS}", 0.5), plain(f"consensus of 42 blobs an image, {LOSS}", 1)]
    gpu = next(iter(raw("ops/gpu").rows().values()))
    for part, bound in (("forward", 50), ("forward and backward", 40)):
        share = gpu[f"share of bandwidth, {part}"]
        found.append(
            Target(
                "one H200", f"scan, {part}", "share of the bandwidth of a copy, %", share, "at least", bound, ".0f"
            )
        )
    return found
