"""Which class the ids and planes of a scored map stand for, beside ground truth of another coding."""

import numpy as np
import pytest

from segmend.coding import Coding
from segmend.data.files import InvalidFile
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_probabilities
from segmend.data.scored import coding_of_maps, numbers_in, numbers_of, pair_maps, read_scored, stored_as
from segmend.labels import Classes, InvalidInput

PLAIN = Coding.counted(3)


@pytest.fixture
def maps(tmp_path):
    """Writes a label map of blocks of these ids, and gives its folder and its files by ID."""

    def written(*ids):
        labels = np.repeat(np.array(ids), 4)[None].repeat(8, axis=0)
        write_labels(tmp_path / "a.png", labels.astype(np.uint8 if max(ids) < 256 else np.int32))
        return tmp_path, {"a": tmp_path / "a.png"}

    return written


def test_classes_are_called_by_their_ids_but_foreground_is_1():
    assert numbers_of(Coding((7, 26001))) == (7, 26001)
    assert numbers_of(Coding((0, 255), ())) == numbers_of(Coding((0, 65535), ())) == (0, 1)


def test_a_coding_is_extended_to_classes_that_its_files_lack():
    assert stored_as(Coding((0, 255), ()), (0, 1, 2)).ids == (0, 255, 2)
    assert stored_as(Coding((7, 11)), (0, 7, 11)).ids == (0, 7, 11)


@pytest.mark.parametrize(
    ("ids", "like", "expected"),
    [
        ((0, 2), PLAIN, (0, 1, 2)),
        ((0, 2, 255), PLAIN, (0, 1, 2)),
        ((0, 2, 9), PLAIN, (0, 2, 9)),
        ((0, 255), Coding.counted(2), (0, 255)),
        ((0, 1), Coding((0, 255), ()), (0, 1)),
        ((7, 11), Coding((7, 11, 26)), (7, 11, 26)),
    ],
)
def test_label_files_are_read_like_the_ground_truth_where_that_explains_them(maps, ids, like, expected):
    assert coding_of_maps(*maps(*ids), like).coding.ids == expected


def test_foreground_of_255_is_said(maps):
    assert coding_of_maps(*maps(0, 255), Coding.counted(2)).assumed == ("255 is read as foreground, class 1",)
    assert coding_of_maps(*maps(0, 2, 9), PLAIN).assumed == ()


def test_classes_of_plain_maps_are_those_of_ids_and_planes(maps, tmp_path):
    folder, files = maps(0, 4)
    assert numbers_in(folder, files, Coding.counted(2)) == (0, 4)
    write_probabilities(tmp_path / "b.npz", np.full((3, 8, 8), 1 / 3))
    assert numbers_in(folder, {"b": tmp_path / "b.npz"}, Coding.counted(2)) == (0, 1, 2)
    # as many planes as classes are these classes, whatever their ids
    assert numbers_in(folder, {"b": tmp_path / "b.npz"}, Coding((7, 11, 26))) == (7, 11, 26)


def test_ids_that_are_no_class_become_void_and_are_listed(maps):
    _, files = maps(0, 26, 7, 255, 9)
    found = read_scored(files["a"], Classes.numbered(2), Coding((7, 26)))
    assert found.labels[0, ::4].tolist() == [255, 1, 0, 255, 255]
    assert found.foreign.tolist() == [0, 9]


@pytest.mark.parametrize(("count", "expected"), [(3, (2, [])), (2, (255, [2])), (4, (2, []))])
def test_planes_beyond_the_classes_are_no_class(tmp_path, count, expected):
    probabilities = np.eye(3)[np.full((4, 5), 2)].transpose(2, 0, 1)
    write_probabilities(tmp_path / "a.npz", probabilities)
    found = read_scored(tmp_path / "a.npz", Classes.numbered(count), Coding.counted(count))
    assert (int(found.labels[0, 0]), found.foreign.tolist()) == expected


def test_channels_last_are_refused(tmp_path):
    write_probabilities(tmp_path / "a.npz", np.full((4, 5, 3), 1 / 4))
    with pytest.raises(InvalidFile, match="classes must come first"):
        read_scored(tmp_path / "a.npz", Classes.numbered(3), PLAIN)


def test_maps_pair_by_name_or_without_what_all_names_share(tmp_path):
    truth = {name: tmp_path / f"{name}.png" for name in ("a", "b", "c")}
    assert pair_maps(truth, {"b": tmp_path, "x": tmp_path}, "maps").ids == {"b": "b"}
    masks = {f"{name}_mask": tmp_path / f"{name}_mask.png" for name in ("a", "b")}
    found = pair_maps(truth, masks, "maps")
    assert found.ids == {"a": "a_mask", "b": "b_mask"}
    assert "_mask" in found.assumed[0]
    with pytest.raises(InvalidInput, match=r"maps: no map belongs .* like 'x', the ground truth like 'a'"):
        pair_maps(truth, {"x": tmp_path / "x.png"}, "maps")
