"""Files at addresses of fsspec (``s3://bucket/images``, ``gs://``, ``sftp://``): the only place that knows of it.

An address is a path whose first part names a protocol. Path("s3://bucket/a.png") is such a path, although pathlib
shortens it to s3:/bucket/a.png; `address` gives back the whole. So an address needs a host or a bucket, but for
``file:``. `segmend.data.files` reads and writes both kinds of files, and names errors.

A file is copied to a temporary folder for as long as it is read, and put whole.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from segmend.invalid import InvalidInput

PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]+:(/|$)")


def is_remote(path: Path) -> bool:
    """Whether a path is an address.

    Example:
        >>> is_remote(Path("s3://bucket/a.png")), is_remote(Path("images/a.png")), is_remote(Path("C:/a.png"))
        (True, False, False)
    """
    return PROTOCOL.match(str(path)) is not None


def address(path: Path) -> str:
    """A path as it is written: an address with both of its slashes.

    Example:
        >>> address(Path("s3://bucket/a.png")), address(Path("file:///data/a.png")), address(Path("data/a.png"))
        ('s3://bucket/a.png', 'file:///data/a.png', 'data/a.png')
    """
    if not is_remote(path):
        return str(path)
    protocol, _, rest = str(path).partition(":")
    return f"{protocol}://{rest if protocol in ('file', 'local') else rest.lstrip('/')}"


def _opened(path: Path) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    import fsspec

    try:
        files, inside = fsspec.core.url_to_fs(address(path))
    except (ImportError, ValueError) as error:  # an unknown protocol, or one whose package is missing
        raise InvalidInput(f"{address(path)}: cannot be opened ({error})") from None
    return files, str(inside)


@contextmanager
def _asked(path: Path) -> Iterator[tuple[Any, str]]:
    """The same, to ask for what is there now; every way to fail becomes `InvalidInput`."""
    files, inside = _opened(path)
    try:
        files.invalidate_cache()
        yield files, inside
    except Exception as error:  # each file system has types of its own
        raise InvalidInput(f"{address(path)}: cannot be read ({error})") from error


def exists(path: Path) -> bool:
    """Whether there is a file or a folder at an address."""
    with _asked(path) as (files, inside):
        return bool(files.exists(inside))


def is_folder(path: Path) -> bool:
    """Whether there is a folder at an address, or files below it."""
    with _asked(path) as (files, inside):
        return bool(files.isdir(inside))


def walk(folder: Path, depth: int | None = None) -> list[Path]:
    """All files below a folder, but hidden ones.

    Args:
        depth: 1 for those in the folder itself (None: at any depth).
    """
    with _asked(folder) as (files, inside):
        names = files.find(inside, maxdepth=depth)
    parts = [name.removeprefix(inside.rstrip("/")).lstrip("/") for name in names]
    return [folder / part for part in parts if not any(one.startswith(".") for one in part.split("/"))]


def put(path: Path, content: bytes) -> None:
    """Write a file that is whole as soon as it is there.

    Object stores put objects whole. Elsewhere it has a temporary name until then.
    """
    files, inside = _opened(path)
    if files.async_impl:  # object stores
        files.pipe_file(inside, content)
        return
    folder, _, name = inside.rpartition("/")
    part = f"{folder}/.{name[:40]}.{uuid.uuid4().hex[:12]}.part"
    files.makedirs(folder, exist_ok=True)
    try:
        files.pipe_file(part, content)
        files.mv(part, inside)
    except BaseException:
        with suppress(Exception):
            files.rm_file(part)
        raise


def remove(path: Path) -> None:
    """Remove a file."""
    files, inside = _opened(path)
    files.rm_file(inside)


class _Kept(threading.local):
    """The copies that this thread keeps, by address (None: it keeps none), and the folders that hold them."""

    copies: dict[Path, Path] | None = None
    folders: ExitStack


_kept = _Kept()


@contextmanager
def keep_copies() -> Iterator[None]:
    """Within the block, this thread fetches each file once; at its end, the copies are removed."""
    before = _kept.copies
    with ExitStack() as folders:
        _kept.copies, _kept.folders = {}, folders
        try:
            yield
        finally:
            _kept.copies = before


@contextmanager
def copy_of(path: Path) -> Iterator[Path]:
    """A local copy of the same name for as long as the block runs, or `keep_copies`.

    Raises:
        FileNotFoundError: no such file.
        Exception: whatever the file system raises.
    """
    kept = _kept.copies
    if kept is None:
        with TemporaryDirectory(prefix="segmend-") as folder:
            yield _fetch(path, folder)
        return
    if path not in kept:
        folder = _kept.folders.enter_context(TemporaryDirectory(prefix="segmend-"))
        kept[path] = _fetch(path, folder)
    yield kept[path]


def _fetch(path: Path, folder: str) -> Path:
    files, inside = _opened(path)
    copy = Path(folder) / path.name
    files.get_file(inside, str(copy))
    return copy
