"""CelebAMask-HQ at 512 x 512 px: refiners over maps at an eighth of the resolution, as in SPN's Table 1.

python benchmarks/refine_celebamask/run.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import main  # noqa: E402
from low_resolution import COMPARED, AtAnEighth  # noqa: E402

from faces import COLUMNS, GROUPS, merged  # noqa: E402

if __name__ == "__main__":
    main(
        HERE,
        "celebamask_hq_mini",
        COMPARED,
        prepare=lambda source, root: merged(source, root.with_name("data_512"), 512),
        groups=GROUPS,
        columns=COLUMNS,
        comparison=AtAnEighth,
    )
