"""The VOC 2012 subset: refiners over out-of-fold coarse maps, from raw data to figures.

python benchmarks/refine_voc/run.py --kind linear
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import SHORTER, main  # noqa: E402

COMPARED = {"linear": SHORTER}

if __name__ == "__main__":
    main(HERE, "voc12_subset", COMPARED)
