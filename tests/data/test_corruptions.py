"""Corruption of good label maps."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from segmend.data.corruptions import (
    KINDS,
    AnyCorruption,
    Corruption,
    add_holes,
    add_islands,
    blocky,
    corrupt_tags,
    fill_void,
    folder_change,
    grow,
    grow_each,
    grow_parts,
    low_resolution,
    polygons,
    ragged,
    remove_object,
    shifted,
    swap_class,
)
from segmend.ops.nearest import nearest_chosen


def disc(radius=12, size=48, void=True):
    y, x = np.mgrid[:size, :size] - size // 2
    labels = (y**2 + x**2 <= radius**2).astype(np.uint8)
    if void:
        labels[:2] = 255
    return torch.from_numpy(labels)


def test_classes_grow_over_the_one_that_is_given():
    labels = torch.zeros(20, 30, dtype=torch.uint8)
    labels[:, 4:] = 1  # the largest one
    assert (grow(labels, 3)[0] == 1).nonzero().flatten().tolist() == list(range(7, 30))  # class 0 grows over it
    assert (grow(labels, 3, over=0)[0] == 1).nonzero().flatten().tolist() == list(range(1, 30))
    assert (grow(labels, -3, over=0)[0] == 1).nonzero().flatten().tolist() == list(range(7, 30))


def test_growing_is_dilation_and_shrinking_erosion_of_one_class():
    labels = disc()
    y, x = np.mgrid[-5:6, -5:6]
    ball = y**2 + x**2 <= 25
    inside = labels.numpy() == 1
    for pixels, expected in (
        (5, ndimage.binary_dilation(inside, ball)),
        (-5, ndimage.binary_erosion(inside, ball)),
    ):
        found = grow(labels, pixels).numpy()
        assert (found[:2] == 255).all()
        # The distance is the chamfer one: good to a twentieth, so that few pixels of the rim differ.
        assert ((found == 1) != expected)[2:].sum() <= 0.02 * expected.sum() + 8
        assert found.dtype == np.uint8


def test_classes_shrink_from_the_largest_one_alone():
    labels = torch.zeros(20, 30, dtype=torch.uint8)
    labels[:, 10:20] = 1
    labels[:8, 20:] = 2
    shrunk = grow(labels, -3)
    assert (shrunk[:5, 13:20] == 1).all()
    assert (shrunk[:5, 20:] == 2).all()
    assert (shrunk[12:, 17:20] == 0).all()
    assert (shrunk[:, 13:17] == 1).all()
    row = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 0]], dtype=torch.uint8)
    assert grow(row, -2).tolist() == [[1, 1, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0]]
    assert grow(row, 2).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0, 0]]
    assert grow(row[:, :8], -2).tolist() == [[1, 1, 1, 1, 1, 1, 2, 2]]  # the first of two largest ones


def test_smaller_classes_never_swap_pixels():
    """What growth and erosion change belongs to the largest class before or after, within the distance."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.choice(np.array([0, 0, 1, 2, 3, 255], np.uint8), (5, 6)).repeat(4, 0).repeat(4, 1)
        names, counts = np.unique(labels[labels != 255], return_counts=True)
        largest = labels == names[counts.argmax()]
        for pixels in (3, -3):
            found = grow(torch.from_numpy(labels), pixels).numpy()
            changed = found != labels
            growing = ~largest & (labels != 255) if pixels > 0 else largest
            distance = ndimage.distance_transform_edt(~growing)
            assert changed.any()
            assert (distance[changed] < 3.5).all()  # the chamfer distance is good to a twentieth
            assert changed[(distance > 0) & (distance < 2.5) & (labels != 255)].all()
            if pixels > 0:
                assert largest[changed].all()
            else:
                assert (found[changed] == names[counts.argmax()]).all()


