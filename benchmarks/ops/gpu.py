"""The scan on a GPU, beside a copy of its maps and gates.

python benchmarks/ops/gpu.py
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from triton.testing import do_bench

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from raw import write_raw  # noqa: E402
from tables import gpu_scan  # noqa: E402

from segmend.ops import scan_triton  # noqa: E402
from segmend.ops.scan import normalize_gates  # noqa: E402

FOUR = (0, 1, 2, 3)
SHAPES = (((8, 32, 512, 512), 32), ((8, 32, 512, 512), 1), ((1, 32, 512, 512), 32), ((8, 32, 64, 64), 32))
"""Shapes of maps, and numbers of channels of the gates."""


def milliseconds(call: Callable[[], object]) -> float:
    return float(do_bench(call, warmup=30, rep=150, return_mode="median"))


def compare(shape: tuple[int, int, int, int], groups: int) -> dict[str, float]:
    """Milliseconds, and percent of a copy's bandwidth, counting each number as read or written once."""
    images, _, height, width = shape
    x, grad = torch.randn(shape, device="cuda"), torch.randn(shape, device="cuda")
    gates = normalize_gates(torch.randn(images, 4, groups, 3, height, width, device="cuda"))
    places = torch.empty_like(x), torch.empty_like(gates)
    copy = milliseconds(lambda: (places[0].copy_(x), places[1].copy_(gates)))
    forward = milliseconds(lambda: scan_triton.forward(x, gates, FOUR))
    both = forward + milliseconds(lambda: scan_triton.backward(x, gates, grad, FOUR))
    by_copy = 2 * (x.numel() + gates.numel()) / copy
    shares = (2 * x.numel() + gates.numel()) / forward, (5 * x.numel() + 3 * gates.numel()) / both
    return {
        "copy": copy,
        "forward": forward,
        "forward and backward": both,
        "share of bandwidth, forward": 100 * shares[0] / by_copy,
        "share of bandwidth, forward and backward": 100 * shares[1] / by_copy,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU was found: benchmarks/ops/run.py is for a CPU")
    figures = {}
    for shape, groups in SHAPES:
        torch.manual_seed(0)
        channels = f"{groups} channels" if groups > 1 else "all channels at once"
        figures[f"{' x '.join(map(str, shape))}, gates of {channels}"] = compare(shape, groups)
    write_raw(HERE / "gpu.json", figures)
    print(gpu_scan(f"{HERE.name}/gpu"))


if __name__ == "__main__":
    main()
