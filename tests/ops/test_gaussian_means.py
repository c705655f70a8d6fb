"""Means weighted by how near points are, against the formula."""

import pytest
import torch

from segmend.ops.gaussian_means import gaussian_means


@pytest.mark.parametrize("points", [1, 63, 64, 200])
@pytest.mark.parametrize("count", [1, 5, 64, 150])
@pytest.mark.parametrize(("dims", "channels"), [(1, 1), (5, 3), (4, 21)])
def test_means_are_those_of_the_formula(backend, points, count, dims, channels):
    torch.manual_seed(0)
    queries, keys = torch.randn(2, dims, points) + 3, torch.randn(2, dims, count) + 3
    values = torch.randn(2, channels, count)
    squared = (queries[:, :, :, None] - keys[:, :, None]).double().square().sum(dim=1)
    weights = torch.exp(-squared / 2)
    expected = torch.einsum("bnm,bcm->bcn", weights / weights.sum(dim=2, keepdim=True), values.double())
    torch.testing.assert_close(gaussian_means(queries, keys, values).double(), expected, rtol=1e-4, atol=1e-5)


def test_a_query_far_from_all_keys_gets_the_values_of_the_nearest(backend):
    keys = torch.tensor([[[0.0, 1.0, 2.0]]])
    queries = torch.tensor([[[-500.0, 1.0, 700.0]]])
    values = torch.tensor([[[1.0, 2.0, 3.0]]])
    found = gaussian_means(queries, keys, values)
    assert found[0, 0, 0].item() == pytest.approx(1, abs=1e-5)
    assert found[0, 0, 2].item() == pytest.approx(3, abs=1e-5)
    assert found[0, 0, 1].item() == pytest.approx(2, abs=1e-5)  # as near to both sides


def test_half_precision_and_views_are_accepted(backend):
    torch.manual_seed(0)
    map_ = torch.randn(2, 9, 40)
    parts = map_[:, :3, ::2], map_[:, 3:6, 1::4], map_[:, 6:, 1::4]
    torch.testing.assert_close(gaussian_means(*parts), gaussian_means(*(p.contiguous() for p in parts)))
    low = gaussian_means(*(p.bfloat16() for p in parts))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, gaussian_means(*(p.bfloat16().float() for p in parts)), rtol=1e-4, atol=1e-4)


def test_shapes_that_do_not_fit_are_refused():
    points = torch.zeros(1, 2, 5)
    for wrong in (
        (points, torch.zeros(1, 3, 5), points),
        (points, points, torch.zeros(1, 2, 4)),
        (points, points, points[0]),
    ):
        with pytest.raises(ValueError, match="expected points"):
            gaussian_means(*wrong)


def test_pytorch_knows_the_operation():
    given = torch.rand(2, 3, 7), torch.rand(2, 3, 5), torch.rand(2, 4, 5)
    found = torch.library.opcheck(torch.ops.segmend.gaussian_means.default, given)
    assert set(found.values()) == {"SUCCESS"}
