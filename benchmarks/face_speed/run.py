"""Faces a second of the face parser, beside torchvision's LR-ASPP and a U-Net of equal size, in one run.

python benchmarks/face_speed/run.py
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from segmentation_models_pytorch import Unet
from torch import nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from raw import write_raw  # noqa: E402
from tables import face_speed  # noqa: E402

from segmend.devices import Precision, autocast, fast_bfloat16  # noqa: E402
from segmend.segmenters.faces import FaceParser  # noqa: E402

SIDE, CLASSES = 128, 3
BATCHES = (1, 16)
ROUNDS = 5
"""Each network runs once in each; the fastest counts, because other programs can only slow it."""

UNET = (128, 96, 64, 32, 16)
"""Channels of its decoder: as many parameters as the face parser has."""


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "face parser": FaceParser(CLASSES),
        "face parser, half as wide": FaceParser(CLASSES, width=32),
        "face parser, a quarter as wide": FaceParser(CLASSES, width=16),
        "LR-ASPP, MobileNetV3": lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=CLASSES
        ),
        "U-Net, MobileNetV2": Unet("mobilenet_v2", encoder_weights=None, classes=CLASSES, decoder_channels=UNET),
    }


@torch.inference_mode()
def rate(network: nn.Module, batch: int, device: torch.device, precision: Precision, least: float = 1.0) -> float:
    """Faces a second, measured over at least `least` seconds."""
    faces = torch.rand(batch, 3, SIDE, SIDE, device=device)
    with autocast(device, precision):
        network(faces)
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < least:
            network(faces)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            done += batch
    return done / (time.perf_counter() - start)


def main() -> None:
    argparse.ArgumentParser(description="Faces a second of light networks.").parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precisions: list[Precision] = ["32", "bf16"] if fast_bfloat16(device) else ["32"]
    columns = [(precision, batch) for precision in precisions for batch in BATCHES]
    made = {name: network.eval().to(device) for name, network in networks().items()}
    best = {name: [0.0] * len(columns) for name in made}
    for _ in range(ROUNDS):
        for name, network in made.items():
            for index, (precision, batch) in enumerate(columns):
                best[name][index] = max(best[name][index], rate(network, batch, device, precision))
    titles = [f"{'float32' if p == '32' else 'bfloat16'}, {batch} at once" for p, batch in columns]
    figures = {
        name: {
            "parameters": sum(p.numel() for p in network.parameters()),
            **dict(zip(titles, best[name], strict=True)),
        }
        for name, network in made.items()
    }
    write_raw(HERE / "results.json", figures)
    print(face_speed(f"{HERE.name}/results"))


if __name__ == "__main__":
    main()
