"""MSRC-21: refiners over out-of-fold coarse maps, from the raw data to the table.

python benchmarks/refine_msrc21/run.py --kind linear
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import METHODS, Method, main  # noqa: E402

if __name__ == "__main__":
    in_sample = Method("ECN, in-sample coarse maps", "ecn_few_pictures", seeds=3, in_sample=True)
    main(HERE, "msrc21", ("linear", "deeplab"), compared=(*METHODS, in_sample))
