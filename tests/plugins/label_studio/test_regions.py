"""Regions of Label Studio and their masks."""

import json

import numpy as np
import pytest

from segmend.labels import InvalidInput
from segmend.plugins.label_studio.regions import has_mask, mask_of, with_mask


@pytest.mark.parametrize("kind", ["brushlabels", "brush", "polygonlabels", "polygon"])
def test_a_region_gives_its_mask_and_takes_another(region, disc, iou, kind):
    given = region(disc(34), kind, origin="manual", parentID="Xy1", meta={"text": ["rough"]})
    assert has_mask(given)
    exact = kind.startswith("brush")
    assert iou(mask_of(given, 120, 160), disc(34)) > (0.9999 if exact else 0.98)
    before = json.dumps(given)
    found = with_mask(given, disc(40), 0.91234)
    assert json.dumps(given) == before
    assert iou(mask_of(found, 120, 160), disc(40)) > (0.9999 if exact else 0.98)
    assert found["score"] == 0.9123
    assert "origin" not in found
    kept = ("id", "type", "from_name", "to_name", "original_width", "image_rotation", "parentID", "meta")
    assert {key: found[key] for key in kept} == {key: given[key] for key in kept}
    assert found["value"].get(kind) == given["value"].get(kind)


def test_parts_of_a_polygon_stay_one_region(region, disc, iou):
    parts = disc(20, (30, 30)) | disc(12, (90, 120))
    found = with_mask(region(disc(34), "polygonlabels"), parts, 0.5)
    assert found["id"] == "Ab3"
    assert found["value"]["polygonlabels"] == ["Cell"]
    assert iou(mask_of(found, 120, 160), parts) > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"original_width": 161}, "160 x 120 px, as the image, found 161 x 120"),
        ({"image_rotation": 90}, "rotate it back"),
        ({"value": {"format": "rle"}}, "no mask"),
        ({"value": {"points": [[1, 2]]}, "type": "polygon"}, "three corners"),
        ({"value": {}, "type": "polygonlabels"}, "expected `points`"),
    ],
)
def test_regions_without_a_mask_of_the_image_are_refused(region, disc, change, message):
    with pytest.raises(InvalidInput, match=message):
        mask_of(region(disc(34)) | change, 120, 160)


@pytest.mark.parametrize(
    "item", [None, "text", {}, {"type": "choices", "value": {}}, {"type": "brushlabels"}, {"type": ["brush"]}]
)
def test_other_items_have_no_mask(item):
    assert not has_mask(item)


def test_percents_are_of_the_sides_of_the_image(region):
    mask = np.zeros((120, 160), bool)
    mask[30:60, 40:120] = True
    given = region(mask, "polygon", value={"points": [[25, 25], [75, 25], [75, 50], [25, 50]], "closed": True})
    assert (mask_of(given, 120, 160) == mask).all()
