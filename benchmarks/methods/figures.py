"""The figures of docs/methods: what each method computes, on the synthetic set and a photo of scikit-image (CC0).

make demo && python benchmarks/methods/figures.py
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor

from segmend import refiners
from segmend.data.corruptions import grow, low_resolution
from segmend.data.dataset import open_dataset
from segmend.data.synthetic import generate_image
from segmend.dual import Guide, reconstruct_by_colours
from segmend.dual.reconstruction import cielab, of_mean_colours
from segmend.labels import voc_colour
from segmend.ops import blob_sums, find_blobs, scan4, similarity_gates
from segmend.video import Frame, LearnedMotion, follow, load_motion, propagate_labels

DOCS = Path(__file__).parents[2] / "docs" / "methods"
VOID = 255


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures of the methods.")
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder that `segmend demo` wrote")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    ecn(arguments.demo)
    spn()
    svc()
    vplr()
    dis()


def ecn(demo: Path) -> None:
    """An image that the demo's corrector was not trained on: the displacement, and the maps of both branches.

    The fusion mask is left out: on these images it takes nearly everything from the replaced map.
    """
    corrector = refiners.load(demo / "corrector")
    assert isinstance(corrector, refiners.ECN)
    truth = open_dataset(demo / "data", "val").with_coarse(demo / "coarse" / "val")
    record = truth.records[26]
    image, coarse = truth.image(record), torch.from_numpy(truth.coarse(record))
    with torch.no_grad():
        found = corrector(as_tensor(image), coarse[None])
    assert found.displacement is not None
    assert found.propagated is not None
    assert found.replaced is not None
    moved = found.displacement[0].numpy()
    length = np.hypot(*moved)
    angle = (np.degrees(np.arctan2(moved[1], moved[0])) % 360 / 2).astype(np.uint8)
    strength = (255 * np.minimum(1, length / np.percentile(length, 99))).astype(np.uint8)
    hues = cv2.cvtColor(np.dstack((angle, strength, np.full_like(angle, 255))), cv2.COLOR_HSV2RGB)
    palette = truth.classes.palette
    maps = (coarse, found.propagated[0], found.replaced[0])
    before, propagated, replaced = (coloured(map_.argmax(dim=0), palette) for map_ in maps)
    panels = [
        ("image", image),
        ("coarse map", before),
        ("ground truth", coloured(torch.from_numpy(truth.labels(record)), palette)),
        ("displacement (hue: direction)", hues),
        ("propagated", propagated),
        ("replaced", replaced),
    ]
    write("ecn", panels, columns=3)


def spn() -> None:
    """How far the value of a pixel reaches: one column of the affinity matrix, one-way and three-way."""
    photo = cv2.resize(data.coffee(), (300, 200), interpolation=cv2.INTER_AREA)
    lab = as_tensor(cv2.cvtColor(photo, cv2.COLOR_RGB2LAB))
    pixel = (140, 72)
    marked = photo.copy()
    cv2.circle(marked, pixel[::-1], 3, (255, 255, 0), -1)
    impulse = torch.zeros(1, 1, *photo.shape[:2])
    impulse[0, 0, pixel[0], pixel[1]] = 1
    panels = [("image, and a pixel", marked)]
    for connections, name in ((1, "one-way"), (3, "three-way")):
        gates = similarity_gates(16 * lab, torch.full((1, 4, *photo.shape[:2]), 0.995), connections)
        reached = scan4(impulse, gates)[0, 0]
        for rounds in (1, 3):
            if rounds == 3:
                reached = scan4(scan4(reached[None, None], gates), gates)[0, 0]
            shade = (reached.clamp_min(1e-9).log10() / 6 + 1).clamp(0, 1)
            panels.append((f"{name}, {rounds} scan{'s' if rounds > 1 else ''}", heat(shade, "magma")))
    write("spn", panels, columns=5)


def svc() -> None:
    """Blobs of a label map, an uncertain prediction, its mean over each blob, and what deviates from it."""
    image, labels = generate_image(np.random.default_rng(12))
    target = torch.from_numpy(labels.astype(np.int64))[None]
    classes = int(target.max()) + 1
    rough = low_resolution(target[0], classes, 12.0)[None]
    noise = F.interpolate(torch.randn(1, classes, 24, 32), size=target.shape[1:], mode="bilinear")
    p = (rough.clamp_min(1e-3).log() + 2 * noise).softmax(dim=1)
    blobs = find_blobs(target)
    means = blob_sums(p, blobs) / blobs.sizes[:, None]
    of_pixels = means[blobs.ids[0]].permute(2, 0, 1)
    disagreement = (of_pixels * (of_pixels.log() - p[0].log())).sum(dim=0)
    right = p[0].gather(0, target[0][None])[0]
    mean_right = of_pixels.gather(0, target[0][None])[0]
    panels = [
        ("image", image),
        ("blobs of the labels", coloured(blobs.ids[0] % 20 + 1)),
        ("probability of the label", heat(right)),
        ("its mean over each blob", heat(mean_right)),
        ("disagreement (KL)", heat(disagreement / 2, "magma")),
    ]
    write("svc", panels, columns=5)


def vplr() -> None:
    """Labels five frames on: left where they were, and propagated; and where relaxation allows several classes."""
    photo = data.coffee()
    cup = np.zeros(photo.shape[:2], np.uint8)
    for centre, radii in (((278, 238), (201, 156)), ((294, 90), (118, 72))):
        cv2.ellipse(cup, centre, radii, 0, 0, 360, 1, -1)
    squares = [(slice(20 + 3 * t, 340 + 3 * t), slice(40 + 5 * t, 520 + 5 * t)) for t in range(6)]
    frames = [Frame(photo[square].copy()) for square in squares]
    first = torch.from_numpy(cup[squares[0]].copy())
    motion = LearnedMotion(load_motion())
    *_, track = follow(frames, motion, anchor=motion.flow)
    found = propagate_labels(track, first)
    labels = F.pad(found.labels[None, None].float(), (1, 1, 1, 1), mode="replicate")
    most, least = F.max_pool2d(labels, 3, 1), -F.max_pool2d(-labels, 3, 1)
    several = (most != least) & (most != VOID)
    last = photo[squares[-1]]
    relaxed = last.copy()
    relaxed[cv2.dilate(several[0, 0].numpy().astype(np.uint8), np.ones((3, 3))) > 0] = (255, 210, 0)
    panels = [
        ("labelled frame", outlined(photo[squares[0]], first)),
        ("five frames on: labels copied", outlined(last, first)),
        ("propagated", outlined(last, found.labels)),
        ("confidence", heat(found.confidence)),
        ("relaxed at these pixels", relaxed),
    ]
    write("vplr", panels, columns=5)


def dis() -> None:
    """A label map that is too large, the image that it explains by one colour a class, and both sharpened."""
    image, labels = generate_image(np.random.default_rng(31))
    target = torch.from_numpy(labels.astype(np.int64))
    classes = int(target.max()) + 1
    log_p = low_resolution(grow(target, 4.0), classes, 10.0)[None].clamp_min(1e-3).log()
    lab = cielab(as_tensor(image))
    sharp = reconstruct_by_colours(log_p, [Guide(lab, 1.0)])
    panels = [("image", image)]
    for name, map_ in (("label map", log_p.log_softmax(dim=1)), ("after three rounds", sharp)):
        colours = of_mean_colours(map_, as_tensor(image))[0].permute(1, 2, 0)
        panels.append((name, coloured(map_[0].argmax(dim=0))))
        panels.append(("what it explains", (255 * colours.clamp(0, 1)).byte().numpy()))
    write("dis", panels, columns=5)


def as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def coloured(labels: Tensor, palette: Sequence[tuple[int, int, int]] | None = None) -> np.ndarray:
    """A label map in the colours of its classes."""
    colours = np.array(palette or [voc_colour(i) for i in range(VOID)], np.uint8)
    return np.vstack((colours, np.full((VOID + 1 - len(colours), 3), 255, np.uint8)))[labels.numpy()]


def heat(values: Tensor, name: str = "viridis") -> np.ndarray:
    """Values in 0..1 as colours."""
    return (255 * colormaps[name](values.clamp(0, 1).numpy())[..., :3]).astype(np.uint8)


def outlined(image: np.ndarray, labels: Tensor) -> np.ndarray:
    """An image with the border of a mask."""
    shown = image.copy()
    found, _ = cv2.findContours((labels.numpy() == 1).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(shown, found, -1, (255, 40, 40), 4)


def write(name: str, panels: Sequence[tuple[str, np.ndarray]], columns: int) -> None:
    """A figure of panels with their titles."""
    rows = -(-len(panels) // columns)
    height, width = panels[0][1].shape[:2]
    side = 11 / columns
    figure = Figure(figsize=(11, rows * (side * height / width + 0.27)), facecolor="white")
    for axes, (title, image) in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(title, fontsize=9, pad=4)
        axes.set_axis_off()
    figure.subplots_adjust(0.002, 0.004, 0.998, 1 - 0.24 / figure.get_figheight(), 0.02, 0.26 / side)
    DOCS.mkdir(exist_ok=True)
    figure.savefig(DOCS / f"{name}.png", dpi=110, metadata={"Software": None}, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
