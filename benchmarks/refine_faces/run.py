"""Faces: refiners over the maps of a parser that sees 128 x 128 px, brought up to 256 x 256, as in ECN 4.3.

python benchmarks/refine_faces/run.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import SHORTER, main  # noqa: E402

from faces import GROUPS, merged  # noqa: E402

COMPARED = {"unet_small": SHORTER}

if __name__ == "__main__":
    main(
        HERE,
        "celebamask_hq_mini",
        COMPARED,
        prepare=lambda source, root: merged(source, root, 256),
        groups=GROUPS,
    )
