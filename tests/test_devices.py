"""What is loaded where networks run, and in which precision."""

import subprocess
import sys

import pytest
import torch

from segmend.devices import Precision, autocast


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


@pytest.mark.parametrize("multiplied", [True, False])
@pytest.mark.parametrize("precision", ["auto", "32", "bf16"])
def test_bfloat16_where_the_processor_multiplies_it_or_it_is_asked_for(
    precision: Precision, multiplied: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplied)
    with autocast(torch.device("cpu"), precision):
        found = (torch.rand(2, 2) @ torch.rand(2, 2)).dtype
    half = precision == "bf16" or (precision == "auto" and multiplied)
    assert found == (torch.bfloat16 if half else torch.float32)