def test_polygons_have_few_corners_and_lie_about_where_the_regions_were():
    labels = disc(radius=16)
    for corners in (5, 12):
        synthetic = polygons(labels, corners).numpy()
        assert (synthetic[:2] == 255).all()
        (outline,), _ = cv2.findContours(
            (synthetic == 1).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        assert len(cv2.approxPolyDP(outline, 1.0, closed=True)) <= corners
        both = ((synthetic == 1) & (labels.numpy() == 1)).sum() / ((synthetic == 1) | (labels.numpy() == 1)).sum()
        assert both > 0.6  # inscribed


def test_many_corners_keep_a_map():
    labels = disc(void=False)
    assert torch.equal(polygons(labels, 10_000), labels)
    assert torch.equal(grow(labels, 0), labels)


def test_maps_of_one_label_and_of_void_stay():
    for value in (3, 255):
        labels = torch.full((9, 11), value, dtype=torch.uint8)
        for changed in (grow(labels, 4), grow(labels, -4), polygons(labels, 5)):
            assert torch.equal(changed, labels)


def test_corruption_keeps_a_probability_map_and_hurts():
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (6, 8)).repeat_interleave(12, 0).repeat_interleave(12, 1).to(torch.uint8)
    wrong = []
    for _ in range(20):
        corrupted = Corruption().of_truth(labels, 4)
        assert corrupted.min() >= 0
        assert torch.allclose(corrupted.sum(0), torch.ones(72, 96), atol=1e-4)
        wrong.append((corrupted.argmax(0) != labels).float().mean().item())
    assert 0.05 < sum(wrong) / len(wrong) < 0.6


def test_void_is_filled_from_beside_it():
    labels = torch.tensor([[1, 255, 255, 255, 255, 2], [1, 1, 255, 255, 2, 2]], dtype=torch.uint8)
    assert fill_void(labels).tolist() == [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]]
    void = torch.full((2, 2), 255, dtype=torch.uint8)
    assert torch.equal(fill_void(void), void)


def test_low_resolution_keeps_shares_of_classes_and_loses_detail():
    labels = disc(void=False)
    soft, hard = (low_resolution(labels, 2, 8, soft) for soft in (True, False))
    share = (labels == 1).float().mean()
    assert torch.allclose(soft.sum(dim=0), torch.ones(48, 48), atol=1e-5)
    assert abs(soft[1].mean() - share) < 0.02
    assert torch.equal(hard.argmax(0), soft.argmax(0))
    assert hard.max(dim=0).values.min() > 0.97
    thin = torch.zeros(48, 48, dtype=torch.uint8)
    thin[:, 20] = 1
    assert (low_resolution(thin, 2, 16).argmax(0) == 0).all()


def test_a_shift_moves_by_so_many_pixels_or_not_at_all():
    torch.manual_seed(0)
    labels = torch.arange(42, dtype=torch.uint8).view(6, 7)
    moves = {tuple(shifted(labels, 1)[2:4, 2:4].flatten().tolist()) for _ in range(100)}
    assert len(moves) == 9
    assert torch.equal(shifted(labels, 0), labels)


def test_any_corruption_gives_good_masks_too():
    torch.manual_seed(0)
    labels = disc()
    valid = labels != 255
    wrong = []
    for _ in range(60):
        map_ = AnyCorruption().of_truth(labels, 3)
        assert torch.allclose(map_.sum(dim=0), torch.ones(48, 48), atol=1e-4)
        wrong.append((map_.argmax(0) != labels)[valid].float().mean().item())
    assert sum(w < 0.005 for w in wrong) >= 3
    assert sum(w > 0.03 for w in wrong) >= 20


def test_tags_are_dropped_and_added_at_the_given_rates():
    names = ["cat"] * 6 + ["dog"] * 3 + ["cow"]
    tags = {number: {names[number % 10]: 1.0} for number in range(4000)}
    corrupted = corrupt_tags(tags, 0.3, 0.2, seed=0)
    kept = sum(names[number % 10] in found for number, found in corrupted.items())
    added = [name for number, found in corrupted.items() for name in found if name != names[number % 10]]
    assert abs(kept / 4000 - 0.7) < 0.03
    assert abs(len(added) / 4000 - 0.2) < 0.03
    beside_cats = [name for number, found in corrupted.items() if "cat" in tags[number] for name in found]
    assert abs(beside_cats.count("dog") / beside_cats.count("cow") - 3) < 0.7
    assert corrupt_tags(tags, 0.3, 0.2, seed=0) == corrupted
    assert corrupt_tags(tags, 0.3, 0.2, seed=1) != corrupted


def test_tags_stay_where_nothing_is_dropped_or_can_be_added():
    tags = {("train", "a"): {"cat": 1.0, "dog": 1.0}, ("weak", "b"): {}}
    assert corrupt_tags(tags, 0, 0, seed=0) == tags
    assert corrupt_tags(tags, 0, 1, seed=0) == tags
    assert corrupt_tags(tags, 1, 0, seed=0) == {("train", "a"): {}, ("weak", "b"): {}}


def test_growing_each_class_gives_pixels_to_the_smallest():
    labels = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 0]])
    assert grow_each(labels, 1).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0]]
    assert grow_each(labels, -1).tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0]]


