"""A review that is going on: what a page shows of each image, decisions, and the order of images."""

from __future__ import annotations

import io
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from segmend.data.files import InvalidFile
from segmend.jobs.review import STALE, Differences, Review, Suspected
from segmend.jobs.review_log import DecisionLog
from segmend.labels import InvalidInput
from segmend.review import Decision, Region, Regions, change_weight, mean_of_regions, shown

SIDE, MOST_SIDE = 1280, 8192
"""Longest side in pixels of what a page shows first, and when it is enlarged."""

CACHE_BYTES = 128 * 1024**2
"""How much is kept of what pages have shown."""

LISTED_CHANGES = 4
"""How many changes of a region are listed."""

SAME_BOX = 0.5
"""IoU from which on the boxes of two regions mean the same."""

QUALITY = 90


class View(NamedTuple):
    """What a page shows of an image.

    Attributes:
        inputs: hash of the files that it was made of.
        about: sizes, classes and regions, for JSON.
        photo: the image as JPEG.
        maps: coarse map, refined map and numbers of regions (see `segmend.review.shown`), compressed by zlib.
    """

    inputs: str
    about: dict[str, Any]
    photo: bytes
    maps: bytes


class Event(NamedTuple):
    """What was found about an image in the background.

    Attributes:
        image: its place among the IDs.
        score: how much differs; None where it is not known.
        state: ``stale`` if its decision was made on other files, ``unreadable``, or empty.
    """

    image: int
    score: float | None
    state: str


