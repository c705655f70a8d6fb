"""Voting, against a slow loop over pixels and a case that can be drawn by hand."""

import numpy as np
import pytest
import torch

from segmend.labels import void_of
from segmend.ops.vote import LEAST, vote_labels, vote_labels_reference
from segmend.ops.warp import warp_labels


def examples(dtype=torch.uint8, size=(2, 9, 11)):
    torch.manual_seed(0)
    labels = torch.randint(0, 4, size)
    labels[torch.rand(size) < 0.1] = void_of(torch.empty(0, dtype=dtype))
    labels[:, :4, :5] = 2
    images = [20 * torch.rand(size[0], 3, *size[1:]) for _ in range(2)]
    return labels.to(dtype), torch.randn(size[0], 2, *size[1:]) * 2, *images


def slow_vote(labels, displacement, target, source, radius, patch, colour_scale, distance_scale, void):
    """One image, pixel by pixel, in float64."""
    height, width = labels.shape
    padded = [np.pad(i, ((0, 0), (patch, patch), (patch, patch)), "edge") for i in (target, source)]
    side = 2 * patch + 1
    out, share = np.full_like(labels, void), np.zeros(labels.shape)
    for y in range(height):
        for x in range(width):
            sx, sy = x - displacement[0, y, x], y - displacement[1, y, x]
            qx, qy = int(np.floor(sx + 0.5)), int(np.floor(sy + 0.5))
            if not (0 <= qx < width and 0 <= qy < height):
                continue
            votes = {}
            for i in range(max(0, qy - radius), min(height, qy + radius + 1)):
                for j in range(max(0, qx - radius), min(width, qx + radius + 1)):
                    if labels[i, j] == void:
                        continue
                    a, b = padded[0][:, y : y + side, x : x + side], padded[1][:, i : i + side, j : j + side]
                    unlike = ((a - b) ** 2).sum() / side**2
                    away = (i - sy) ** 2 + (j - sx) ** 2
                    weight = np.exp(-away / (2 * distance_scale**2))
                    weight *= np.exp(-unlike / (2 * colour_scale**2)) + LEAST
                    votes[labels[i, j]] = votes.get(labels[i, j], 0) + weight
            if votes:
                out[y, x] = max(votes, key=lambda label: (votes[label], -int(label)))
                share[y, x] = votes[out[y, x]] / sum(votes.values())
    return out, share


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
@pytest.mark.parametrize("voted", ["native", "reference"])
@pytest.mark.parametrize(("radius", "patch"), [(3, 1), (2, 0), (0, 1)])
def test_equals_the_formula_pixel_by_pixel(dtype, voted, radius, patch):
    inputs = examples(dtype)
    if voted == "native":
        found = vote_labels(*inputs, radius=radius, patch=patch, colour_scale=6.0, distance_scale=2.0)
    else:
        found = vote_labels_reference(*inputs, radius, patch, 6.0, 2.0)
    assert found[0].dtype == dtype
    void = void_of(inputs[0])
    for image in range(2):
        one = [
            tensor[image].double().numpy() if tensor.is_floating_point() else tensor[image].numpy()
            for tensor in inputs
        ]
        labels, share = slow_vote(*one, radius, patch, 6.0, 2.0, void)
        np.testing.assert_array_equal(found[0][image].numpy(), labels)
        np.testing.assert_allclose(found[1][image].numpy(), share, atol=1e-4)


def test_labels_return_to_the_edge_that_a_wrong_displacement_missed():
    image = torch.zeros(1, 3, 12, 20)
    image[..., 10:] = 80
    labels = torch.zeros(1, 12, 20, dtype=torch.uint8)
    labels[..., 10:] = 1
    displacement = torch.zeros(1, 2, 12, 20)
    displacement[:, 0] = 2  # nothing moved in truth
    assert (warp_labels(labels, displacement)[..., 2:] != labels[..., 2:]).float().mean() > 0.1
    voted, share = vote_labels(labels, displacement, image, image)
    assert torch.equal(voted[..., 2:], labels[..., 2:])
    assert share[..., 2:].min() > 0.9


def test_where_all_is_void_or_outside_there_is_no_vote():
    labels = torch.full((1, 4, 5), 255, dtype=torch.uint8)
    image = torch.zeros(1, 3, 4, 5)
    for displacement in (torch.zeros(1, 2, 4, 5), torch.full((1, 2, 4, 5), 9.0)):
        for voted, share in (
            vote_labels(labels, displacement, image, image),
            vote_labels_reference(labels, displacement, image, image, 3, 1, 6.0, 2.0),
        ):
            assert (voted == 255).all()
            assert (share == 0).all()


def test_what_does_not_fit_is_refused():
    labels, displacement, target, source = examples()
    with pytest.raises(ValueError, match="two images"):
        vote_labels(labels, displacement, target, source[:1])
    with pytest.raises(ValueError, match="radius"):
        vote_labels(labels, displacement, target, source, radius=8)
    with pytest.raises(ValueError, match="uint8 or int32"):
        vote_labels(labels.long(), displacement, target, source)
    arguments = (labels, displacement, target, source, 3, 1, 6.0, 2.0)
    assert set(torch.library.opcheck(torch.ops.segmend.vote_labels.default, arguments).values()) == {"SUCCESS"}
