"""Exponential linear units as PyTorch has them."""

import pytest
import torch
from torch.nn import functional

from segmend.ops.elu import elu

VALUES = torch.cat(
    (torch.linspace(-30, 30, 4001), torch.tensor([0.0, -0.0, -1e-8, 1e-8, float("inf"), -float("inf")]))
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_pytorch(dtype):
    rounding = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 8e-3}[dtype]
    for x in (VALUES.to(dtype), torch.randn(2, 3, 4, 5).to(dtype).to(memory_format=torch.channels_last)):
        own, reference = (x.clone().requires_grad_() for _ in "ab")
        found, expected = elu(own), functional.elu(reference)
        assert found.dtype == dtype
        assert found.stride() == expected.stride()
        assert torch.allclose(found, expected, rtol=0, atol=rounding)
        upstream = torch.randn_like(x)
        found.backward(upstream)
        expected.backward(upstream)
        assert torch.allclose(own.grad, reference.grad, rtol=rounding, atol=rounding)


def test_x_is_not_changed_and_nan_stays_nan():
    x = torch.tensor([-1.0, float("nan"), 2.0])
    kept = x.clone()
    assert elu(x).isnan().tolist() == [False, True, False]
    assert torch.equal(x.nan_to_num(), kept.nan_to_num())
