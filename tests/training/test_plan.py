"""What a recipe trains."""

import pytest
import torch

from segmend.data.sampling import collate
from segmend.labels import InvalidInput
from segmend.refiners import ECN, UniversalPropagation
from segmend.training.plan import plan
from segmend.training.recipe import (
    Augmentation,
    CoarseOptions,
    DataOptions,
    ECNOptions,
    Optimisation,
    RefinerRecipe,
    SegmenterRecipe,
    Source,
    UniversalRecipe,
)

OPTIONS = {"augmentation": Augmentation(crop=32), "optimisation": Optimisation(steps=2, batch=3, workers=0)}


def corrector(drawn, coarse, **options):
    whole = {
        "data": DataOptions(root=drawn, train="train"),
        "coarse": CoarseOptions(train=coarse / "train", truth_share=0.5),
        "ecn": ECNOptions(width="quarter"),
    }
    return RefinerRecipe(task="refiner", **(whole | options), **OPTIONS)


def test_a_share_of_the_pictures_is_for_the_mask(drawn, coarse):
    chosen = plan(corrector(drawn, coarse, mask_share=0.25)).samples.held_out
    assert len(chosen) == 3
    assert chosen == plan(corrector(drawn, coarse, mask_share=0.25)).samples.held_out
    alone = ECNOptions(width="quarter", branches="propagation")
    assert not plan(corrector(drawn, coarse, mask_share=0.25, ecn=alone)).samples.held_out


def test_a_set_without_labels_is_refused(drawn, coarse, tmp_path):
    (tmp_path / "images").mkdir()
    for path in list((drawn / "images" / "val").iterdir())[:2]:
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InvalidInput, match="has a label map"):
        plan(corrector(drawn, coarse, data=DataOptions(root=tmp_path / "images", classes=3)))


def test_a_refiner_of_any_classes_learns_from_several_sets(drawn, coarse):
    sources = [
        Source(data=DataOptions(root=drawn, train="train"), coarse=CoarseOptions(train=coarse / "train")),
        Source(data=DataOptions(root=drawn, train="val"), share=3.0),
    ]
    planned = plan(UniversalRecipe(task="universal", sources=sources, slots=4, **OPTIONS))
    assert isinstance(planned.model, UniversalPropagation)
    assert planned.samples.shares == [0.25, 0.75]
    assert [source.dataset.records[0].coarse is None for source in planned.samples.sources] == [False, True]
    assert len(planned.samples) == 6
    batch = collate([planned.samples[i] for i in range(3)])
    assert batch["coarse"].shape == (3, 4, 32, 32)
    loss = planned.loss(planned.model, batch)
    loss.backward()
    assert loss.isfinite()
    assert planned.model.blend[0].weight.grad.abs().max() > 0


def test_the_first_weights_belong_to_the_seed(drawn, coarse):
    torch.manual_seed(1)
    first = plan(corrector(drawn, coarse)).model
    torch.manual_seed(2)
    again = plan(corrector(drawn, coarse)).model
    assert isinstance(first, ECN)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_a_segmenter_may_see_all_classes_alike(drawn):
    recipe = SegmenterRecipe(
        task="segmenter",
        data=DataOptions(root=drawn, train="train"),
        network="segmend.segmenters.faces.FaceParser",
        class_uniform=32,
        **OPTIONS,
    )
    planned = plan(recipe)
    assert len(planned.samples.centroids) > 2
    loss = planned.loss(planned.model, collate([planned.samples[i] for i in range(3)]))
    assert loss.isfinite()
