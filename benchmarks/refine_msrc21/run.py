"""MSRC-21: refiners over out-of-fold coarse maps, from the raw data to the table.

python benchmarks/refine_msrc21/run.py --kind linear
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import main  # noqa: E402

if __name__ == "__main__":
    main(HERE, "msrc21", ("linear", "deeplab"))