def test_parts_grow_by_their_own_amounts():
    labels = torch.zeros(40, 60, dtype=torch.uint8)
    labels[10:20, 5:15] = labels[10:20, 40:50] = 1
    torch.manual_seed(2)
    grown = grow_parts(labels, 3, 2)
    left, right = ((grown[:, part] == 1).sum() for part in (slice(0, 30), slice(30, 60)))
    assert left != right
    assert torch.equal(grow_parts(labels, 3, 0) == 1, grow(labels, 3) == 1)
    assert torch.equal(grow_parts(labels, -3, 0) == 1, grow(labels, -3) == 1)


def test_blocks_hold_one_label():
    labels = torch.arange(64, dtype=torch.uint8).view(8, 8)
    for rows in blocky(labels, 4).split(4):
        for block in rows.split(4, dim=1):
            assert len(block.unique()) == 1


def test_ragged_labels_come_from_nearby():
    labels = torch.arange(40, dtype=torch.int64).expand(30, 40).contiguous()
    torch.manual_seed(0)
    moved = (ragged(labels, 2, 8) - labels).abs()
    assert 0 < moved.float().mean() < 3
    assert torch.equal(ragged(labels, 0, 8), labels)


@pytest.mark.parametrize("seed", range(24))
def test_changed_masks_are_masks_of_the_same_classes(seed):
    labels = torch.zeros(50, 60, dtype=torch.uint8)
    labels[15:35, 15:40] = 1
    labels[20:30, 40:50] = 2
    torch.manual_seed(seed)
    change = folder_change()
    found = change(labels, 0)
    assert found.shape == labels.shape
    assert found.dtype == labels.dtype
    assert set(found.unique().tolist()) <= {0, 1, 2}


def test_kinds_of_changes_are_drawn_with_their_probabilities():
    assert sum(KINDS.values()) == pytest.approx(1)
    labels = torch.zeros(50, 60, dtype=torch.uint8)
    labels[15:35, 15:40] = 1
    torch.manual_seed(0)
    exact = sum(torch.equal(folder_change()(labels, 0), labels) for _ in range(200))
    assert 20 <= exact <= 90  # small changes leave this mask as it is


def two_discs():
    y, x = np.mgrid[:60, :90]
    labels = np.zeros((60, 90), np.uint8)
    labels[(y - 30) ** 2 + (x - 25) ** 2 < 15**2] = 1
    labels[(y - 30) ** 2 + (x - 65) ** 2 < 15**2] = 2
    labels[:3] = 255
    return torch.from_numpy(labels)


def test_a_swapped_area_changes_whole_and_alone():
    labels = two_discs()
    for seed in range(10):
        torch.manual_seed(seed)
        changed = swap_class(labels, classes=[0, 1, 2])
        old = labels[changed != labels].unique()
        assert len(old) == 1
        assert (changed != labels).equal(labels == old[0])
        assert len(changed[changed != labels].unique()) == 1


def test_no_area_is_swapped_that_is_too_small():
    labels = two_discs()
    assert swap_class(labels, [0, 1, 2], smallest=0.99).equal(labels)
    assert swap_class(labels, [0], smallest=0.5).equal(labels)


def test_a_removed_object_gets_the_label_around_it():
    labels = two_discs()
    for seed in range(10):
        torch.manual_seed(seed)
        changed = remove_object(labels)
        assert set(changed[changed != labels].tolist()) == {0}
        gone = {1, 2} - set(changed.unique().tolist())
        assert len(gone) == 1
        assert (changed == 255).equal(labels == 255)


def test_holes_lie_inside_objects_and_islands_anywhere_but_in_void():
    labels = two_discs()
    torch.manual_seed(0)
    holed = add_holes(labels, 2, 3)
    assert set(holed[holed != labels].tolist()) == {0}
    assert (holed != labels).sum() >= 2 * 9
    inside = torch.from_numpy(nearest_chosen((labels != 1).numpy() & (labels != 2).numpy())[0])
    assert inside[holed != labels].min() > 1
    with_islands = add_islands(labels, 3, 4, [1, 2])
    assert set(with_islands[with_islands != labels].tolist()) <= {1, 2}
    assert (with_islands == 255).equal(labels == 255)


def test_a_map_of_one_class_has_no_holes_and_nothing_to_remove():
    labels = torch.zeros(20, 20, dtype=torch.uint8)
    assert add_holes(labels, 2, 3).equal(labels)
    assert remove_object(labels, largest=1).equal(labels)
