"""The frames of videos, from folders of images and from video files, and the labels that belong to them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np

from segmend.data.dataset import find_images, splits_of
from segmend.data.files import MAX_PIXELS, InvalidFile, find_files
from segmend.data.images import IMAGE_SUFFIXES, ImageSurvey, read_image, survey_images
from segmend.data.pairing import SEPARATORS, pair_names
from segmend.data.video_file import VIDEO_SUFFIXES, VideoFile
from segmend.pixels import ImageReading

GAP = 1.5
"""How many usual steps two frames lie apart at least where one between them is missing."""


class FrameSource(Protocol):
    """Where the frames of a sequence come from."""

    def read(self, index: int) -> np.ndarray: ...

    def file(self, index: int) -> Path | None: ...

    def origin(self, index: int) -> Path: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class ImageFiles:
    """Frames that are images of a folder."""

    files: tuple[Path, ...]
    max_pixels: int = MAX_PIXELS
    reading: ImageReading | None = None

    def read(self, index: int) -> np.ndarray:
        """Frame `index`, ``uint8 [H, W, 3]``."""
        return read_image(self.files[index], self.max_pixels, self.reading)

    def file(self, index: int) -> Path | None:
        """The file of frame `index`."""
        return self.files[index]

    def origin(self, index: int) -> Path:
        """The same."""
        return self.files[index]

    def close(self) -> None:
        """Nothing stays open."""


@dataclass(frozen=True)
class FrameSequence:
    """Successive frames of one video. Frames are read one by one, by one thread.

    Attributes:
        name: the folder inside the root, what the names of the frames share, or both; empty for a folder that
            holds one sequence; of a video file, its name without the suffix.
        ids: for each frame the path below the root without the suffix; of a video file ``STEM/000012``.
        numbers: the number in each frame's name; of a video file 0, 1, ...
        source: reads the frames.
        breaks: the indices before which frames are missing.
    """

    name: str
    ids: tuple[str, ...]
    numbers: tuple[int, ...]
    source: FrameSource = field(repr=False)
    breaks: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> np.ndarray:
        """Frame `index`, ``uint8 [H, W, 3]``, upright.

        Raises:
            InvalidFile: a broken file or frame; the message names both.
            IndexError: no such frame.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: expected a frame 0..{len(self) - 1}, found {index}")
        return self.source.read(index)

    def file(self, index: int) -> Path | None:
        """The image file of a frame; None in a video file."""
        return self.source.file(index)

    def origin(self, index: int) -> Path:
        """The file that a frame is read from: an image, or the video file."""
        return self.source.origin(index)

    def close(self) -> None:
        """Close the video file, if it is one; reading on opens it again."""
        self.source.close()


