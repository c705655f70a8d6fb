"""Time inference of dual image segmentation beside a forward pass, in one run.

python benchmarks/dual/speed.py
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from segmend.dual import DualSegmentation, infer
from segmend.dual.model import target_image
from segmend.dual.prediction import sharpened
from segmend.labels import Classes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from raw import write_raw  # noqa: E402
from tables import trainings as table  # noqa: E402

CLASSES, HEIGHT, WIDTH, BATCH = 21, 192, 256, 8
STEPS = 30
REPEATS = 15


def main() -> None:
    torch.manual_seed(0)
    model = DualSegmentation(Classes.numbered(CLASSES)).eval()
    image = torch.rand(BATCH, 3, HEIGHT, WIDTH)
    tags = torch.eye(CLASSES)[:BATCH]
    with torch.no_grad():
        features = model.encode(image)
        logits = model.map_logits(features)
        parts: dict[str, Callable[[], object]] = {
            "forward pass": lambda: model(image),
            f"{STEPS} steps on the image loss": lambda: infer(model, features, target_image(image), None, STEPS),
            f"{STEPS} steps on the tag loss": lambda: infer(model, features, None, tags, STEPS),
            "closed form": lambda: sharpened(logits, features, image),
        }
        seconds: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(REPEATS + 1):
            for name, run in parts.items():  # in turn, so that a slow machine slows all of them
                begun = time.perf_counter()
                run()
                seconds[name].append((time.perf_counter() - begun) / BATCH)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    forward = medians["forward pass"]
    figures = {
        name: {"ms an image": [1000 * median], "forward passes": [median / forward]}
        for name, median in medians.items()
    }
    write_raw(HERE / "speed.json", figures)
    print(table(f"{HERE.name}/speed"))


if __name__ == "__main__":
    main()
