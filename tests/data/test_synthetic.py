from pathlib import Path

import numpy as np
import pytest

from segmend.data.dataset import open_dataset, pair_labels
from segmend.data.synthetic import CLASSES, generate_dataset, generate_image, majority
from segmend.labels import InvalidInput

Images = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def sample() -> Images:
    return [generate_image(np.random.default_rng(seed)) for seed in range(40)]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.*"))}


def test_the_same_seed_gives_the_same_files_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate_dataset(tmp_path / name, train=2, val=1, seed=seed, height=48, width=64)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert len(a) == 2 * 3 + 1
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a)


def test_an_image_depends_neither_on_how_many_there_are_nor_on_the_other_split(tmp_path: Path) -> None:
    generate_dataset(tmp_path / "few", train=1, val=1, height=48, width=64)
    generate_dataset(tmp_path / "many", train=3, val=2, height=48, width=64)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    assert few.items() <= many.items()
    assert few["images/train/00000.jpg"] != few["images/val/00000.jpg"]


def test_a_generated_data_set_opens_with_its_classes_and_exact_labels(tmp_path: Path) -> None:
    generate_dataset(tmp_path, train=2, val=1, height=50, width=70)
    for split, count in (("train", 2), ("val", 1)):
        dataset = open_dataset(tmp_path, split)
        assert dataset.name == "synthetic"
        assert dataset.classes == CLASSES
        assert len(dataset) == count
        for record in dataset:
            image, labels = pair_labels(dataset, record)
            assert image.shape == (50, 70, 3)
            assert labels.max() < len(CLASSES)


def test_every_class_is_in_many_images_and_none_covers_them_all(sample: Images) -> None:
    counts = np.array([np.bincount(labels.ravel(), minlength=len(CLASSES)) for _, labels in sample])
    assert counts.shape == (len(sample), len(CLASSES))
    assert (counts > 0).mean(axis=0).min() >= 0.15
    assert counts.sum(axis=0).max() < 0.45 * counts.sum()


def test_borders_of_labels_are_borders_of_the_image(sample: Images) -> None:
    at_borders, elsewhere = [], []
    for image, labels in sample:
        step = np.abs(np.diff(image.astype(float), axis=1)).mean(axis=2)
        border = labels[:, 1:] != labels[:, :-1]
        near = border | np.roll(border, 2, axis=1) | np.roll(border, -2, axis=1)
        at_borders.append(step[border].mean())
        elsewhere.append(step[~near].mean())
    assert np.mean(at_borders) > 2.5 * np.mean(elsewhere)
    assert (np.array(at_borders) > np.array(elsewhere)).mean() > 0.95


@pytest.mark.parametrize("shift", [(0, 2), (2, 0), (-2, -2)])
def test_labels_fit_the_image_better_than_shifted_labels(sample: Images, shift: tuple[int, int]) -> None:
    def spread(image: np.ndarray, labels: np.ndarray) -> float:
        """Mean difference of neighbours along x that share a label."""
        step = np.abs(np.diff(image.astype(float), axis=1)).mean(axis=2)
        return float(step[labels[:, 1:] == labels[:, :-1]].mean())

    better = [spread(i, y) < spread(i, np.roll(y, shift, axis=(0, 1))) for i, y in sample]
    assert np.mean(better) > 0.95


@pytest.mark.parametrize(("height", "width"), [(97, 131), (131, 33), (17, 64), (8, 8)])
def test_odd_and_small_sizes_are_filled(height: int, width: int) -> None:
    for seed in range(8):
        image, labels = generate_image(np.random.default_rng(seed), height, width)
        assert image.shape == (height, width, 3)
        assert image.dtype == np.uint8
        assert labels.shape == (height, width)
        assert labels.dtype == np.uint8
        assert labels.max() < len(CLASSES)


def test_an_image_too_small_is_refused() -> None:
    with pytest.raises(InvalidInput, match="8 x 8"):
        generate_image(np.random.default_rng(0), 7, 64)


def test_majority_is_the_most_frequent_of_four_and_the_first_of_a_tie() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (40, 60), dtype=np.uint8)
    found = majority(labels)
    for y in range(20):
        for x in range(30):
            four = labels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel().tolist()
            assert found[y, x] == max(four, key=four.count)