class _Cache:
    """What was computed last, up to a number of bytes; each key is computed once at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[tuple[int, int], Future[View]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int], make: Callable[[], View]) -> View:
        with self._lock:
            future = self._found.get(key)
            is_new = future is None
            if future is None:
                future = self._found[key] = Future()
            self._found.move_to_end(key)
        if is_new:
            try:
                future.set_result(make())
            except BaseException as error:
                self._forget(key)
                future.set_exception(error)
            self._trim()
        return future.result()

    def _forget(self, key: tuple[int, int]) -> None:
        with self._lock:
            self._found.pop(key, None)

    def _trim(self) -> None:
        with self._lock:
            sizes = {k: len(f.result().photo) + len(f.result().maps) for k, f in self._found.items() if f.done()}
            total = sum(sizes.values())
            for key in list(sizes)[:-1]:  # the last one stays, whatever its size
                if total <= self._most:
                    break
                total -= sizes[key]
                del self._found[key]


@dataclass
class Session:
    """A review with its log of decisions. Methods may be called from several threads.

    Attributes:
        events: what `look_ahead` has found so far, in order.
        is_complete: whether it has looked at all images.
    """

    review: Review
    log: DecisionLog
    events: list[Event] = field(default_factory=list)
    is_complete: bool = False
    _cache: _Cache = field(default_factory=lambda: _Cache(CACHE_BYTES))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _idle: threading.Event = field(default_factory=threading.Event)
    _busy: int = 0
    _ended: bool = False

    def __post_init__(self) -> None:
        self._idle.set()

    def listing(self) -> dict[str, Any]:
        """All images by name, with the scores and states that are known without opening a file."""
        review, decisions = self.review, self.log.decisions
        return {
            "ids": review.ids,
            "scores": [review.scores.get(i) for i in review.ids],
            "states": [decisions[i].decision.state if i in decisions else "" for i in review.ids],
            "checked": bool(review.scores),
            "weighted": bool(review.details),
            "out": str(review.labels.out),
        }

    def since(self, count: int) -> dict[str, Any]:
        """What was found after the first `count` events."""
        is_complete = self.is_complete
        return {"events": self.events[count:], "complete": is_complete}

    def view(self, index: int, side: int = SIDE) -> View:
        """What a page shows of an image.

        Raises:
            InvalidFile: a file of it cannot be read.
            IndexError: no such image.
        """
        if not 0 <= index < len(self.review.ids):
            raise IndexError(index)
        with self._lock:
            self._busy += 1
            self._idle.clear()
        try:
            return self._cache.get((index, min(side, MOST_SIDE)), lambda: self._view(index, min(side, MOST_SIDE)))
        finally:
            with self._lock:
                self._busy -= 1
                if not self._busy:
                    self._idle.set()

    def about(self, index: int, side: int = SIDE) -> dict[str, Any]:
        """What is known of an image, with its decision."""
        view, identity = self.view(index, side), self.review.ids[index]
        logged = self.log.decisions.get(identity)
        is_stale = logged is not None and logged.inputs != view.inputs
        decision = None if logged is None or is_stale else logged.decision
        return {
            **view.about,
            "accepted": decision.accepted if decision else (),
            "kept": decision.kept if decision else (),
            "note": STALE if is_stale else "",
        }

    def decide(self, index: int, inputs: str, decision: Decision) -> str:
        """Save a decision; it is on disk when this returns. Its state is returned.

        Args:
            inputs: hash of the files that were shown.

        Raises:
            InvalidInput: the files are others by now, or have another number of regions.
        """
        view = self.view(index)
        identity = self.review.ids[index]
        if inputs != view.inputs or decision.regions != len(view.about["regions"]):
            raise InvalidInput(f"{identity}: its files have changed since: load the page again")
        with self._writing:
            self.log.add(identity, inputs, decision)
        return decision.state

    def _view(self, index: int, side: int) -> View:
        review, identity = self.review, self.review.ids[index]
        inputs = review.inputs(identity)
        if not inputs:
            raise InvalidFile(identity, "one of its files cannot be read")
        image, differences = review.image(identity), review.differences(identity)
        if image.shape[:2] != differences.coarse.shape:
            sizes = (f"{w} x {h}" for h, w in (image.shape[:2], differences.coarse.shape))
            raise InvalidFile(
                review.labels.original(identity),
                "expected the size of the image {}, found {} (width x height)".format(*sizes),
            )
        reduced = shown(differences.coarse, differences.refined, differences.found.numbers, side)
        height, width = reduced.numbers.shape
        photo = io.BytesIO()
        Image.fromarray(image).reduce(reduced.factor).save(photo, "JPEG", quality=QUALITY)
        maps = np.stack((reduced.coarse, reduced.refined, reduced.numbers))
        palette = review.classes.with_palette(review.labels.palette(identity))
        voids = review.classes.voids(reduced.ids)
        suspected = review.suspected.get(identity, ())
        confidence = review.change_confidence(identity, differences.coarse.shape)
        about = {
            "id": identity,
            "inputs": inputs,
            "size": (image.shape[1], image.shape[0]),
            "shown": (width, height),
            "factor": reduced.factor,
            "classes": [
                {
                    "id": i,
                    "name": "void" if i in voids else review.classes.name(i),
                    "colour": palette.colour(i),
                    "void": i in voids,
                }
                for i in reduced.ids
            ],
            "regions": _regions(differences, confidence, suspected, reduced.ids),
            "suspected": [one._asdict() for one in _without_region(suspected, differences.found)],
        }
        return View(inputs, about, photo.getvalue(), zlib.compress(maps.tobytes(), 1))

    # ---- in the background ----

    def look_ahead(self) -> None:
        """Find the scores of all images that have none, and which decisions are on other files; in a thread.

        Waits while a page is being served, so that it is not slowed down.
        """
        order = sorted(range(len(self.review.ids)), key=lambda i: self.review.ids[i] not in self.log.decisions)
        for index in order:
            self._idle.wait()
            if self._ended:
                return
            identity = self.review.ids[index]
            logged = self.log.decisions.get(identity)
            if identity in self.review.scores and logged is None:
                continue
            self.events.append(self._looked(index, identity))
        self.is_complete = True

    def _looked(self, index: int, identity: str) -> Event:
        logged = self.log.decisions.get(identity)
        is_stale = logged is not None and not self.review.is_current(identity, logged)
        state, score = "stale" if is_stale else "", self.review.scores.get(identity)
        if score is None:
            try:
                maps = self.review.maps(identity)
                score = change_weight(*maps, self.review.change_confidence(identity, maps[0].shape))
            except (InvalidFile, OSError):
                state = "unreadable"
        return Event(index, score, state)

    def end(self) -> None:
        """End looking ahead, and the log."""
        self._ended = True
        with self._writing:
            self.log.close()


def _regions(
    differences: Differences,
    confidence: np.ndarray | None,
    suspected: Sequence[Suspected],
    ids: tuple[int, ...],
) -> list[dict[str, Any]]:
    """The regions of an image for JSON; classes by their place in `ids`."""
    found: Regions = differences.found
    means = None if confidence is None else mean_of_regions(found.numbers, confidence)
    place = {i: at for at, i in enumerate(ids)}
    return [
        {
            "pixels": region.pixels,
            "parts": region.parts,
            "box": region.box,
            "changes": [(place[c.before], place[c.after], c.pixels) for c in region.changes[:LISTED_CHANGES]],
            "more": max(0, len(region.changes) - LISTED_CHANGES),
            "confidence": None if means is None else round(means[region.number - 1], 3),
            "kind": _kind_of(region, suspected),
        }
        for region in found.regions
    ]


def _kind_of(region: Region, suspected: Sequence[Suspected]) -> str:
    """What ``segmend check`` calls the region of its list whose box overlaps this one most; empty for none."""
    if region.parts > 1:
        return ""
    overlaps = [(_overlap(region.box, one.box), one.kind) for one in suspected]
    best = max(overlaps, default=(0.0, ""))
    return best[1] if best[0] >= SAME_BOX else ""


def _without_region(suspected: Sequence[Suspected], found: Regions) -> list[Suspected]:
    """What ``segmend check`` listed where the labels do not change: it looks wrong, without a suggestion."""
    boxes = [region.box for region in found.regions if region.parts == 1]
    return [one for one in suspected if all(_overlap(one.box, box) < SAME_BOX for box in boxes)]


def _overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """IoU of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(0, width) * max(0, height)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (first, second))
    return both / (areas - both) if areas > both else 0.0
