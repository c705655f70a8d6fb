"""Files are found by ID, and written whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segmend.data.files import InvalidFile, atomic_copy, atomic_write, find_files, read_json, write_json
from segmend.data.images import IMAGE_SUFFIXES, read_image, write_image
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_arrays

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)

# ---- writing ----

WRITERS: dict[str, Callable[[Path], None]] = {
    "a.png": lambda p: write_labels(p, RGB[..., 0]),
    "a.jpg": lambda p: write_image(p, RGB),
    "a.npz": lambda p: write_arrays(p, x=RGB),
    "a.json": lambda p: write_json(p, {"a": 1}),
    "a.bin": lambda p: atomic_write(p, b"content"),
    "copy": lambda p: atomic_copy(__file__, p),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writers_make_folders_and_follow_the_umask(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ä b" / "c" / name
    old = os.umask(0o027)
    try:
        WRITERS[name](path)
    finally:
        os.umask(old)

    assert [p.name for p in path.parent.iterdir()] == [name]
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_full_disk_and_interruption_leave_the_old_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, existed: bool, error: BaseException
) -> None:
    path = tmp_path / name
    if existed:
        path.write_bytes(b"old")
    usual = Path.open

    class Full(io.FileIO):
        def write(self, content: object) -> int:
            super().write(bytes(content)[:3])  # type: ignore[call-overload]
            raise error

    def open_(self: Path, mode: str) -> object:
        return Full(self, "x") if mode == "xb" else usual(self, mode)

    monkeypatch.setattr(Path, "open", open_)

    with pytest.raises(type(error)):
        WRITERS[name](path)

    assert [p.name for p in tmp_path.iterdir()] == ([name] if existed else [])
    if existed:
        assert path.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_when_the_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is buffered fails late: the final name must not exist even then."""
    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: usual(Path("/dev/full"), "wb"))
    with pytest.raises(OSError, match="No space left"):
        atomic_write(tmp_path / "a", b"content")
    assert list(tmp_path.iterdir()) == []


def test_long_and_odd_names(tmp_path: Path) -> None:
    for name in (
        "長" * 83 + ".png",
        "a" * 251 + ".png",
        " leading and trailing ",
        "quote'\"; rm",
        os.fsdecode(b"\xff.png"),
    ):
        atomic_write(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    write_json(tmp_path / "names.json", [os.fsdecode(b"\xff.png"), "é"])
    assert json.loads((tmp_path / "names.json").read_text(encoding="utf-8")) == [os.fsdecode(b"\xff.png"), "é"]
    assert read_json(tmp_path / "names.json") == [os.fsdecode(b"\xff.png"), "é"]


def test_json_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    for content in (b"{", b"\xff"):
        (tmp_path / "broken.json").write_bytes(content)
        with pytest.raises(InvalidFile, match=r"broken\.json: not readable as JSON"):
            read_json(tmp_path / "broken.json")
    with pytest.raises(InvalidFile, match="not readable as JSON"):
        read_json(tmp_path)


# ---- finding ----


def test_ids_are_paths_without_the_suffix(tmp_path: Path) -> None:
    names = ["b.png", "sequence 1/frame.0002.PNG", "sequence 1/frame.0001.png", "ünï/é à.jpeg", "folder.png/x.png"]
    ignored = [".hidden.png", ".cache/x.png", "notes.txt", "__MACOSX/._b.png"]
    for name in names + ignored:
        atomic_write(tmp_path / name, b"x")

    found = find_files(tmp_path, IMAGE_SUFFIXES)

    assert list(found) == ["b", "folder.png/x", "sequence 1/frame.0001", "sequence 1/frame.0002", "ünï/é à"]
    assert found["sequence 1/frame.0002"] == tmp_path / "sequence 1" / "frame.0002.PNG"
    assert find_files(str(tmp_path), (".npz",)) == {}


def test_the_same_id_twice(tmp_path: Path) -> None:
    atomic_write(tmp_path / "s" / "a.jpg", b"x")
    atomic_write(tmp_path / "s" / "a.png", b"x")
    with pytest.raises(InvalidFile, match=r"a\.png: the same ID as a\.jpg: keep one"):
        find_files(tmp_path, IMAGE_SUFFIXES)
    assert list(find_files(tmp_path, (".png",))) == ["s/a"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    atomic_write(tmp_path / "data" / "real" / "a.png", b"x")
    (tmp_path / "data" / "other").symlink_to(tmp_path / "data" / "real")
    (tmp_path / "data" / "real" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "self").symlink_to(tmp_path / "data" / "self")
    (tmp_path / "data" / "gone.png").symlink_to(tmp_path / "nowhere.png")

    found = find_files(tmp_path / "data", IMAGE_SUFFIXES)

    assert list(found) == ["gone", "other/a", "real/a"]
    with pytest.raises(InvalidFile, match="no such file"):  # listed, so that somebody learns of it
        read_image(found["gone"])


def test_folders_that_cannot_be_read_are_not_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidFile, match="no such folder"):
        find_files(tmp_path / "none", IMAGE_SUFFIXES)
    atomic_write(tmp_path / "a.png", b"x")
    with pytest.raises(InvalidFile, match="a file, expected a folder"):
        find_files(tmp_path / "a.png", IMAGE_SUFFIXES)
    atomic_write(tmp_path / "closed" / "b.png", b"x")
    scan = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read all
    with pytest.raises(InvalidFile, match=r"closed: a folder that cannot be read \(Permission denied\)"):
        find_files(tmp_path, IMAGE_SUFFIXES)
