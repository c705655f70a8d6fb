"""The frames of a video file, decoded as they are read, in any order and in bounded memory.

A frame is identified by its time stamp. The packets of a file are read once, without decoding them, for their time
stamps, so a frame that cannot be decoded does not change the numbers of the others.
"""

from __future__ import annotations

import itertools
import struct
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmend.data.files import MAX_PIXELS, InvalidFile, check_file, too_large
from segmend.invalid import InvalidInput
from segmend.pixels import turned

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts"),
    *(".ogv", ".wmv", ".flv", ".3gp", ".gif"),
)

CACHED = 16
"""Decoded frames that are kept, so that reading backwards does not decode each frame's predecessors anew."""

PROBED = 16
"""Frames that are decoded when a file is opened, to see whether time stamps are those of the frames."""

FAILURES = 8
"""Failures to read a packet, one after another, at which the rest of a file is given up."""

CONVERT = "convert it (for example: ffmpeg -i {name} {stem}_new.mp4)"

ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF orientations by a display matrix ``(a, b, c, d)``: a pixel at (x, y) is shown at (ax + cy, bx + dy)."""


class VideoFile:
    """The frames of a video file, numbered from 0 in the order in which they are shown.

    At most `CACHED` decoded frames are kept. The file is opened by the first `read` and stays open until `close`;
    reading after that opens it again. An object belongs to one thread.

    Attributes:
        path: the file.
        orientation: how frames are turned to stand upright, as EXIF counts it (1 to 8).
        findings: what was found and assumed, in sentences.
    """

    def __init__(self, path: Path | str, max_pixels: int = MAX_PIXELS) -> None:
        """Read the time stamps of all frames.

        Args:
            max_pixels: a video with larger frames is refused.

        Raises:
            InvalidFile: no video, one that is cut short, or one of which no frame can be decoded.
            InvalidInput: the package `av` is missing.
        """
        self.path = Path(path)
        self.orientation = 1
        self._max_pixels = max_pixels
        self._container: InputContainer | None = None
        self._decoder: Iterator[VideoFrame] | None = None
        self._at = -1  # the frame that the decoder gave last
        self._trusted: int | None = None  # the time from which on it gives whole frames
        self._cached: dict[int, VideoFrame] = {}
        self._lost: set[int] = set()
        self._is_counted = False  # frames have no usable time stamps: they are counted from the start
        self._times = self._keys = self._key_sizes = np.zeros(0, np.int64)
        try:
            self.findings = tuple(f"{self.path}: {finding}" for finding in self._look())
        finally:
            self.close()

    def __len__(self) -> int:
        return len(self._times)

    def read(self, index: int) -> np.ndarray:
        """Frame `index`, ``uint8 [H, W, 3]``, upright. Interlacing and the shape of pixels are left as they are.

        Frames that are predicted from one that is lost, up to the next key frame, come with the decoder's repairs.

        Raises:
            InvalidFile: the frame cannot be decoded. Others can still be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: expected a frame 0..{len(self) - 1}, found {index}")
        frame = self._cached.get(index) or self._find(index)
        if frame is None:
            raise InvalidFile(self.path, f"frame {index} cannot be decoded: copy the file anew, or leave it out")
        return turned(frame.to_ndarray(format="rgb24"), self.orientation, axes=(0, 1))

    def file(self, index: int) -> Path | None:
        """None: a frame of a video has no file of its own."""
        return None

    def origin(self, index: int) -> Path:
        """The video file."""
        return self.path

    def close(self) -> None:
        """Close the file, and forget the decoded frames."""
        self._decoder = None
        self._cached.clear()
        if self._container is not None:
            self._container.close()
            self._container = None

    # ---- opening ----

    def _look(self) -> Iterator[str]:
        """Read time stamps, orientation and size; yields what is to be said."""
        stream = self._opened()
        self._scan(stream)
        if not self._probe():
            self._count()
            yield "its time stamps do not order its frames: they are counted, and reading backwards is slow"
        elif len(self) > 2:
            steps = np.diff(self._times)
            usual = float(np.median(steps))
            if steps.max() > 1.5 * usual or steps.min() < 0.5 * usual:
                yield "variable frame rate: frames are counted, not seconds"
        if self.orientation != 1:
            yield "frames are turned by the rotation that the file states"

    def _opened(self) -> VideoStream:
        """Open the file anew, at its start."""
        self.close()
        self._container = _open(self.path)
        return _video_stream(self._container, self.path, self._max_pixels)

    def _scan(self, stream: VideoStream) -> None:
        """The time stamps of all frames and of the key frames."""
        assert self._container is not None
        times, keys, sizes = array("q"), array("q"), array("q")
        packets, untimed, is_cut = 0, 0, False
        for packet in _packets(self._container, stream):
            if packet.size == 0:
                continue
            packets += 1
            is_cut = packet.is_corrupt
            if packet.pts is None:
                untimed += 1
                continue
            if packet.is_keyframe:
                keys.append(packet.pts)
                sizes.append(packet.size)
            if not packet.is_discard and _is_shown(packet, stream):
                times.append(packet.pts)
        if packets == 0:
            raise InvalidFile(self.path, "a video without a frame: copy it anew")
        if stream.frames > packets - is_cut and (is_cut or _bytes_missing(self.path)):
            raise InvalidFile(
                self.path, f"cut short: {packets - is_cut} of {stream.frames} frames are there: copy it anew"
            )
        self._times = np.unique(np.array(times, np.int64))
        self._keys, first = np.unique(np.array(keys, np.int64), return_index=True)
        self._key_sizes = np.array(sizes, np.int64)[first]
        self._is_counted = untimed > 0 or len(self._times) < len(times)

    def _probe(self) -> bool:
        """Whether the first frames come in the order of their time stamps. Finds the orientation."""
        self._start(None, 0)
        assert self._decoder is not None
        frames = list(itertools.islice(self._decoder, PROBED))
        if not frames:
            raise InvalidFile(
                self.path, f"none of its frames can be decoded: {_formatted(CONVERT, self.path)}, or copy it anew"
            )
        self.orientation = _orientation(frames[0])
        numbers = [-1 if self._is_counted else self._number_of(frame) for frame in frames]
        return -1 not in numbers and all(a < b for a, b in itertools.pairwise(numbers))

    def _count(self) -> None:
        """Number the frames by decoding all of them, where time stamps do not order them."""
        self._is_counted = True
        self._start(None, 0)
        assert self._decoder is not None
        self._times = np.arange(sum(1 for _ in self._decoder))
        self._keys = np.zeros(0, np.int64)

    # ---- reading ----

    def _find(self, index: int) -> VideoFrame | None:
        """A frame by decoding on, or from a key frame before it; None where it is lost."""
        if index in self._lost:
            return None
        if self._decoder is not None and self._at < index and not self._is_seek_shorter(index):
            frame = self._decode_to(index)
            if frame is not None:
                return frame
        attempts = 0
        for start in self._starts(index):
            if not self._start(start, int(self._times[index])):
                continue
            frame = self._decode_to(index)
            if frame is not None:
                return frame
            attempts += 1
            if attempts == 2:  # some streams become whole only after a key frame, not at it
                break
        self._lost.update(range(index, max(self._at, index + 1)))
        return None

    def _is_seek_shorter(self, index: int) -> bool:
        if index - self._at <= CACHED or len(self._keys) == 0:
            return False
        key = self._keys[np.searchsorted(self._keys, self._times[index], side="right") - 1]
        return bool(self._at < 0 or key > self._times[self._at])

    def _starts(self, index: int) -> Iterator[int | None]:
        """Where to start decoding for a frame: key frames before it, nearest first, and the start of the file."""
        before = self._keys[: np.searchsorted(self._keys, self._times[index], side="right")]
        for back in (1, 2, 4, 8):
            if back <= len(before):
                yield int(before[-back])
        yield None

    def _start(self, key: int | None, target: int) -> bool:
        """Set the decoder to the key frame at time `key`, or to the start; whether it is there, before `target`.

        Containers without an index land anywhere near the time, and their first time stamps may be wrong: what
        comes before the first key frame that is recognised by time and size is left out.
        """
        if self._container is None or key is None:
            self._opened()
        assert self._container is not None
        stream = _video_stream(self._container, self.path, self._max_pixels)
        self._decoder, self._at, self._trusted = None, -1, key
        if key is None:
            self._decoder = _decoded(_packets(self._container, stream))
            return True
        try:
            self._container.seek(key, stream=stream)
        except _error():
            return False
        packets = _packets(self._container, stream)
        for packet in packets:
            if packet.pts is None or not packet.is_keyframe:
                continue
            if packet.pts > target:
                break
            if self._is_known_key(packet.pts, packet.size):
                self._trusted = packet.pts
                self._decoder = _decoded(itertools.chain([packet], packets))
                return True
        return False

    def _is_known_key(self, time: int, size: int) -> bool:
        at = int(np.searchsorted(self._keys, time))
        return at < len(self._keys) and bool(self._keys[at] == time and self._key_sizes[at] == size)

    def _decode_to(self, index: int) -> VideoFrame | None:
        """Decode on up to frame `index`, and keep the last frames; None where it does not come."""
        for frame in self._decoder or ():
            at = self._number_of(frame)
            if at <= self._at:  # unknown, or of a group of pictures that began before the key frame
                continue
            self._at = at
            if not frame.is_corrupt:
                self._cached[at] = frame
                if len(self._cached) > CACHED:
                    del self._cached[next(iter(self._cached))]
            if at >= index:
                return None if frame.is_corrupt or at > index else frame
        self._decoder, self._at = None, len(self)
        return None

    def _number_of(self, frame: VideoFrame) -> int:
        """The number of a frame that was decoded; -1 where it is not known or the frame is not to be trusted."""
        if self._is_counted:
            return self._at + 1
        if frame.pts is None or (self._trusted is not None and frame.pts < self._trusted):
            return -1
        at = int(np.searchsorted(self._times, frame.pts))
        return at if at < len(self) and self._times[at] == frame.pts else -1


