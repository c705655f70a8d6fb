"""Label Studio: a JSON list of tasks, whose annotations and predictions hold brush masks and polygons."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np

from segmend.data.annotations.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    NewImage,
    Shape,
    Stored,
)
from segmend.data.annotations.polygons import Ring, mask_of_rings, single_ring
from segmend.data.files import InvalidFile, atomic_write, read_json, write_json
from segmend.labels import InvalidInput

BRUSH, POLYGON = "brush", "polygon"
LABELS_OF = {"brushlabels": BRUSH, "brush": BRUSH, "polygonlabels": POLYGON, "polygon": POLYGON}
"""Kinds of results that have an outline; boxes, ellipses, points and choices stay as they are."""

UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""

RUN_BITS = (3, 4, 8, 16)
"""Bits that the length of a run takes, as Label Studio writes brush masks."""


class _Place(NamedTuple):
    """Where a result lies: task, `annotations` or `predictions`, and the places in both lists."""

    task: int
    kind: str
    annotation: int
    result: int


class LabelStudio(Annotations):
    """An export of tasks (JSON), or tasks with predictions to import.

    All annotations and predictions of a task are objects; label maps show the first annotation that was not
    cancelled, or the first prediction where there is none. A polygon has one ring: parts and holes are joined to
    it by bridges of no width.
    """

    title = "Label Studio"
    output = "annotations.json"

    def __init__(self, path: Path, tasks: list[dict[str, Any]]) -> None:
        super().__init__(path)
        self.files = (path,)
        self._tasks = tasks
        images, objects = [], []
        self._places: list[_Place] = []
        for number, task in enumerate(tasks):
            size = None
            shown = _shown(task)
            for kind, at, results in _result_lists(path, number, task):
                labels = _labels_by_id(results)
                for place, result in enumerate(results):
                    if LABELS_OF.get(str(result.get("type"))) is None:
                        continue
                    size = size or _size_of(result)
                    objects.append(
                        AnnotatedObject(
                            image=number,
                            label=_label_of(result, labels),
                            name=f"task {task.get('id', number + 1)}, region {result.get('id', place + 1)}",
                            load=partial(mask_of, result),
                            is_polygon=LABELS_OF[result["type"]] == POLYGON,
                            is_alternative=(kind, at) != shown,
                        )
                    )
                    self._places.append(_Place(number, kind, at, place))
            images.append(AnnotatedImage(_image_name(task), size))
        self.images, self.objects = tuple(images), tuple(objects)
        self.labels = tuple(sorted({one.label for one in objects}))

    @classmethod
    def recognises(cls, path: Path) -> bool:
        content = read_json(path) if path.suffix.lower() == ".json" and path.is_file() else None
        return isinstance(content, list) and bool(content) and _is_task(content[0])

    @classmethod
    def read(cls, path: Path) -> Self:
        tasks = read_json(path)
        if not isinstance(tasks, list) or not all(_is_task(task) for task in tasks):
            raise InvalidFile(path, "expected a list of tasks of Label Studio, each with `data`")
        return cls(path, tasks)

    def stored(self, index: int, shape: Shape | None = None, expected_iou: float | None = None) -> Stored:
        task, kind, annotation, place = self._places[index]
        found = copy.deepcopy(self._tasks[task][kind][annotation]["result"][place])
        if kind == "predictions" and expected_iou is not None:
            found["score"] = expected_iou
        return found if shape is None else with_shape(found, shape)

    def write(self, folder: Path, replacements: Mapping[int, Stored]) -> None:
        tasks = copy.deepcopy(self._tasks) if replacements else self._tasks
        for index, result in replacements.items():
            task, kind, annotation, place = self._places[index]
            tasks[task][kind][annotation]["result"][place] = result
        write_json(folder / self.output, tasks)

    @classmethod
    def create(cls, root: Path, splits: Mapping[str, Sequence[NewImage]], labels: Sequence[str]) -> None:
        for split, images in splits.items():
            tasks = [_task(split, image) for image in images]
            write_json(root / f"tasks_{split}.json", tasks)
        named = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
        config = f"""<View>
  <Image name="image" value="$image" zoom="true"/>
  <PolygonLabels name="label" toName="image">
{named}  </PolygonLabels>
</View>
"""
        atomic_write(root / "label_config.xml", config.encode())


def _task(split: str, image: NewImage) -> dict[str, Any]:
    """A task with a prediction, for an image that the server finds below the folder of the data set."""
    height, width = image.size
    results = [
        {
            "id": f"{number}",
            "type": "polygonlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "points": _percent(single_ring(one.outline.geometry), height, width),
                "closed": True,
                "polygonlabels": [one.label],
            },
        }
        for number, one in enumerate(image.objects, 1)
    ]
    address = f"/data/local-files/?d={quote(f'images/{split}/{image.name}')}"
    return {"data": {"image": address}, "predictions": [{"model_version": "segmend", "result": results}]}


def _percent(ring: Ring, height: int, width: int) -> list[list[float]]:
    return [[100 * x / width, 100 * y / height] for x, y in ring.tolist()]


def mask_of(result: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` of a result.

    Raises:
        InvalidInput: values that cannot be read, or of an image of another size.
    """
    value = result.get("value")
    if not isinstance(value, dict):
        raise InvalidInput("expected a `value`")
    if result.get("image_rotation"):
        raise InvalidInput("the image is rotated in Label Studio: rotate it back, its regions keep their places")
    if LABELS_OF[result["type"]] == BRUSH:
        if not isinstance(value.get("rle"), list):
            raise InvalidInput("no mask (`rle`) in its value")
        return decode_brush(value["rle"], height, width)
    try:
        points = np.asarray(value["points"], np.float64).reshape(-1, 2)
    except (KeyError, TypeError, ValueError):
        raise InvalidInput("expected `points` as [[x, y], ...] in percent") from None
    return mask_of_rings([points / 100 * (width, height)], height, width)