@dataclass(frozen=True)
class Frames:
    """The sequences of a folder, or of a video file. As a context it closes video files at its end.

    Attributes:
        findings: what was found and assumed, in sentences.
        images_read: what the images of a folder have in common, and so how they are read.
    """

    sequences: tuple[FrameSequence, ...]
    findings: tuple[str, ...] = ()
    images_read: ImageSurvey = field(default_factory=ImageSurvey)

    def __len__(self) -> int:
        return sum(map(len, self.sequences))

    def __enter__(self) -> Frames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all video files."""
        for sequence in self.sequences:
            sequence.close()


class LabelPairing(NamedTuple):
    """Which labels belong to which frames.

    Attributes:
        partner: for IDs of frames, the ID of the mask.
        turns: EXIF orientations by which masks are turned with their frame, by the frame's ID.
        findings: what was assumed, in sentences.
        unpaired: IDs of masks that belong to no frame.
    """

    partner: dict[str, str]
    turns: dict[str, int]
    findings: tuple[str, ...]
    unpaired: tuple[str, ...]


def open_frames(
    path: Path | str, *, bands: tuple[int, int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> Frames:
    """The frames of a video file, of a folder of images, or of a folder of video files.

    Images form sequences by their folder and by their names without the last number; they are ordered by that
    number. A data set's folder stands for its images, where it has one split.

    Args:
        bands: for images of more than three bands, those that are red, green and blue, from 0.
        max_pixels: larger frames are refused.

    Raises:
        InvalidFile: nothing there that can be read as frames; the message says what was found.
        InvalidInput: a video file, and the package that reads it is missing.
    """
    path = Path(path)
    if not path.exists():
        raise InvalidFile(path, "no such file or folder")
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        raise InvalidFile(path, "one image, expected a video file or a folder of frames: give its folder")
    if path.is_file():
        return _of_videos({unicodedata.normalize("NFC", path.stem): path}, max_pixels)
    root = _images_of(path)
    videos = find_files(root, VIDEO_SUFFIXES)
    images = find_files(root, IMAGE_SUFFIXES) if videos else find_images(root)
    if not videos:
        return _of_images(root, images, bands, max_pixels)
    if images:
        raise InvalidFile(
            root,
            f"holds {_counted(len(images), 'image')} ({next(iter(images.values())).name}) and "
            f"{_counted(len(videos), 'video file')} ({next(iter(videos.values())).name}): "
            "put the ones into a folder of their own, or give a video file",
        )
    return _of_videos(videos, max_pixels)


def _images_of(path: Path) -> Path:
    """The folder of images: that of the only split where `path` is a data set, else `path`."""
    if not (path / "dataset.yaml").is_file():
        return path
    splits = splits_of(path)
    if len(splits) != 1:
        found = f"found {', '.join(splits)}: give {path / 'images' / splits[0]}, say" if splits else "found none"
        raise InvalidFile(path, f"expected a data set of one split in images/, {found}")
    return path / "images" / splits[0]


def _of_videos(videos: Mapping[str, Path], max_pixels: int) -> Frames:
    sequences, findings = [], []
    for name, path in videos.items():
        video = VideoFile(path, max_pixels)
        numbers = tuple(range(len(video)))
        sequences.append(FrameSequence(name, tuple(f"{name}/{n:06d}" for n in numbers), numbers, video))
        findings += [f"{path}: {_counted(len(video), 'frame')}", *video.findings]
    return Frames(tuple(sequences), tuple(findings))


def _of_images(
    root: Path, images: Mapping[str, Path], bands: tuple[int, int, int] | None, max_pixels: int
) -> Frames:
    survey = survey_images(images.values(), bands, max_pixels)
    sequences, findings = [], [f"{root}: {finding}" for finding in survey.findings]
    for name, members in _grouped(images).items():
        ids = tuple(members)
        numbers = tuple(members.values())
        shown = name or str(root)
        _check_numbers(ids, numbers, images)
        breaks = _breaks(numbers)
        findings += _about_breaks(shown, ids, numbers, breaks)
        source = ImageFiles(tuple(images[i] for i in ids), max_pixels, survey.reading)
        sequences.append(FrameSequence(name, ids, numbers, source, frozenset(breaks)))
    several = f" in {_counted(len(sequences), 'sequence')}" if len(sequences) > 1 else ""
    findings.insert(0, f"{root}: {_counted(len(images), 'frame')}{several}")
    return Frames(tuple(sequences), tuple(findings), survey)


# ---- sequences of images ----


def _grouped(ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """Sequences by name: the numbers of their frames by ID, in order.

    Example:
        >>> _grouped(["a_10", "a_9", "b_7"])
        {'a': {'a_9': 9, 'a_10': 10}, 'b': {'b_7': 7}}
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for identity in ids:
        folders[identity.rpartition("/")[0]].append(identity.rpartition("/")[2])
    sequences: dict[str, dict[str, int]] = {}
    for folder, names in folders.items():
        groups: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        unnumbered = []
        for name, (around, number) in zip(names, _split_numbers(names), strict=True):
            if number is None:
                unnumbered.append(name)
            else:
                groups[around][name] = number
        titles = _titles(list(groups))
        for key, group in groups.items():
            ordered = dict(sorted(group.items(), key=lambda item: (item[1], item[0])))
            title = _joined(folder, titles[key] if len(groups) > 1 else "")
            sequences[_unused(title, sequences)] = _within(folder, ordered)
        if unnumbered:
            counted = {name: n for n, name in enumerate(sorted(unnumbered))}
            title = _joined(folder, "without numbers" if groups else "")
            sequences[_unused(title, sequences)] = _within(folder, counted)
    return dict(sorted(sequences.items()))


