"""Tags from a COCO file of detections or instances: the categories of an image are its tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segmend.data.files import InvalidFile
from segmend.data.tags_from.entries import Entries, counted_images
from segmend.data.tags_from.names import ClassNames
from segmend.data.tags_from.source import Source

EXPECTED = "expected `categories`, `images` and `annotations` of COCO"


def is_coco(content: Any) -> bool:
    """Whether JSON content looks like detections or instances."""
    if isinstance(content, dict):
        return isinstance(content.get("categories"), list) or _has(content.get("annotations"), "category_id")
    return _has(content, "category_id")


def read(source: Source, names: ClassNames) -> Entries:
    """Tags of annotations; where they have scores, the highest of each category is that of the tag.

    Every image that is listed has an entry. A list of detections alone names no categories, and is refused unless
    each has its ``category_name``.
    """
    content = source.content
    if isinstance(content, list):
        content = {"annotations": content}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise InvalidFile(source.path, EXPECTED)
    categories = _by_id(source.path, content, "categories", "name")
    files = _by_id(source.path, content, "images", "file_name")
    entries = Entries(names)
    for name in files.values():
        entries.list_image(name)
    for number, one in enumerate(content["annotations"], 1):
        if not isinstance(one, dict) or not isinstance(one.get("image_id"), str | int):
            raise InvalidFile(source.path, f"annotation {number}: expected `image_id`, found {one!r:.80}")
        category = one.get("category_id")
        given = one.get("category_name", categories.get(category) if isinstance(category, str | int) else None)
        if not isinstance(given, str):
            raise InvalidFile(source.path, _no_category(number, category, bool(categories)))
        score = one.get("score", 1.0)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise InvalidFile(source.path, f"annotation {number}: expected a score in 0..1, found {score!r}")
        entries.add_named(files.get(one["image_id"], str(one["image_id"])), given, score)
    if not entries.tags:
        raise InvalidFile(source.path, f"no images in it: {EXPECTED}")
    scored = ", with scores" if any("score" in one for one in content["annotations"]) else ""
    entries.findings.append(
        f"{len(content['annotations'])} annotations of {counted_images(len(entries.tags))}{scored}"
    )
    entries.note_missing(categories.values(), "category")
    if not files:
        entries.findings.append("no `images` in it: image_id is taken as the name of the image")
    return entries


def _by_id(path: Path, content: dict[str, Any], what: str, of: str) -> dict[Any, str]:
    """The names of categories or images by their id; none where the file has no such list."""
    found = {}
    given = content.get(what) or []
    if not isinstance(given, list):
        raise InvalidFile(path, f"`{what}`: expected a list, found {given!r:.60}")
    for number, one in enumerate(given, 1):
        if not isinstance(one, dict) or not isinstance(one.get("id"), str | int):
            raise InvalidFile(path, f"{what}, number {number}: expected `id` and `{of}`, found {one!r:.80}")
        found[one["id"]] = str(one.get(of) or one["id"])
    return found


def _no_category(number: int, category: object, has_list: bool) -> str:
    if category is None:
        return f"annotation {number}: no `category_id`: {EXPECTED}"
    if has_list:
        return f"annotation {number}: no category has the id {category!r}"
    return (
        f"detections with `category_id` {category!r} and no `categories` that name it: expected a JSON object "
        "with `categories` and `images`; take that of the ground truth, and put this list in as its `annotations`"
    )


def _has(given: Any, name: str) -> bool:
    return isinstance(given, list) and any(isinstance(one, dict) and name in one for one in given[:100])