def _library() -> Any:
    try:
        import av
    except ImportError:
        raise InvalidInput("reading a video file needs a package (av): pip install 'segmend[video]'") from None
    return av


def _error() -> type[Exception]:
    error: type[Exception] = _library().error.FFmpegError
    return error


def _open(path: Path) -> InputContainer:
    av = _library()
    try:
        check_file(path)
        # Playlists name other files and addresses: none is fetched from elsewhere.
        container: InputContainer = av.open(f"file:{path}", container_options={"protocol_whitelist": "file"})
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidFile(path, "no such file") from None
    except PermissionError:
        raise InvalidFile(path, "not readable: check its permissions") from None
    except av.error.FFmpegError as error:
        if missing := _bytes_missing(path):
            size = path.stat().st_size
            raise InvalidFile(
                path, f"cut short: {size} of {size + missing} bytes are there: copy it anew"
            ) from None
        raise InvalidFile(
            path,
            f"not a video, or broken ({error.strerror}): copy it anew, or {_formatted(CONVERT, path)}",
        ) from None
    return container


def _video_stream(container: InputContainer, path: Path, max_pixels: int) -> VideoStream:
    """The stream of frames in a file, with the limit of pixels set.

    Raises:
        InvalidFile: there is none, its coding is not known, or its frames are too large.
    """
    stream = container.streams.best("video")
    if stream is None:
        raise InvalidFile(path, "holds no frames, only sound or text: give a video")
    video: VideoStream = stream  # type: ignore[assignment]
    if video.codec_context is None:
        raise InvalidFile(path, f"its coding cannot be decoded: {_formatted(CONVERT, path)}")
    if video.width * video.height > max_pixels:
        raise too_large(path, f"{video.width} x {video.height} pixels", max_pixels)
    if not video.codec_context.is_open:  # frames may be larger than the head of the file says
        video.codec_context.options = {"max_pixels": str(max_pixels)}
    return video


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets of a stream, in the order of decoding, the last one empty; unreadable ones are left out."""
    failures, unreadable = 0, _error()
    while failures < FAILURES:
        try:
            for packet in container.demux(stream):
                if packet.size > 0 or packet.dts is None:  # an empty packet with a time would end the decoding
                    failures = 0
                    yield packet
            return
        except unreadable:
            failures += 1


def _decoded(packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
    """The frames of packets, in the order in which they are shown; what cannot be decoded is left out."""
    undecodable = _error()
    for packet in packets:
        try:
            frames = packet.decode()
        except undecodable:
            continue
        yield from frames


def _is_shown(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """Whether a packet holds a frame to show: VP8 has some that are only referred to."""
    return stream.codec_context.name not in ("vp8", "libvpx") or bool(bytes(packet)[0] & 0x10)


def _orientation(frame: VideoFrame) -> int:
    """How a frame is to be turned, by the display matrix that comes with it, as an EXIF orientation."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return 1 if matrix is None else orientation_of_matrix(bytes(matrix))


def orientation_of_matrix(matrix: bytes) -> int:
    """The EXIF orientation, 1 to 8, of a display matrix: nine numbers of 32 bits, the first of 16.16.

    Other angles than quarter turns are not obeyed (1).
    """
    a, b, _, c, d, *_ = (round(number / 65536) for number in struct.unpack("=9i", matrix[:36]))
    return ORIENTATIONS.get((a, b, c, d), 1)


def _bytes_missing(path: Path) -> int:
    """How many bytes of an MP4 or MOV file are not there, by the lengths of its parts; 0 for other files."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if at == 0 and head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return 0
            if length == 1:  # stands in 64 bits behind the name
                length = int.from_bytes(head[8:], "big")
            if length < 8:  # 0: up to the end
                return 0
            at += length
    return max(0, at - size)


def _formatted(text: str, path: Path) -> str:
    return text.format(name=path.name, stem=path.stem)
