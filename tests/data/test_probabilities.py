"""Probability maps come back within their precision, or are refused with a reason."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segmend.data.files import InvalidFile
from segmend.data.probabilities import read_probabilities, write_probabilities
from segmend.labels import InvalidInput, one_hot

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@few
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 9), *[st.integers(1, 6)] * 2), elements=st.floats(0, 1, width=32)
    ),
    st.booleans(),
)
def test_probabilities_come_back_within_their_precision(tmp_path: Path, raw: np.ndarray, quantised: bool) -> None:
    probabilities = (raw + 1e-3) / (raw + 1e-3).sum(axis=0)

    write_probabilities(tmp_path / "a.npz", probabilities, quantised)
    read = read_probabilities(tmp_path / "a.npz")

    assert read.dtype == np.float32
    np.testing.assert_allclose(read.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(read, probabilities, atol=0.02 if quantised else 1e-3)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["p"].dtype == (np.uint8 if quantised else np.float16)


def test_quantising_does_not_wrap_and_needs_few_classes(tmp_path: Path) -> None:
    almost = np.array([[[1.004]], [[-0.004]]], np.float32)  # what rounding leaves of 1 and 0
    write_probabilities(tmp_path / "a.npz", almost, quantised=True)
    np.testing.assert_array_equal(read_probabilities(tmp_path / "a.npz"), [[[1]], [[0]]])
    with pytest.raises(InvalidInput, match="too few for 600 classes"):
        write_probabilities(tmp_path / "b.npz", np.full((600, 1, 1), 1 / 600), quantised=True)


def test_uniform_half_floats_of_many_classes_sum_to_one(tmp_path: Path) -> None:
    void = one_hot(torch.full((3, 4), 65535, dtype=torch.int32), 300).numpy()
    write_probabilities(tmp_path / "a.npz", void)
    np.testing.assert_allclose(read_probabilities(tmp_path / "a.npz").sum(axis=0), 1, atol=1e-6)


BAD_MAPS = {
    "sum": ({"p": np.full((2, 3, 3), 0.4, np.float16)}, "sum to 1 within 0.004"),
    "sum of floats": ({"p": np.full((2, 3, 3), 0.499, np.float32)}, "sum to 1 within 0.001"),
    "nan": ({"p": np.full((2, 3, 3), np.nan, np.float16)}, "NaN or infinite"),
    "logits": ({"p": np.stack([np.full((3, 3), 4.0), np.full((3, 3), -3.0)])}, "at least 0, found -3"),
    "black": ({"p": np.zeros((2, 3, 3), np.uint8)}, "sum to 1"),
    "other key": ({"probs": np.zeros((2, 3, 3))}, r"under the key 'p', found \['probs'\]"),
    "labels": ({"p": np.zeros((3, 3), np.uint8)}, r"expected \[C, H, W\] .* found uint8 \[3, 3\]"),
    "a number": ({"p": np.array(1.0)}, r"found float64 \[\]"),
    "integers": ({"p": np.zeros((2, 3, 3), np.int64)}, "found int64"),
    "objects": ({"p": np.array([None, "x"], object)}, "allow_pickle=False"),
    "nothing": ({"p": np.zeros((0, 3, 3), np.float32)}, r"found shape \(0, 3, 3\)"),
}


@pytest.mark.parametrize("kind", BAD_MAPS)
def test_what_is_no_probability_map(tmp_path: Path, kind: str) -> None:
    held, message = BAD_MAPS[kind]
    np.savez(tmp_path / "a.npz", **held)
    with pytest.raises(InvalidFile, match=rf"a\.npz: .*{message}"):
        read_probabilities(tmp_path / "a.npz")


class Attack:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    attack = np.array([Attack(tmp_path / "harm")], object)
    np.savez(tmp_path / "a.npz", p=attack)
    np.save(tmp_path / "b.npy", attack, allow_pickle=True)
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(attack.dumps())

    for name in "abc":
        with pytest.raises(InvalidFile, match="pickle"):
            read_probabilities(tmp_path / f"{name}.npz")
    assert not (tmp_path / "harm").exists()


def test_broken_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_probabilities(path, np.full((2, 30, 30), 0.5))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InvalidFile, match=r"not a readable \.npz file"):
        read_probabilities(path)
    path.write_bytes(whole[:500] + b"x" + whole[501:])
    with pytest.raises(InvalidFile, match="CRC"):
        read_probabilities(path)
    path.write_bytes(b"")
    with pytest.raises(InvalidFile, match="empty"):
        read_probabilities(path)
    np.save(tmp_path / "b.npy", np.zeros((2, 3, 3)))
    (tmp_path / "b.npy").rename(path)
    with pytest.raises(InvalidFile, match="found a lone array"):
        read_probabilities(path)


def test_large_arrays_are_refused_by_their_header(tmp_path: Path) -> None:
    """A small file may claim, and deflate, any size: 9 TB here."""
    header = io.BytesIO()
    claim = {"descr": "<f2", "fortran_order": False, "shape": (50, 300_000, 300_000)}
    np.lib.format.write_array_header_1_0(header, claim)  # type: ignore[arg-type]
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("p.npy", header.getvalue())

    with pytest.raises(InvalidFile, match=r"found an array of shape \[50, 300000, 300000\].*--max-pixels"):
        read_probabilities(tmp_path / "a.npz")
    write_probabilities(tmp_path / "b.npz", np.ones((1, 5, 5)))
    with pytest.raises(InvalidFile, match="at most 24 pixels"):
        read_probabilities(tmp_path / "b.npz", max_pixels=24)


def test_missing_folder_or_pipe_instead_of_an_archive(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no such file"):
        read_probabilities(tmp_path / "none.npz")
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "pipe.npz")  # to open it would wait for ever
    for name in ("folder.npz", "pipe.npz"):
        with pytest.raises(InvalidFile, match="a folder or a device, not a file"):
            read_probabilities(tmp_path / name)


def test_archives_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_probabilities(path, np.full((2, 3, 3), 0.5))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(np, "load", refuse)  # root may read all: let the system say no
    with pytest.raises(InvalidFile, match="not readable: check its permissions"):
        read_probabilities(path)