def _titles(keys: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Names of sequences by what stands before and after the numbers of their frames: the first if unique."""
    before = {key: key[0].strip(SEPARATORS) for key in keys}
    return before if len(set(before.values())) == len(keys) else {key: f"{key[0]}{key[1]}" for key in keys}


def _joined(folder: str, name: str) -> str:
    return "/".join(filter(None, (folder, name)))


def _unused(name: str, names: Iterable[str]) -> str:
    """The name, with a number where it is taken: a folder may be called as the frames beside it."""
    taken = set(names)
    others = (f"{name} ({count})" for count in itertools.count(2))
    return name if name not in taken else next(other for other in others if other not in taken)


def _within(folder: str, numbers: Mapping[str, int]) -> dict[str, int]:
    return {_joined(folder, name): number for name, number in numbers.items()}


def _split_numbers(names: list[str]) -> list[tuple[tuple[str, str], int | None]]:
    """What stands around the last number of each name, and the number; None where a name has none.

    An end that all names share does not count if it holds letters: ``_leftImg8bit`` has no frame number.
    """
    end = _shared_end(names)
    split: list[tuple[tuple[str, str], int | None]] = []
    for name in names:
        stem = name.removesuffix(end)
        found = re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", stem, re.DOTALL)
        split.append(((found[1], found[3] + end), int(found[2])) if found else ((name, ""), None))
    return split


def _shared_end(names: list[str]) -> str:
    """The longest end from a separator on that holds letters and that all of several names share."""
    first = names[0] if len(names) > 1 else ""
    ends = (first[at:] for at, sign in enumerate(first) if sign in SEPARATORS)
    for end in ends:
        if any(sign.isalpha() for sign in end) and all(name.endswith(end) for name in names):
            rest = [name.removesuffix(end) for name in names]
            if all(re.search("[0-9]", part) for part in rest):
                return end
    return ""


def _check_numbers(ids: tuple[str, ...], numbers: tuple[int, ...], images: Mapping[str, Path]) -> None:
    for at in range(1, len(ids)):
        if numbers[at] == numbers[at - 1]:
            raise InvalidFile(
                images[ids[at]],
                f"the same frame number as {images[ids[at - 1]].name} ({numbers[at]}): keep one of the two, or "
                "put each video into a folder of its own",
            )


def _breaks(numbers: tuple[int, ...]) -> list[int]:
    """The indices before which frames are missing: the step is larger than the usual one.

    The usual step is the most frequent one, or the median where steps vary, as those of time stamps do.
    """
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    if not steps:
        return []
    most = max(Counter(steps).items(), key=lambda item: (item[1], -item[0]))
    usual = most[0] if 2 * most[1] >= len(steps) else sorted(steps)[len(steps) // 2]
    return [at + 1 for at, step in enumerate(steps) if step >= GAP * usual]


def _about_breaks(name: str, ids: tuple[str, ...], numbers: tuple[int, ...], breaks: list[int]) -> list[str]:
    def gap(at: int) -> str:
        return f"between {_digits(ids[at - 1], numbers[at - 1])} and {_digits(ids[at], numbers[at])}"

    if len(breaks) > 3:
        return [
            f"{name}: frames are missing at {len(breaks)} places, first {gap(breaks[0])}: labels are not "
            "propagated across the gaps"
        ]
    return [f"{name}: frames are missing {gap(at)}: labels are not propagated across the gap" for at in breaks]


def _digits(identity: str, number: int) -> str:
    """The number as it stands in a frame's name, with its zeros."""
    return next((run for run in reversed(re.findall("[0-9]+", identity)) if int(run) == number), str(number))


# ---- labels ----


def pair_labels(frames: Frames, masks: Mapping[str, Path], where: str, masks_where: str) -> LabelPairing:
    """Pair frames with masks: in a folder by name (see `pair_names`), in video files by the number of the frame.

    The number is the last one in a mask's name. With several video files the mask's path starts with the name of
    the video: ``STEM/000012`` or ``STEM_000012``.

    Args:
        masks: files by ID.
        where, masks_where: the folders, for messages.

    Raises:
        InvalidFile: no pair at all, two masks of one frame, or a frame and a mask that are one file.
    """
    files = {i: s.file(at) for s in frames.sequences for at, i in enumerate(s.ids)}
    images = {identity: file for identity, file in files.items() if file is not None}
    if len(images) == len(files):
        paired = pair_names(images, masks, where, masks_where, frames.images_read.turned)
        return LabelPairing(paired.partner, paired.turns, paired.findings, _left(masks, paired.partner))
    return _pair_numbers(frames, masks, where, masks_where)


def _left(masks: Iterable[str], partner: Mapping[str, str]) -> tuple[str, ...]:
    used = set(partner.values())
    return tuple(mask for mask in masks if mask not in used)


def _pair_numbers(frames: Frames, masks: Mapping[str, Path], where: str, masks_where: str) -> LabelPairing:
    sequences = {sequence.name: sequence for sequence in frames.sequences}
    by_video: dict[str, dict[str, str]] = defaultdict(dict)  # what follows the name of the video, by mask
    for mask in masks:
        name, rest = _video_of(mask, sequences)
        if name is not None:
            by_video[name][mask] = rest
    partner: dict[str, str] = {}
    findings = []
    for name, rests in by_video.items():
        sequence = sequences[name]
        numbers = _numbers_of(rests)
        for mask, number in numbers.items():
            if number >= len(sequence):
                continue
            frame = sequence.ids[number]
            if frame in partner:
                raise InvalidFile(
                    masks[mask],
                    f"belongs to frame {number} of {name}, as {masks[partner[frame]].name} does: "
                    "give a folder with one mask for each frame",
                )
            partner[frame] = mask
        last = [mask for mask, number in numbers.items() if number == len(sequence)]
        if last:
            findings.append(
                f"warning: {masks[last[0]].name} has no frame: frames are counted from 0, the last of {name} is "
                f"{len(sequence) - 1}: if labels are numbered from 1, subtract 1 from their numbers"
            )
    if not partner:
        raise InvalidFile(masks_where, _no_pair(frames, masks, where))
    frame, mask = next(iter(partner.items()))
    assumed = f"labels pair by the number of the frame: {masks[mask].name} is {frame}"
    return LabelPairing(partner, {}, (assumed, *findings), _left(masks, partner))


def _video_of(mask: str, names: Iterable[str]) -> tuple[str | None, str]:
    """The video that a mask belongs to, and the rest of the mask's name; the only video needs no name."""
    names = sorted(names, key=len, reverse=True)
    if len(names) == 1 and names[0].isdecimal():  # the number of a frame may be the name of the video
        return names[0], mask
    for text in (mask, mask.rpartition("/")[2]):
        for name in names:
            if text.startswith(name) and not text[len(name) : len(name) + 1].isalnum():
                return name, text[len(name) :]
    return (names[0], mask) if len(names) == 1 else (None, mask)


def _numbers_of(rests: Mapping[str, str]) -> dict[str, int]:
    """The last number in each name; names without one are left out."""
    names = [rest.rpartition("/")[2] for rest in rests.values()]
    numbers = (number for _, number in _split_numbers(names))
    return {mask: number for mask, number in zip(rests, numbers, strict=True) if number is not None}


def _no_pair(frames: Frames, masks: Mapping[str, Path], where: str) -> str:
    sequence = frames.sequences[0]
    mask = next(iter(masks.values()), None)
    example = f"{sequence.name}/000000.png" if len(frames.sequences) > 1 else "000000.png"
    return (
        f"none of its {len(masks)} maps belongs to a frame of {where}: {sequence.name} has frames 0 to "
        f"{len(sequence) - 1}, maps are called like {mask.name if mask else ''!r}: name a map by its frame, "
        f"as {example}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
