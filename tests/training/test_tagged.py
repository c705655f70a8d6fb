"""Images with label maps and with tags: which is which, what is left out, and what is said about it."""

import pytest

from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile, write_json
from segmend.labels import InvalidInput
from segmend.training.options import DataOptions
from segmend.training.tagged import contradictions, shown_classes, split_by_labels, with_tags_of_labels


def split_of(root, *arguments, **options):
    return split_by_labels(DataOptions(root=root, train="train"), *arguments, **options)


def test_a_list_chooses_the_labelled_images_and_the_others_have_tags(root, tmp_path, found):
    (tmp_path / "list").write_text("# labelled by hand\n\nt1\nt4 \n")
    labelled, tagged, _ = split_of(root, tmp_path / "list")
    assert [record.id for record in labelled] == ["t1", "t4"]
    assert [[record.id for record in one] for one in tagged] == [["t0", "t2", "t3", "t5"], ["w0", "w1", "w2"]]
    assert [list(record.tags) for record in tagged[0]] == [
        ["ground", "cat"],
        *[["ground", name] for name in ("cat", "dog", "dog")],
    ]
    assert tagged[1].records[2].tags == {"ground": 1}
    assert "pets: every tagged image is taken to hold ground, which tags do not name" in found()


def test_tags_of_another_file_replace_those_of_the_data_set(root, tmp_path):
    write_json(tmp_path / "cleaned.json", {"weak": {"w1": {"cat": 0.75, "dog": 0.125}}})
    tagged = split_of(root, tags_file=tmp_path / "cleaned.json").tagged
    assert [record.tags for record in tagged[0]] == [
        {"ground": 1, "cat": 1},
        {"ground": 1, "cat": 0.75, "dog": 0.125},
        {"ground": 1},
    ]
    with pytest.raises(InvalidFile, match=r"gone\.json: no such file"):
        split_of(root, tags_file=tmp_path / "gone.json")
    write_json(tmp_path / "cleaned.json", {"weak": {"w1": ["cta"]}})
    with pytest.raises(InvalidFile, match=r"cleaned\.json: w1: the tag 'cta' is no class; did you mean 'cat'"):
        split_of(root, tags_file=tmp_path / "cleaned.json")


def test_tags_of_what_is_not_there_are_listed(root, tmp_path, found):
    tags = {"train": {"t0": ["cat"], "x": []}, "weak": {"w0": ["cat"], "w7": ["cat"]}, "weka": {"w1": ["dog"]}}
    write_json(tmp_path / "cleaned.json", tags)
    split_of(root, tags_file=tmp_path / "cleaned.json")
    assert [message for message in found() if message.startswith("warning: ")][:3] == [
        f"warning: {tmp_path / 'cleaned.json'} has tags of a split that is not in {root / 'images'}: weka",
        "warning: cleaned.json has tags of an image that is not in images/train: x",
        "warning: cleaned.json has tags of an image that is not in images/weak: w7",
    ]
    write_json(root / "tags.json", tags)
    split_of(root)
    warning = f"warning: {root / 'tags.json'} has tags of a split that is not in {root / 'images'}: weka"
    assert warning in found()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t1\nt7\n", "no image of the training split has the ID t7; one that there is: 't0'"),
        ("t1\nvideo/t11\n", r"has the ID video/t11; did you mean 'video/t1'\?"),
        ("\n# none\n", "expected the ID of a labelled image in each line, found none"),
        ("t1\nx\n", "no label map belongs to x"),
    ],
)
def test_lists_that_cannot_be_are_refused_with_their_name(root, tmp_path, write_one, text, message):
    write_one(root, "train", "x")
    write_one(root, "train", "video/t1", 1)
    (tmp_path / "chosen.txt").write_text(text)
    with pytest.raises(InvalidFile, match=rf"chosen\.txt: .*{message}"):
        split_of(root, tmp_path / "chosen.txt")
    with pytest.raises(InvalidFile, match=r"gone\.txt: not readable"):
        split_of(root, tmp_path / "gone.txt")


