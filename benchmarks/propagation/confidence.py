"""Fit the logistic model behind `segmend.video.confidence` on half of DAVIS, and check it on the other half.

python benchmarks/propagation/confidence.py
"""

import argparse
import itertools
import sys
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from comparison import DATA  # noqa: E402
from raw import write_raw  # noqa: E402
from sequences import DAVIS_CHOSEN, Recorded, Video, davis, tracks  # noqa: E402

from segmend.labels import void_of  # noqa: E402
from segmend.video import DISFlow, LearnedMotion, load_motion, propagate_labels  # noqa: E402
from segmend.video.confidence import (  # noqa: E402
    BORDER_ERROR,
    BORDER_WIDTH,
    Coefficients,
    border_distance,
    photometric_error,
)

DISTANCES = (1, 2, 4, 8)
EVERY = 5
PIXELS = 400_000
"""Drawn at random for the fit."""

BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def features(video: Video, motion: LearnedMotion) -> tuple[Tensor, Tensor, Tensor]:
    """``log(1 + e), log(1 + b), log k`` of propagated pixels, ``[N, 3]``; b in pixels; whether each is right."""
    found, away, right = [], [], []
    recorded = Recorded(video.frames, motion)
    for start, track in tracks(video.frames, recorded, max(DISTANCES), EVERY, DISFlow()):
        if track.steps not in DISTANCES:
            continue
        labels, truth = video.truth[start], video.truth[start + track.steps]
        moved = propagate_labels(track, labels).labels
        border = border_distance(moved)
        error = photometric_error(track.source, track.frame, track.displacement)
        steps = torch.full_like(error, track.steps)
        known = (moved != void_of(labels)) & (truth != void_of(truth))
        found.append(torch.stack((error.log1p(), border.log1p(), steps.log()), dim=-1)[known].half())
        away.append(border[known].half())
        right.append((moved == truth)[known])
    return torch.cat(found), torch.cat(away), torch.cat(right)


def probability(weights: Tensor, constant: Tensor, seen: Tensor, away: Tensor) -> Tensor:
    return (seen @ weights + constant).sigmoid() * (1 - BORDER_ERROR * (-away / BORDER_WIDTH).exp())


def fit(seen: Tensor, away: Tensor, right: Tensor) -> Coefficients:
    """Maximum likelihood, by L-BFGS over standardised features."""
    drawn = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))[:PIXELS]
    seen, away, right = seen[drawn].float(), away[drawn].float(), right[drawn].float()
    mean, spread = seen.mean(0), seen.std(0)
    weights, constant = torch.zeros(3, requires_grad=True), torch.full((1,), 2.0, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, constant], max_iter=100)

    def closure() -> Tensor:
        optimiser.zero_grad()
        sure = probability(weights, constant, (seen - mean) / spread, away).clamp(1e-5, 1 - 1e-5)
        loss = -(right * sure.log() + (1 - right) * (1 - sure).log()).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    weights = weights.detach() / spread
    photometric, distance, steps = weights.tolist()
    return Coefficients(float(constant.detach() - (mean * weights).sum()), photometric, distance, steps)


def calibration(found: Coefficients, seen: Tensor, away: Tensor, right: Tensor) -> dict[str, list[float]]:
    """Share of pixels that are right, in percent, by the confidence that they have; and their share of all."""
    weights = torch.tensor([found.photometric, found.distance, found.steps])
    sure = probability(weights, torch.tensor(found.constant), seen.float(), away.float())
    table = {}
    for low, high in itertools.pairwise(BINS):
        inside = (sure >= low) & ((sure < high) if high < 1 else (sure <= 1))
        if inside.any():
            accuracy = 100 * right[inside].float().mean().item()
            table[f"{low:g} to {high:g}"] = [round(accuracy, 2), round(100 * inside.float().mean().item(), 2)]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the confidence of propagated labels.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    arguments = parser.parse_args()
    motion = LearnedMotion(load_motion())
    halves: dict[bool, list[tuple[Tensor, Tensor, Tensor]]] = {True: [], False: []}
    for video in davis(arguments.data):
        halves[video.name in DAVIS_CHOSEN].append(features(video, motion))
    chosen, other = ([torch.cat(parts) for parts in zip(*halves[half], strict=True)] for half in (True, False))
    found = fit(*chosen)
    print("coefficients", *(f"{name} {value:.2f}" for name, value in found._asdict().items()))
    figures = {
        "fitted": {name: round(value, 3) for name, value in found._asdict().items()},
        "half that it was fitted on": calibration(found, *chosen),
        "other half": calibration(found, *other),
    }
    write_raw(HERE / "confidence.json", figures)
    for half, table in figures.items():
        print(half, table)


if __name__ == "__main__":
    main()
