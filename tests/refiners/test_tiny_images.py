"""Every refiner takes images of any size, down to one pixel."""

import pytest
import torch

from segmend.labels import Classes
from segmend.refiners import ECN, DenseCRF, GuidedFilter, SpatialPropagation, load

CLASSES = Classes.numbered(3)
PYRAMID = "tf_efficientnet_lite0"
MAKE = {
    "universal": lambda: load("universal"),
    "crf": DenseCRF,
    "guided": GuidedFilter,
    "guided, small radius": lambda: GuidedFilter(radius=1),
    "guided, large radius": lambda: GuidedFilter(radius=40),
    "ecn": lambda: ECN(CLASSES, "quarter"),
    "ecn, half the image": lambda: ECN(CLASSES, "quarter", max_displacement=None),
    "ecn, timm": lambda: ECN(CLASSES, "quarter", encoder=PYRAMID, appearance=1.0),
    "spn": lambda: SpatialPropagation(CLASSES, width="quarter"),
    "spn, lifted": lambda: SpatialPropagation(CLASSES, width="quarter", weighted=True, lift=4, appearance=1.0),
    "spn, free": lambda: SpatialPropagation(CLASSES, width="quarter", gates="free", lift=4, connections=1),
}


@pytest.fixture(scope="module", params=MAKE)
def refiner(request):
    torch.manual_seed(0)
    made = MAKE[request.param]()
    return made.eval() if isinstance(made, torch.nn.Module) else made


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3), (5, 5), (4, 40)])
def test_any_size_gives_a_probability_map_of_that_size(refiner, size):
    torch.manual_seed(0)
    labels = torch.randint(0, 3, size, dtype=torch.uint8)
    refined = refiner.refine(torch.rand(3, *size), labels, num_classes=3)
    assert refined.labels.shape == size
    assert torch.allclose(refined.probabilities.sum(dim=0), torch.ones(size), atol=1e-3)
