"""Write the pages in docs/results, the README's table and the model card from the raw figures beside this file.

python benchmarks/render.py
python benchmarks/render.py --check

``--check`` writes nothing, lists the files that differ from what would be written, and exits with 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tables
import targets
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plots import PLOTS

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = ROOT / "docs" / "results"
START, END = "<!-- improvements -->\n", "\n<!-- /improvements -->"

SETS = {
    "refine_msrc21/linear": "MSRC-21, maps of a linear classifier",
    "refine_msrc21/deeplab": "MSRC-21, maps of DeepLabV3+",
    "refine_camvid/linear": "CamVid",
    "refine_voc/linear": "VOC 2012 subset",
    "refine_faces/unet_small": "CelebAMask-HQ at 256 px",
    "refine_celebamask/unet_eighth": "CelebAMask-HQ, maps at 1/8 of the resolution",
    "refine_fasseg/eighth": "FASSEG, ground truth at 1/8 of the resolution",
}
"""Raw files of the refiners, and the names of their data sets."""

METHODS = ("universal", "dense CRF", "ECN", "SPN, three-way")


def improvements() -> str:
    """Gains in mIoU over the coarse maps, and shares of images degraded, by data set and method."""
    rows = []
    for name, title in SETS.items():
        present = tables.raw(name).order
        cells = []
        for method in METHODS:
            if method in present:
                gain = tables.refined_iou(name, method) - tables.coarse_iou(name, method)
                cells.append(f"{gain:+.1f} ({tables.share_degraded(name, method):.0f} %)")
            else:
                cells.append("")
        rows.append([title, f"{tables.coarse_iou(name):.1f}", *cells])
    head = ["data set", "coarse, mIoU", "universal, as it comes"]
    return tables.markdown([*head, "dense CRF, searched", *METHODS[2:]], rows)


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated file and its text."""
    environment = Environment(loader=FileSystemLoader(HERE / "pages"), undefined=StrictUndefined, trim_blocks=True)
    environment.globals.update(tables=tables, targets=targets, sets=SETS, improvements=improvements)
    for name in environment.list_templates():
        text = environment.get_template(name).render().rstrip() + "\n"
        yield RESULTS / name, re.sub(r"\n{3,}", "\n\n", text)
    for name, draw in PLOTS.items():
        yield RESULTS / name, draw()
    yield ROOT / "src" / "segmend" / "refiners" / "weights" / "universal" / "README.md", tables.model_card()
    readme = ROOT / "README.md"
    head, _, rest = readme.read_text(encoding="utf-8").partition(START)
    _, found, tail = rest.partition(END)
    if not found:
        raise SystemExit(f"{readme}: expected the lines {START.strip()} and {END.strip()} around the table")
    yield readme, head + START + improvements() + END + tail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    stale = []
    for file, text in pages():
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            stale.append(str(file.relative_to(ROOT)))
            if not arguments.check:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    written = {file for file, _ in pages()}
    stale += [str(file.relative_to(ROOT)) for file in RESULTS.glob("*.md") if file not in written]
    if arguments.check and stale:
        sys.exit(f"not as rendered from benchmarks/: {', '.join(stale)}; run `python benchmarks/render.py`")
    print("\n".join(stale) or "all pages are up to date")


if __name__ == "__main__":
    main()
