"""CelebAMask-HQ at 512 x 512 px: refiners over the maps of a parser that sees 64 x 64 px, as in SPN's Table 1.

python benchmarks/refine_celebamask/run.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from comparison import UNTRAINED, main, propagations  # noqa: E402

from faces import GROUPS, merged  # noqa: E402

COMPARED = {"unet_eighth": (*UNTRAINED, *propagations("optimisation.steps=300"))}

if __name__ == "__main__":
    main(
        HERE,
        "celebamask_hq_mini",
        COMPARED,
        prepare=lambda source, root: merged(source, root.with_name("data_512"), 512),
        groups=GROUPS,
    )
