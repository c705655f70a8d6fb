"""Time and memory of `segmend check` and of cleanlab on the same probability maps, each in a process of its own.

python benchmarks/check/speed.py --probs runs/msrc21/linear/segmenter/out_of_fold
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import DATA  # noqa: E402

SIZES = (64, 275)
"""Images of MSRC-21's training split."""

OURS = """
import resource, sys, time
from pathlib import Path
from segmend.data.files import MAX_PIXELS
from segmend.jobs.check import check, open_checked
start = time.perf_counter()
images, coarse, probs, out = map(Path, sys.argv[1:])
pairs, evidence, unpaired = open_checked(images, coarse, probs, 21, max_pixels=MAX_PIXELS)
check(pairs, out, evidence, unpaired, quiet=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

CLEANLAB = """
import resource, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from cleanlab.segmentation.filter import find_label_issues
from cleanlab.segmentation.rank import get_label_quality_scores
start = time.perf_counter()
_, coarse, probs, out = map(Path, sys.argv[1:])
out.mkdir()
files = sorted(probs.glob("*.npz"))
shape = (len(files), 21, 213, 320)
maps = np.lib.format.open_memmap(out / "maps.npy", "w+", np.float32, shape)
labels = np.lib.format.open_memmap(out / "labels.npy", "w+", np.int64, (len(files), 213, 320))
for index, file in enumerate(files):  # of one size, as cleanlab needs them
    p, given = np.load(file)["p"], np.array(Image.open(coarse / f"{file.stem}.png"))
    rows, columns = ((np.arange(n) * m // n) for n, m in zip((213, 320), given.shape))
    p, given = p[:, rows][:, :, columns], given[rows][:, columns]
    maps[index], labels[index] = p, np.where(given == 255, p.argmax(axis=0), given)
get_label_quality_scores(labels, maps, verbose=False)
find_label_issues(labels, maps, n_jobs=1, verbose=False)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare time and memory.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for what is written meanwhile")
    parser.add_argument("--probs", type=Path, required=True, help="out-of-fold maps of MSRC-21's training split")
    arguments = parser.parse_args()
    from raw import write_raw
    from tables import trainings as table

    figures = {}
    for size in SIZES:
        places = folder_of(arguments.data / "msrc21", arguments.probs, arguments.runs / f"speed_{size}", size)
        row: dict[str, list[float]] = {}
        for name, code in (("segmend check", OURS), ("cleanlab", CLEANLAB)):
            out = arguments.runs / "speed_out"
            shutil.rmtree(out, ignore_errors=True)
            command = [sys.executable, "-c", code, *map(str, places), str(out)]
            seconds, memory = json.loads(
                "["
                + ",".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
                + "]"
            )
            row |= {f"{name}, s": [seconds], f"{name}, MB": [memory]}
            print(size, name, seconds, memory, flush=True)
        figures[f"{size} images"] = row
    write_raw(HERE / "speed.json", figures)
    print(table("check/speed", "MSRC-21"))


def folder_of(data: Path, probs: Path, out: Path, size: int) -> tuple[Path, Path, Path]:
    """Folders of images, labels and probability maps of some records, as links."""
    names = sorted(path.stem for path in (data / "images" / "train").iterdir())[:size]
    found = []
    for kind, source, suffix in (
        ("images", data / "images" / "train", ".jpg"),
        ("labels", data / "labels" / "train", ".png"),
        ("probs", probs / "probs", ".npz"),
    ):
        folder = out / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            link = folder / f"{name}{suffix}"
            if not link.exists():
                link.symlink_to((source / f"{name}{suffix}").resolve())
        found.append(folder)
    return found[0], found[1], found[2]


if __name__ == "__main__":
    main()
