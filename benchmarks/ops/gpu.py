"""The scan on a GPU, beside a copy of its maps and gates.

python benchmarks/ops/gpu.py
"""

import argparse
from collections.abc import Callable

import torch
from triton.testing import do_bench

from segmend.ops import scan_triton
from segmend.ops.scan import normalize_gates

FOUR = (0, 1, 2, 3)
SHAPES = (((8, 32, 512, 512), 32), ((8, 32, 512, 512), 1), ((1, 32, 512, 512), 32), ((8, 32, 64, 64), 32))
"""Shapes of maps, and of how many channels the gates are."""


def milliseconds(call: Callable[[], object]) -> float:
    return float(do_bench(call, warmup=30, rep=150, return_mode="median"))


def compare(shape: tuple[int, int, int, int], groups: int) -> str:
    """A row of the table; shares are of a copy's bandwidth, for each number read or written once."""
    images, _, height, width = shape
    x, grad = torch.randn(shape, device="cuda"), torch.randn(shape, device="cuda")
    gates = normalize_gates(torch.randn(images, 4, groups, 3, height, width, device="cuda"))
    places = torch.empty_like(x), torch.empty_like(gates)
    copy = milliseconds(lambda: (places[0].copy_(x), places[1].copy_(gates)))
    forward = milliseconds(lambda: scan_triton.forward(x, gates, FOUR))
    both = forward + milliseconds(lambda: scan_triton.backward(x, gates, grad, FOUR))
    by_copy = 2 * (x.numel() + gates.numel()) / copy
    shares = (2 * x.numel() + gates.numel()) / forward, (5 * x.numel() + 3 * gates.numel()) / both
    cells = [f"{value:.2f}" for value in (copy, forward, both)] + [f"{100 * s / by_copy:.0f}" for s in shares]
    return f"| {' x '.join(map(str, shape))}, {groups} | " + " | ".join(cells) + " |"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU was found: benchmarks/ops/run.py is for a CPU")
    print(torch.cuda.get_device_name(), torch.__version__)
    print("| map, gates of | copy ms | forward ms | and backward ms | share of bandwidth % | of both % |")
    print("|---|---|---|---|---|---|")
    for shape, groups in SHAPES:
        torch.manual_seed(0)
        print(compare(shape, groups), flush=True)


if __name__ == "__main__":
    main()
