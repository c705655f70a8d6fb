"""MSRC-21: refiners over out-of-fold coarse maps, from raw data to figures.

python benchmarks/refine_msrc21/run.py --kind linear
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import METHODS, SHORTER, Method, main, propagations  # noqa: E402

SHORTENED = (
    "ecn.width=half",
    "augmentation.crop=128",
    "optimisation.batch=4",
    "optimisation.steps=1200",
)
"""The paper's schedule (20,000 steps of 8 images of 256 x 256 px at full width) would take two cores days."""

MORE = (
    # The whole appearance term, as in the ECN beside it; `fit` would halve it for sharper in-sample maps.
    Method("ECN, in-sample coarse maps", "ecn_few_images", ("ecn.appearance=1",), in_sample=True),
    Method("ECN as in its paper, fewer steps", "ecn_paper", SHORTENED),
)

COMPARED = {
    "linear": (*METHODS, *propagations(), *MORE),
    "deeplab": SHORTER,
}

if __name__ == "__main__":
    main(HERE, "msrc21", COMPARED)
