"""Speed of the operations beside what a user would write in PyTorch, and beside a copy of the same bytes.

python benchmarks/ops/run.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from raw import write_raw  # noqa: E402
from tables import operations  # noqa: E402

from segmend.losses import consensus_loss  # noqa: E402
from segmend.ops import scan_reference  # noqa: E402
from segmend.ops.distances import neighbour_distances, neighbour_distances_reference  # noqa: E402
from segmend.ops.relaxed_cross_entropy import relaxed_cross_entropy  # noqa: E402
from segmend.ops.scan import normalize_gates, scan4  # noqa: E402
from segmend.ops.warp import warp, warp_labels  # noqa: E402

FOUR = (0, 1, 2, 3)
RUNS = 5


def milliseconds(call: Callable[[], object], runs: int = RUNS) -> float:
    """Median over some runs, after one that is not counted."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def copied(*maps: Tensor) -> Callable[[], object]:
    """A copy of the same bytes into memory that is allocated already."""
    places = [torch.empty_like(map_) for map_ in maps]
    return lambda: [place.copy_(map_) for place, map_ in zip(places, maps, strict=True)]


def forward(channels: int, side: int, groups: int) -> dict[str, float]:
    x = torch.randn(1, channels, side, side)
    gates = normalize_gates(torch.randn(1, 4, groups, 3, side, side))
    with torch.no_grad():
        return {
            "segmend": milliseconds(lambda: scan4(x, gates)),
            "PyTorch": milliseconds(lambda: scan_reference.forward(x, gates, FOUR), 2),
            "copy": milliseconds(copied(x, gates)),
        }


def forward_and_backward(channels: int, side: int, groups: int) -> dict[str, float]:
    x = torch.randn(1, channels, side, side, requires_grad=True)
    gates = normalize_gates(torch.randn(1, 4, groups, 3, side, side)).requires_grad_()
    grad = torch.randn_like(x)
    with torch.no_grad():
        copy = milliseconds(copied(x, gates, x, gates))
    return {
        "segmend": milliseconds(lambda: torch.autograd.grad(scan4(x, gates), (x, gates), grad)),
        "PyTorch": milliseconds(
            lambda: torch.autograd.grad(scan_reference.forward(x, gates, FOUR), (x, gates), grad), 2
        ),
        "copy": copy,
    }


def moved_labels() -> dict[str, float]:
    blocks = torch.randint(0, 19, (1, 1, 64, 128)).float()
    labels = torch.nn.functional.interpolate(blocks, scale_factor=16).squeeze(1).to(torch.uint8)
    displacement = torch.nn.functional.interpolate(
        torch.randn(1, 2, 32, 64) * 8, size=(1024, 2048), mode="bicubic"
    )

    def by_one_hot() -> Tensor:
        planes = torch.nn.functional.one_hot(labels.long(), 19).permute(0, 3, 1, 2).float()
        return warp(planes, displacement).argmax(dim=1)

    return {
        "segmend": milliseconds(lambda: warp_labels(labels, displacement)),
        "PyTorch": milliseconds(by_one_hot, 3),
        "copy": milliseconds(copied(labels, displacement)),
    }


def beside_cross_entropy(loss: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
    """Forward and backward of a loss; under PyTorch, those of plain cross-entropy."""
    logits = torch.randn(8, 19, 512, 512, requires_grad=True)
    target = torch.randint(0, 19, (8, 7, 6)).repeat_interleave(80, 1).repeat_interleave(90, 2)
    target = target[:, :512, :512].contiguous()
    return {
        "segmend": milliseconds(lambda: torch.autograd.grad(loss(logits, target), logits), 3),
        "PyTorch": milliseconds(
            lambda: torch.autograd.grad(torch.nn.functional.cross_entropy(logits, target), logits), 3
        ),
        "copy": milliseconds(copied(logits.detach(), logits.detach())),
    }


def distances() -> dict[str, float]:
    features = torch.randn(4, 19, 256, 256, requires_grad=True)
    grad = torch.rand(4, 4, 3, 256, 256)

    def run(compare: Callable[[Tensor, int], Tensor]) -> Tensor:
        return torch.autograd.grad(torch.exp(-compare(features, 3)), features, grad)[0]

    return {
        "segmend": milliseconds(lambda: run(neighbour_distances)),
        "PyTorch": milliseconds(lambda: run(neighbour_distances_reference), 2),
        "copy": milliseconds(copied(features.detach(), grad, features.detach())),
    }


CASES: dict[str, Callable[[], dict[str, float]]] = {
    "four-direction scan, own gates, 32 x 512 x 512": lambda: forward(32, 512, 32),
    "four-direction scan, own gates, 32 x 64 x 64": lambda: forward(32, 64, 32),
    "four-direction scan, shared gates, 32 x 512 x 512": lambda: forward(32, 512, 1),
    "four-direction scan, shared gates, 21 x 512 x 512": lambda: forward(21, 512, 1),
    "scan forward and backward, own gates, 32 x 256 x 256": lambda: forward_and_backward(32, 256, 32),
    "scan forward and backward, shared gates, 32 x 256 x 256": lambda: forward_and_backward(32, 256, 1),
    "label warp, 19 classes, 1024 x 2048": moved_labels,
    "neighbour distances, forward and backward, 4 x 19 x 256 x 256": distances,
    "relaxed cross-entropy, forward and backward, 8 x 19 x 512 x 512": partial(
        beside_cross_entropy, relaxed_cross_entropy
    ),
    "consensus of 42 blobs an image, forward and backward, 8 x 19 x 512 x 512": partial(
        beside_cross_entropy, consensus_loss
    ),
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    figures = {}
    for name, case in CASES.items():
        torch.manual_seed(0)
        figures[name] = case()
        print(f"{name}: {figures[name]['segmend']:.1f} ms", flush=True)
    write_raw(HERE / "times.json", figures)
    print(operations(f"{HERE.name}/times"))


if __name__ == "__main__":
    main()