def with_shape(result: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """A copy of a result with another mask, as what it was: a brush, or a polygon of one ring."""
    height, width = shape.mask.shape
    new: dict[str, Any] = {"format": "rle", "rle": encode_brush(shape.mask)}
    if shape.outline is not None:
        new = {"points": _percent(single_ring(shape.outline.geometry), height, width), "closed": True}
    value = {**result["value"], **new}
    return {**result, "value": value, "original_width": width, "original_height": height}


def decode_brush(rle: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask ``bool [H, W]`` in the bytes of a brush: runs of RGBA values, of which alpha counts.

    Raises:
        InvalidInput: bytes that are no brush, or of another size.
    """
    try:
        bits = np.unpackbits(np.asarray(rle, np.uint8))
        at = 0

        def number(count: int) -> int:
            nonlocal at
            at += count
            if at > len(bits):
                raise ValueError("it ends too early")
            return int("".join(map(str, bits[at - count : at])), 2)

        total, word = number(32), number(5) + 1
        sizes = [number(4) + 1 for _ in range(4)]
        if total != 4 * height * width:
            raise InvalidInput(
                f"expected a brush of {width} x {height} px, as the image, found {total // 4} pixels in all"
            )
        values = np.zeros(total, np.uint8)
        filled = 0
        while filled < total:
            is_run = number(1)
            end = filled + 1 + number(sizes[number(2)])
            if is_run:
                values[filled:end] = min(number(word), 255)
            else:
                several = bits[at : at + word * (end - filled)].reshape(-1, word)
                at += several.size
                values[filled:end] = several[:, -8:].dot(1 << np.arange(min(word, 8))[::-1])
            filled = end
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"its brush cannot be read ({error})") from None
    return values.reshape(height, width, 4)[..., 3] > 0


def encode_brush(mask: np.ndarray) -> list[int]:
    """A mask ``bool [H, W]`` as the bytes of a brush."""
    flat = np.repeat(mask.ravel(), 4)
    changes = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff([*starts, len(flat)])
    parts = [f"{len(flat):032b}", f"{7:05b}", *(f"{bits - 1:04b}" for bits in RUN_BITS)]
    most = 1 << RUN_BITS[-1]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        while length:
            part = min(length, most)
            kind = next(i for i, bits in enumerate(RUN_BITS) if part <= 1 << bits)
            parts.append(f"1{kind:02b}{part - 1:0{RUN_BITS[kind]}b}{value}")
            length -= part
    bits = "".join(parts)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _is_task(task: Any) -> bool:
    return isinstance(task, dict) and isinstance(task.get("data"), dict)


def _result_lists(path: Path, number: int, task: dict[str, Any]) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """The results of a task: the kind of list that holds them, their place there, and they themselves."""
    found = []
    for kind in ("annotations", "predictions"):
        for at, one in enumerate(task.get(kind) or []):
            results = one.get("result") if isinstance(one, dict) else None
            if results is None and isinstance(one, int | dict):
                continue  # an id of a prediction, or an annotation without results
            if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
                raise InvalidFile(path, f"task {task.get('id', number + 1)}: expected a list `result`")
            found.append((kind, at, results))
    return found


def _shown(task: dict[str, Any]) -> tuple[str, int] | None:
    """The annotation, or else the prediction, that label maps show."""
    for kind in ("annotations", "predictions"):
        for at, one in enumerate(task.get(kind) or []):
            if isinstance(one, dict) and one.get("result") and not one.get("was_cancelled"):
                return kind, at
    return None


def _labels_by_id(results: list[dict[str, Any]]) -> dict[str, str]:
    """Classes of regions by their id, where a control of its own names them."""
    found = {}
    for result in results:
        labels = (result.get("value") or {}).get("labels")
        if labels and result.get("id") is not None:
            found[str(result["id"])] = str(labels[0])
    return found


def _label_of(result: Mapping[str, Any], by_id: Mapping[str, str]) -> str:
    value = result.get("value") or {}
    named = value.get("brushlabels") or value.get("polygonlabels")
    return str(named[0]) if named else by_id.get(str(result.get("id")), "object")


def _size_of(result: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = result.get("original_height"), result.get("original_width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _image_name(task: Mapping[str, Any]) -> str:
    """The file name in the address of a task's image, without what the server puts before it."""
    addresses = [value for value in task["data"].values() if isinstance(value, str)]
    address = next((one for one in addresses if "/" in one or "." in one), str(task.get("id", "")))
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")  # a file that the server serves from a folder
    path = unquote(local[0] if local else parts.path)
    name = path.replace("\\", "/").rpartition("/")[2]
    return UPLOADED.sub("", name) if "/data/upload/" in path else name
