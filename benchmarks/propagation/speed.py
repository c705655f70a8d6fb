"""Speed and memory of `segmend propagate`, from files to files, each run in a process of its own.

python benchmarks/propagation/speed.py

Frames of CamVid's run, enlarged to 2048 x 1024, the first of them labelled; and small frames of a short and a
long video, of which every tenth is labelled, for the memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA  # noqa: E402
from raw import write_raw  # noqa: E402

LARGE, FRAMES = (2048, 1024), 25
SMALL, LENGTHS = (320, 240), (10, 1000)

METHODS = {
    "flow": ("--method", "flow", "--no-align"),
    "learned": ("--no-align",),
    "learned, aligned": (),
}


def write_video(data: Path, out: Path, size: tuple[int, int], length: int, labelled: int) -> None:
    """`length` frames of the run, forwards and backwards, and the labels of every `labelled`-th one."""
    from segmend.data.masks import read_labels  # not above: it would count as memory of the measured process

    images = sorted((data / "camvid" / "images" / "val").glob("*.jpg"))
    for kind in ("frames", "labels"):
        (out / kind).mkdir(parents=True)
    for number in range(length):
        place = number % (2 * len(images) - 2)
        image = images[min(place, 2 * len(images) - 2 - place)]
        shown = cv2.resize(cv2.imread(str(image)), size, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(out / "frames" / f"{number:04d}.jpg"), shown)
        if number % labelled == 0:
            labels = read_labels(data / "camvid" / "labels" / "val" / f"{image.stem}.png")[0]
            large = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(out / "labels" / f"{number:04d}.png"), large)


def run(video: Path, *options: str) -> tuple[dict[str, float], float]:
    """Seconds of the parts and frames a second, and the peak memory in MB."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(HERE / "speed.py"), "--measured", "propagate", "--quiet", *options]
        command += ["--frames", str(video / "frames"), "--labels", str(video / "labels"), "--out", out]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        results = json.loads((Path(out) / "results.json").read_text())
    return results, float(finished.stdout.splitlines()[-1])


def measured(arguments: list[str]) -> None:
    """Run the command line in this process, then print its peak memory in MB."""
    from segmend.__main__ import main

    sys.argv = ["segmend", *arguments]
    try:
        main()
    finally:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time propagation.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    data = parser.parse_args().data
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        write_video(data, Path(folder) / "large", LARGE, FRAMES, FRAMES)
        for name, options in METHODS.items():
            results, memory = run(Path(folder) / "large", "--steps", str(FRAMES - 1), *options)
            figures[f"{name}, {LARGE[0]} x {LARGE[1]}"] = {
                "frames a second": results["frames_per_second"],
                "peak_mb": round(memory),
                "seconds": results["seconds"],
            }
            print(name, figures[f"{name}, {LARGE[0]} x {LARGE[1]}"], flush=True)
        for length in LENGTHS:
            write_video(data, Path(folder) / str(length), SMALL, length, 10)
            results, memory = run(Path(folder) / str(length), "--method", "flow")
            figures[f"flow, aligned, {length} frames of {SMALL[0]} x {SMALL[1]}"] = {
                "frames a second": results["frames_per_second"],
                "peak_mb": round(memory),
                "seconds": results["seconds"],
            }
            print(length, memory, flush=True)
    write_raw(HERE / "speed.json", figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measured"]:
        measured(sys.argv[2:])
    else:
        main()
