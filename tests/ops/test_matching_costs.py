"""Matching costs, against plain PyTorch and against a loop over pixels."""

import numpy as np
import pytest
import torch

from segmend.ops.matching_costs import matching_costs, matching_costs_reference


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 5), (6, 1), (2, 2), (33, 70)])
@pytest.mark.parametrize("radius", [0, 1, 2])
def test_native_equals_the_reference(size, radius):
    torch.manual_seed(0)
    target, source = torch.rand(2, 3, *size), torch.rand(2, 3, *size)
    found = matching_costs(target, source, radius)
    assert torch.allclose(found, matching_costs_reference(target, source, radius), atol=1e-5)


def test_equals_the_formula_pixel_by_pixel():
    rng = np.random.default_rng(0)
    target, source = (rng.random((2, 6, 8)) for _ in range(2))
    padded = np.pad(source, ((0, 0), (1, 1), (1, 1)), "edge")
    found = matching_costs(*(torch.from_numpy(i).float()[None] for i in (target, source)), radius=1)[0].numpy()
    for index, (dy, dx) in enumerate((y, x) for y in (0, 1, 2) for x in (0, 1, 2)):
        cost = np.abs(target - padded[:, dy : dy + 6, dx : dx + 8]).mean(0)
        wide = np.pad(cost, 1, "edge")
        blurred = sum(wide[y : y + 6, x : x + 8] for y in range(3) for x in range(3)) / 9
        np.testing.assert_allclose(found[index], blurred.reshape(3, 2, 4, 2).mean((1, 3)), atol=1e-5)


def test_the_number_of_threads_does_not_change_costs():
    torch.manual_seed(0)
    target, source = torch.rand(1, 3, 37, 41), torch.rand(1, 3, 37, 41)
    once = matching_costs(target, source, 2)
    torch.set_num_threads(3)
    try:
        assert torch.equal(matching_costs(target, source, 2), once)
    finally:
        torch.set_num_threads(1)


def test_what_does_not_fit_is_refused():
    target = torch.rand(1, 3, 6, 8)
    with pytest.raises(ValueError, match="two images"):
        matching_costs(target, target[:, :2], 1)
    assert set(torch.library.opcheck(torch.ops.segmend.matching_costs.default, (target, target, 1)).values()) == {
        "SUCCESS"
    }
