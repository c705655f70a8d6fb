"""How a refined map and its coarse map are combined."""

import torch

from segmend.refiners.combine import combine, mixed
from segmend.refiners.refinement import Refinement


def test_a_mixture_with_the_coarse_map():
    torch.manual_seed(0)
    coarse, new = (torch.randn(4, 20, 30).mul(3).softmax(0) for _ in range(2))
    before, every = Refinement.of(coarse, coarse), Refinement.of(new, coarse, fusion_mask=torch.rand(20, 30))
    for share, expected in ((0.0, new), (1.0, coarse)):
        assert torch.equal(mixed(every, coarse, share).probabilities, expected)
    found = mixed(every, coarse, 0.6)
    assert torch.allclose(found.probabilities, 0.4 * new + 0.6 * coarse, atol=1e-6)
    assert torch.equal(found.labels, found.probabilities.argmax(dim=0).to(found.labels.dtype))
    assert torch.equal(found.confidence, found.probabilities.amax(dim=0))
    assert torch.equal(found.changed, found.labels != before.labels)
    assert 0 < int(found.changed.sum()) < int(every.changed.sum())
    assert torch.equal(found.change_confidence[found.changed], every.change_confidence[found.changed])
    assert (found.change_confidence[~found.changed] == 0.5).all()
    assert torch.equal(found.fusion_mask, every.fusion_mask)


def test_each_step_equals_a_loop_over_pixels():
    torch.manual_seed(1)
    coarse, new = (torch.randn(3, 9, 11).mul(2).softmax(0) for _ in range(2))
    void = torch.rand(9, 11) < 0.3
    coarse[:, void] = 1 / 3
    refined = Refinement.of(new, coarse)
    for weight, least, keep in ((0.4, None, False), (0.4, None, True), (0.4, 0.7, False), (0.0, 0.7, True)):
        found = combine(refined, coarse, weight, least, void, keep)
        for y in range(9):
            for x in range(11):
                before, after = coarse[:, y, x], new[:, y, x]
                old, label = int(before.argmax()), int(after.argmax())
                if void[y, x] and keep:
                    expected = before
                elif least is None:
                    expected = (1 - weight) * after + weight * before
                else:
                    sure = after[label] / (after[label] + after[old])
                    undone = label != old and not void[y, x] and sure < least
                    expected = before if undone else after
                assert torch.allclose(found.probabilities[:, y, x], expected, atol=1e-6)
                kept = bool(void[y, x]) and keep
                assert found.labels[y, x] == (255 if kept else expected.argmax())
                assert found.changed[y, x] == (not void[y, x] and int(expected.argmax()) != old)


def test_bands_are_joined():
    torch.manual_seed(0)
    new, coarse = torch.rand(2, 9, 4).softmax(0), torch.rand(2, 9, 4).softmax(0)
    shift = torch.rand(2, 9, 4)
    whole = Refinement.of(new, coarse, displacement=shift)
    parts = [slice(0, 2), slice(2, 7), slice(7, 9)]
    bands = [Refinement.of(new[:, p], coarse[:, p], displacement=shift[:, p]) for p in parts]
    joined = Refinement.joined(bands)
    for name in ("labels", "probabilities", "coarse_labels", "confidence", "changed", "displacement"):
        assert torch.equal(getattr(joined, name), getattr(whole, name))
    assert joined.fusion_mask is None