def test_without_tags_label_maps_alone_are_trained_on_and_that_is_said(root, found):
    assert split_of(root, splits=(), needs_tags=False).tagged == []
    assert found() == []
    assert split_of(root, splits=()).tagged == []
    message = found()[-1]
    assert message.startswith(f"warning: {root}: no image has tags, so label maps alone are trained on: ")


def test_splits_with_tags_and_without_label_maps_are_found(root, found, write_one):
    write_one(root, "val", "v0", 1)
    write_one(root, "more", "m0")
    tags = {
        "train": {},
        "weak": {"w0": ["cat"]},
        "val": {"v0": ["cat"]},
        "more": {"m0": ["dog"]},
        "gone": {"g": []},
    }
    write_json(root / "tags.json", tags)
    found_ids = [[record.id for record in one] for one in split_of(root).tagged]
    assert found_ids == [["w0"], ["m0"]]
    assert f"{root}: trained on tags of weak, more" in found()


def test_images_of_the_training_split_without_label_map_have_tags_or_are_left_out(root, found, write_one):
    for index in range(4):
        write_one(root, "train", f"u{index}")
    write_json(root / "tags.json", {"train": {"u1": ["dog"], "gone": []}})
    labelled, tagged, _ = split_of(root, splits=())
    assert len(labelled) == 6
    assert [(record.id, record.tags) for one in tagged for record in one] == [("u1", {"ground": 1, "dog": 1})]
    assert "pets: 3 images have neither tags nor a label map, left out: u0, u2, u3" in found()
    assert "warning: tags.json has tags of an image that is not in images/train: gone" in found()


def test_tags_of_labels_come_from_the_map_where_none_are_given(root, found):
    dataset = open_dataset(root, "train")
    (root / "labels" / "train" / "t3.png").write_bytes(b"broken")
    kept = with_tags_of_labels(dataset, ["ground"])
    assert [record.id for record in kept] == ["t0", "t1", "t2", "t4", "t5"]
    assert [list(record.tags) for record in kept][:2] == [["ground", "cat"], ["ground", "dog"]]
    (message,) = found()
    assert message.startswith("warning: left out, as there are no tags beside it: ")
    assert "t3.png" in message


def test_label_maps_win_against_tags_that_contradict_them(root, found):
    tags = {"t0": ["cat"], "t1": ["cat", "dog"], "t2": [], "t3": ["dog"]}
    write_json(root / "tags.json", {"train": tags, "weak": {"w0": ["cat"]}})
    labelled = split_of(root).labelled
    shown = shown_classes(labelled)
    expected = (
        "warning: 2 labelled images have other tags than classes in the label map, which is used: "
        "t1 (tags: cat, dog; label map: dog), t2 (tags: none; label map: cat)"
    )
    assert expected in found()
    assert contradictions(labelled.subset({"t0", "t3", "t5"}), shown, ["ground"]) == []
    (root / "labels" / "train" / "t1.png").write_bytes(b"broken")
    (message,) = contradictions(labelled, shown_classes(labelled), ["ground"])
    assert "1 labelled image has" in message  # training lists the broken one


def test_data_that_cannot_be_is_refused(root, tmp_path, write_one):
    for index in range(6):
        (root / "labels" / "train" / f"t{index}.png").unlink()
    with pytest.raises(InvalidInput, match="pets: no image of train that is trained on has a label map"):
        split_of(root)
    write_one(tmp_path / "plain", "train", "a", 1)
    data = DataOptions(root=tmp_path / "plain" / "images", labels=tmp_path / "plain" / "labels")
    with pytest.raises(InvalidFile, match="images: it has no splits for `tagged`"):
        split_by_labels(data, splits=("weak",))


def test_a_part_can_be_left_out(root):
    options = DataOptions(root=root, train="train", leave_out=(0, 3))
    assert [record.id for record in split_by_labels(options).labelled] == ["t1", "t2", "t4", "t5"]
