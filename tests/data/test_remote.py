"""Files at addresses: listed, read and written as local ones are, copied no more often than needed, put whole."""

import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from segmend.data import remote
from segmend.data.dataset import open_dataset
from segmend.data.files import (
    InvalidFile,
    atomic_copy,
    atomic_write,
    check_writable_file,
    check_writable_folder,
    exists,
    fetched,
    find_files,
    read_json,
    remove,
    write_json,
)
from segmend.data.images import IMAGE_SUFFIXES, read_image, write_image
from segmend.data.masks import note_in, read_labels, write_labels
from segmend.data.probabilities import note_in_arrays, read_probabilities, write_probabilities
from segmend.data.remote import address, is_remote, keep_copies
from segmend.invalid import InvalidInput


@pytest.fixture
def bucket(tmp_path):
    """A folder of this machine under a protocol of its own; its file system counts what is fetched."""
    store = tmp_path / "store"
    store.mkdir()
    gets = []

    class Bucket(LocalFileSystem):
        protocol = "bucket"
        cachable = False

        @classmethod
        def _strip_protocol(cls, path):
            text = str(path)
            return str(store / text.removeprefix("bucket://")) if text.startswith("bucket://") else text

        def get_file(self, path, local, **options):
            gets.append(path)
            super().get_file(path, local, **options)

    fsspec.register_implementation("bucket", Bucket, clobber=True)
    return gets


ROOT = Path("bucket://photos")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a.png", "s3://bucket/a.png"),
        ("s3://bucket", "s3://bucket"),
        ("file:///data/a.png", "file:///data/a.png"),
        ("images/a.png", None),
        ("/data/s3:/a.png", None),
        ("C:/a.png", None),
        ("odd: name.png", None),
    ],
)
def test_which_paths_are_addresses(text, shown):
    assert is_remote(Path(text)) == (shown is not None)
    assert address(Path(text)) == (shown or text)
    assert address(Path(str(Path(text)))) == (shown or text)


def test_what_was_written_is_read_again(bucket):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    labels, map_ = np.arange(48, dtype=np.uint8).reshape(6, 8), np.full((2, 6, 8), 0.5, np.float32)
    write_image(ROOT / "in" / "a.png", image)
    write_labels(ROOT / "a.png", labels, note="made so")
    write_probabilities(ROOT / "a.npz", map_, note="made so too")
    write_json(ROOT / "a.json", {"a": 1})
    assert np.array_equal(read_image(ROOT / "in" / "a.png"), image)
    assert np.array_equal(read_labels(ROOT / "a.png")[0], labels)
    assert np.array_equal(read_probabilities(ROOT / "a.npz"), map_)
    assert (note_in(ROOT / "a.png"), note_in_arrays(ROOT / "a.npz")) == ("made so", "made so too")
    assert read_json(ROOT / "a.json") == {"a": 1}


def test_folders_are_listed_as_local_ones_are(bucket, tmp_path):
    names = ("a.png", "in/b.jpg", "in/deep/c.png", ".hidden.png", ".trash/d.png", "e.txt")
    for root in (ROOT, tmp_path / "local"):
        for name in names:
            atomic_write(root / name, b"content")
    local = find_files(tmp_path / "local", IMAGE_SUFFIXES)
    assert list(find_files(ROOT, IMAGE_SUFFIXES)) == list(local) == ["a", "in/b", "in/deep/c"]
    assert {path.relative_to(ROOT) for path in find_files(ROOT, IMAGE_SUFFIXES).values()} == {
        path.relative_to(tmp_path / "local") for path in local.values()
    }
    assert remote.walk(ROOT / "in", depth=1) == [ROOT / "in" / "b.jpg"]
    with pytest.raises(InvalidFile, match="bucket://photos/nowhere: no such folder"):
        find_files(ROOT / "nowhere", IMAGE_SUFFIXES)


