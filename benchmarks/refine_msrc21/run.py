"""MSRC-21: refiners over two kinds of out-of-fold coarse maps, from the raw data to the table.

python benchmarks/refine_msrc21/run.py --kind linear
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import Comparison, Method, replace_table, table, write_raw  # noqa: E402

METHODS = (
    Method("guided filter", "guided"),
    Method("dense CRF", "crf"),
    Method("ECN, propagation only", "ecn_few_pictures", ("ecn.branches=propagation",), seeds=3),
    Method("ECN, replacement only", "ecn_few_pictures", ("ecn.branches=replacement",), seeds=3),
    Method("ECN", "ecn_few_pictures", seeds=3),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/msrc21"))
    parser.add_argument("--runs", type=Path, default=Path("runs/msrc21"))
    parser.add_argument("--kind", choices=("linear", "deeplab"), default="linear")
    parser.add_argument("--seeds", type=int, default=3, help="fewer for a first look")
    arguments = parser.parse_args()
    methods = tuple(Method(m.name, m.recipe, m.overrides, min(m.seeds, arguments.seeds)) for m in METHODS)
    data = (f"data.root={arguments.data}",)
    comparison = Comparison(arguments.runs, arguments.kind, "val", data, (), methods)
    found = comparison.run()
    write_raw(HERE / f"{arguments.kind}.json", found)
    text = table(found)
    replace_table(HERE.parents[1] / "docs" / "results.md", f"msrc21 {arguments.kind}", text)
    print(text)


if __name__ == "__main__":
    main()
