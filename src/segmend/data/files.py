"""Files: the error that names one, finding them by ID, JSON, and writing them whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from segmend.data import remote
from segmend.data.remote import address, is_remote
from segmend.labels import InvalidInput

MAX_PIXELS = 178_956_970
"""Pixels above which an image is refused as a decompression bomb (Pillow's own limit)."""


FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk without space."""

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


class InvalidFile(InvalidInput):
    """A file that cannot be used: the message gives the file, what was expected, found, and what to do.

    Attributes:
        path: the file.
        reason: the message without the file.
    """

    def __init__(self, path: Path | str, message: str) -> None:
        super().__init__(f"{address(Path(path))}: {message}")
        self.path = Path(path)
        self.reason = message

    def __reduce__(self) -> tuple[type[InvalidFile], tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextmanager
def fetched(path: Path | str) -> Iterator[Path]:
    """A file to read: itself, or a temporary copy of one at an address (see `segmend.data.remote`).

    An `InvalidFile` about the copy becomes one about the address.

    Raises:
        InvalidFile: it cannot be fetched.
    """
    path = Path(path)
    if not is_remote(path):
        yield path
        return
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(remote.copy_of(path))
        except FileNotFoundError:
            raise InvalidFile(path, "no such file") from None
        except InvalidInput:
            raise
        except Exception as error:  # each file system has types of its own
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise InvalidFile(path, f"cannot be fetched ({error})") from error
        try:
            yield copy
        except InvalidFile as error:
            if error.path != copy:
                raise
            raise InvalidFile(path, error.reason.replace(str(copy), address(path))) from error.__cause__


def exists(path: Path) -> bool:
    """Whether there is a file, a link that leads nowhere, or a folder."""
    if is_remote(path):
        return remote.exists(path)
    return os.path.lexists(path)


def remove(path: Path) -> None:
    """Remove a file, which may be missing."""
    if is_remote(path):
        with suppress(FileNotFoundError):
            remote.remove(path)
    else:
        path.unlink(missing_ok=True)


def check_file(path: Path) -> None:
    """Raise `InvalidFile` for what is no file with content."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise InvalidFile(path, "a folder or a device, not a file")
    if info.st_size == 0:
        raise InvalidFile(path, "the file is empty (0 bytes): copy or write it anew")


def too_large(path: Path, found: str, max_pixels: int) -> InvalidFile:
    """The error for a file with too many pixels."""
    return InvalidFile(
        path,
        f"expected at most {max_pixels} pixels, found {found}: "
        "raise the limit with --max-pixels if the file is to be trusted",
    )


def check_writable_folder(folder: Path | str, takes_address: bool = False) -> None:
    """Raise `InvalidFile` unless files can be written into `folder`, or it can be made. Nothing is left behind.

    Args:
        takes_address: whether whoever writes takes addresses (see `segmend.data.remote`).
    """
    folder = Path(folder)
    if is_remote(folder):
        if not takes_address:
            raise InvalidFile(folder, "an address, expected a folder of this machine: write there, and copy it")
        return _check_writable_address(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise InvalidFile(folder, "a file, expected a folder")
        there = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
        if not there.is_dir():
            raise InvalidFile(there, "a file, expected a folder")
        with tempfile.TemporaryDirectory(dir=there, prefix=".segmend-"):
            pass
    except OSError as error:
        raise InvalidFile(folder, f"a folder that cannot be written ({error.strerror}): choose another") from None


def _check_writable_address(folder: Path) -> None:
    probe = folder / f".segmend-{uuid.uuid4().hex}"
    try:
        remote.put(probe, b"")
        remote.remove(probe)
    except InvalidInput:
        raise
    except Exception as error:  # each file system has types of its own
        raise InvalidFile(folder, f"an address that cannot be written ({error}): choose another") from error


def check_writable_file(path: Path | str) -> None:
    """Raise `InvalidFile` unless a file can be written at `path`. Nothing is left behind."""
    path = Path(path)
    if path.is_dir():
        raise InvalidFile(path, "a folder, expected a file")
    check_writable_folder(path.parent)


def read_json(path: Path | str) -> Any:
    """What a JSON file holds.

    Raises:
        InvalidFile: it is not there, or is not JSON.
    """
    try:
        with fetched(path) as file:
            return json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InvalidFile(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"not readable as JSON ({error})") from None


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    atomic_write(path, text.encode(errors="backslashreplace"))  # file names need not be valid Unicode


def atomic_write(path: Path | str, content: bytes | memoryview) -> None:
    """Write a file under a temporary name in its folder, then rename it: a file that exists is whole.

    At an address it is put whole (see `segmend.data.remote`).
    """
    path = Path(path)
    if is_remote(path):
        try:
            remote.put(path, bytes(content))
        except InvalidInput:
            raise
        except Exception as error:  # each file system has types of its own
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise InvalidFile(path, f"cannot be written ({error})") from error
        return
    with _temporary(path) as file:
        file.write(content)


def atomic_copy(source: Path | str, path: Path | str) -> None:
    """Copy a file byte by byte, under a temporary name until it is whole."""
    with fetched(source) as here, here.open("rb") as original, _temporary(Path(path)) as file:
        shutil.copyfileobj(original, file)


@contextmanager
def _temporary(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:12]}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def find_files(folder: Path | str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files below `folder` by ID: the path inside it without the suffix (``sequence/frame``), sorted.

    Hidden files and folders are skipped; links to folders are followed. IDs are in Unicode's form NFC, so that
    names written by different systems compare alike.

    Raises:
        InvalidFile: no such folder, a folder that cannot be read, or two files with the same ID.
    """
    folder = Path(folder)
    _check_folder(folder)
    found: dict[str, Path] = {}
    for path in sorted(p for p in _walk(folder) if p.suffix.lower() in suffixes):
        identity = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if identity in found:
            raise InvalidFile(path, f"the same ID as {found[identity].name}: keep one of the two")
        found[identity] = path
    return found


def check_claim(folder: Path, marker: str, content: dict[str, Any]) -> None:
    """Raise `InvalidFile` unless a folder is new, empty, or marked as this program's output with the same content.

    Args:
        marker: name of the JSON file that marks it.
        content: what that file says the folder holds.
    """
    path = folder / marker
    if path.is_file():
        if read_json(path) == content:
            return
        raise InvalidFile(
            folder, f"holds the output of another run ({marker}): choose another folder, or delete it"
        )
    if folder.is_dir() and next(_walk(folder), None) is not None:
        raise InvalidFile(folder, "holds files that this program did not write: choose a new or an empty folder")


def kinds_in(folder: Path | str) -> dict[str, int]:
    """How many files of each suffix (in lower case, with its dot) lie below a folder, the most frequent first."""
    return dict(Counter(path.suffix.lower() for path in _walk(Path(folder))).most_common())


def found_instead(folder: Path | str) -> str:
    """What lies below a folder, in words, for messages: ``3 .jpg and 1 .txt files``."""
    kinds = [f"{count} {suffix or 'without suffix'}" for suffix, count in kinds_in(folder).items()][:4]
    if not kinds:
        return "no files"
    return f"{' and '.join(filter(None, (', '.join(kinds[:-1]), kinds[-1])))} files"


def _check_folder(folder: Path) -> None:
    if remote.is_folder(folder) if is_remote(folder) else folder.is_dir():
        return
    if not exists(folder):
        raise InvalidFile(folder, "no such folder")
    if folder.suffix.lower() in ARCHIVES:
        raise InvalidFile(folder, "an archive, expected a folder: unpack it first")
    raise InvalidFile(folder, f"a file, expected a folder: give the folder that holds it ({folder.parent})")


def _walk(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    if is_remote(folder):
        yield from remote.walk(folder)
        return
    info = folder.stat()
    place = (info.st_dev, info.st_ino)
    if place in above:  # a link back to where we came from
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InvalidFile(folder, f"a folder that cannot be read ({error.strerror})") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if path.is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _walk(path, (*above, place))
        else:
            yield path