def test_errors_name_the_address(bucket):
    write_image(ROOT / "a.png", np.zeros((40, 50, 3), np.uint8))
    with fetched(ROOT / "a.png") as file:
        content = file.read_bytes()
    atomic_write(ROOT / "short.png", content[:60])
    atomic_write(ROOT / "empty.png", b"")
    for name, words in (("short", "broken or cut short"), ("empty", "0 bytes"), ("missing", "no such file")):
        for read in (read_image, read_labels):
            with pytest.raises(InvalidFile, match=f"^bucket://photos/{name}.png: .*{words}") as error:
                read(ROOT / f"{name}.png")
            assert tempfile.gettempdir() not in str(error.value)
    with pytest.raises(InvalidInput, match=r"nonsense://a/b.png: cannot be opened"):
        read_image("nonsense://a/b.png")


def test_copies_are_removed_and_a_file_is_fetched_once_where_they_are_kept(bucket, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    write_image(ROOT / "a.png", np.zeros((4, 5, 3), np.uint8))
    write_image(ROOT / "masks" / "a.png", np.ones((4, 5, 3), np.uint8))
    read_image(ROOT / "a.png")
    read_image(ROOT / "a.png")
    assert len(bucket) == 2
    assert not list((tmp_path / "temporary").iterdir())
    bucket.clear()
    with keep_copies():
        for _ in range(3):
            assert read_image(ROOT / "a.png").max() == 0
            assert read_image(ROOT / "masks" / "a.png").max() == 1
        assert len(bucket) == 2
        assert len(list((tmp_path / "temporary").iterdir())) == 2
    assert not list((tmp_path / "temporary").iterdir())


def test_a_file_is_there_whole_or_not_at_all(bucket, tmp_path, monkeypatch):
    atomic_write(ROOT / "a.txt", b"before")

    def fail(self, one, two, **options):
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "mv", fail)
        with pytest.raises(InvalidFile, match=r"bucket://photos/a\.txt: cannot be written \(gone\)"):
            atomic_write(ROOT / "a.txt", b"after")
    assert (tmp_path / "store" / "photos" / "a.txt").read_bytes() == b"before"
    assert [path.name for path in (tmp_path / "store" / "photos").iterdir()] == ["a.txt"]
    atomic_write(ROOT / "a.txt", b"after")
    assert (tmp_path / "store" / "photos" / "a.txt").read_bytes() == b"after"


def test_files_are_found_copied_and_removed(bucket, tmp_path):
    atomic_write(ROOT / "in" / "a.txt", b"content")
    assert exists(ROOT / "in")
    assert exists(ROOT / "in" / "a.txt")
    atomic_copy(ROOT / "in" / "a.txt", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"content"
    remove(ROOT / "in" / "a.txt")
    remove(ROOT / "in" / "a.txt")
    assert not exists(ROOT / "in" / "a.txt")


def test_only_who_takes_addresses_writes_to_them(bucket, tmp_path):
    check_writable_folder(ROOT / "out", takes_address=True)
    assert not list((tmp_path / "store" / "photos" / "out").iterdir())
    for check in (check_writable_folder, check_writable_file):
        with pytest.raises(InvalidFile, match="an address, expected a folder of this machine"):
            check(ROOT / "out")
    (tmp_path / "store" / "file").touch()
    with pytest.raises(InvalidFile, match="an address that cannot be written"):
        check_writable_folder(Path("bucket://file/out"), takes_address=True)


def test_a_data_set_is_opened_at_an_address(bucket, tmp_path):
    for root in (ROOT, tmp_path / "local"):
        write_image(root / "b.png", np.full((4, 5, 3), 7, np.uint8))
        write_image(root / "in" / "a.png", np.zeros((4, 5, 3), np.uint8))
    there, here = open_dataset(ROOT), open_dataset(tmp_path / "local")
    assert [record.id for record in there] == [record.id for record in here] == ["b", "in/a"]
    for one, other in zip(there, here, strict=True):
        assert np.array_equal(there.image(one), here.image(other))
