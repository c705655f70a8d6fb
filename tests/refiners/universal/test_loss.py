"""The loss of the class-agnostic refiner."""

import torch
import torch.nn.functional as F

from segmend.refiners.universal import UniversalOutput, universal_loss
from segmend.refiners.universal.combine import CombinationWeights
from segmend.refiners.universal.loss import BORDER_ERROR_WEIGHT, CLASS_MEAN_WEIGHT, COST_OFFSET


def test_the_loss_is_a_mean_of_logarithms_of_means_over_pixels_and_over_classes():
    torch.manual_seed(0)
    refined = torch.rand(3, 3, 4, 5).softmax(dim=1)
    target = torch.zeros(3, 4, 5, dtype=torch.int64)
    target[0, 0] = 2
    target[1, 1] = 1
    target[1, 2] = 255
    target[2] = 255
    costs = F.nll_loss(refined.log(), target, ignore_index=255, reduction="none")
    logs = []
    for i, classes in ((0, (0, 2)), (1, (0, 1))):
        class_mean = sum(costs[i][target[i] == c].mean() for c in classes) / 2
        pixel_mean = costs[i][target[i] != 255].mean()
        logs.append((pixel_mean + CLASS_MEAN_WEIGHT * class_mean + COST_OFFSET).log())
    output = UniversalOutput(refined, CombinationWeights(*[refined] * 5), torch.tensor([2.0, 4.5, 9.0]))
    off = BORDER_ERROR_WEIGHT * 2.0  # smooth L1 of an estimate that is off by 2.5, in logarithms
    loss = universal_loss(output, target, 255, torch.tensor([3.0, 3.0, 3.0]))
    assert torch.allclose(loss, (sum(logs) + off) / 2)
    assert universal_loss(output, torch.full_like(target, 255), 255, torch.zeros(3)) == 0
