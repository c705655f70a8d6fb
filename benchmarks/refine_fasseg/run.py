"""FASSEG: refiners over maps at an eighth of the resolution, F-measure by part, as in SPN's Table 1.

python benchmarks/refine_fasseg/run.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import COLUMNS, main  # noqa: E402
from low_resolution import COMPARED, AtAnEighth  # noqa: E402

PARTS = ("skin", "hair", "eyes", "nose", "mouth")

if __name__ == "__main__":
    parts = {f"F {name}": lambda s, name=name: s.f_measure[name] for name in PARTS}
    columns = {"mIoU": COLUMNS["mIoU"], "trimap 3 px": COLUMNS["trimap 3 px"], **parts}
    main(HERE, "fasseg_frontal", COMPARED, columns=columns, comparison=AtAnEighth)
