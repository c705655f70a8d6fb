"""What is loaded where networks run."""

import subprocess
import sys


def test_refining_loads_no_more_than_it_needs():
    """Torchvision and torch's compiler take seconds and 200 MB, and are for training."""
    heavy = ("torchvision", "torch._dynamo", "kornia", "matplotlib")
    code = (
        "import sys, torch, segmend, segmend.jobs.refine\n"
        "segmend.load('universal').refine(torch.rand(3, 40, 40), torch.randint(3, (40, 40)))\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
