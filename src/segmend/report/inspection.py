"""What ``segmend inspect`` found, in sentences and on a page."""

from __future__ import annotations

from pathlib import Path

from segmend.data.description import named
from segmend.data.files import atomic_write
from segmend.refiners.universal.coarse_weight import CERTAIN, UNCERTAIN
from segmend.report import wording
from segmend.report.charts import border_chart, series_key
from segmend.report.html import environment, skipped_part
from segmend.report.results import FolderLook, Inspection, MeasuredBorders, MeasuredOffset

MOST_CURVES = 6
"""Curves in the chart: of all classes, and of those with most pixels."""

FAINT = 0.1
"""Edge strength below which there is no edge."""

IMPRECISE = 2.0
"""Border error in pixels from which borders are called imprecise."""


def sentences_of(results: Inspection) -> list[str]:
    """What a user should know of the folder, the most important first."""
    found = sentences_of_borders(results.borders)
    off = {name: one.offset for name, one in results.classes.items() if one.offset and one.offset.is_evident}
    if off and results.borders.offset and not results.borders.offset.is_evident:
        found.append(f"of single classes: {'; '.join(f'{name} {_off(offset)}' for name, offset in off.items())}")
    return [*found, *_of_masks(results)]


def sentences_of_borders(borders: MeasuredBorders, what: str = "image") -> list[str]:
    """How well masks fit their images.

    Args:
        what: has one mask, in the singular.
    """
    if borders.offset is None:
        return ["no borders were measured: no mask has pixels of the largest class beside another one"]
    if borders.are_of_other_images:
        share = f"{100 * borders.on_border:.0f} %"
        return [
            f"warning: the masks seem to belong to other images: only {share} of their borders lie on the "
            "strongest edges nearby; check that images and masks pair as meant"
        ]
    found = [_of_offset(borders.offset, _counted(borders.images, what))]
    if borders.border_error_px >= IMPRECISE:
        found.append(f"borders are imprecise: off by about {borders.border_error_px:.1f} px to either side")
    return found


def sentences_of_look(look: FolderLook, what: str = "image") -> list[str]:
    """What a refiner saw of a folder, and what it does about it.

    Args:
        what: has one mask, in the singular.
    """
    found = sentences_of_borders(look.borders, what)
    if look.borders.are_of_other_images:
        return [*found, "the masks are left as they are"]
    if look.moved:
        found.append(look.moved)
    if look.is_left:
        found.append(f"{'nothing else' if look.moved else 'nothing'} is changed: too little would be")
    return found


def sentence_of_maps(far_uncertainty: float) -> str:
    """How uncertain probability maps are far from their borders, and what a refiner makes of it."""
    found = f"{100 * far_uncertainty:.1f} % uncertain far from borders"
    if far_uncertainty >= UNCERTAIN:
        return f"the maps are {found}, as those of segmenters are: labels also spread over similar colours"
    if far_uncertainty <= CERTAIN:
        return f"the maps are only {found}: labels change near borders, and little"
    return f"the maps are {found}: labels change little"


def _of_offset(offset: MeasuredOffset, measured: str) -> str:
    if max(offset.curve) < FAINT:
        return "the images have no edges around the borders of the masks: they show nothing of how well these fit"
    interval = f"95 % interval {offset.low:+.1f} to {offset.high:+.1f} px, {measured}"
    if not offset.is_evident:
        return f"masks are not evidently too small or too large: offset {offset.pixels:+.1f} px ({interval})"
    return f"masks are {_off(offset)} ({interval})"


def _off(offset: MeasuredOffset) -> str:
    return f"about {abs(offset.pixels):.1f} px too {'small' if offset.pixels > 0 else 'large'}"


def _of_masks(results: Inspection) -> list[str]:
    found = []
    for ids, what in (
        (results.unlabelled, "without any label"),
        (results.one_class, "with one class alone"),
    ):
        if ids:
            found.append(f"{_counted(len(ids), 'mask')} {what}: {named(ids)}")
    same = (results.same_images, "images have the same pixels"), (results.same_masks, "masks have the same labels")
    for groups, what in same:
        found += [f"{len(ids)} {what}: {named(ids)}" for ids in groups[:3]]
        if len(groups) > 3:
            found.append(f"{len(groups) - 3} more groups of {what}")
    return found


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def write_inspection_page(path: Path, results: Inspection) -> None:
    """Write the page: what was found, edges around the borders, and the classes."""
    by_share = sorted(results.classes.items(), key=lambda item: -item[1].share)
    borders = results.borders
    curves = [("all classes", borders.offset.curve)] if borders.offset else []
    curves += [(name, one.offset.curve) for name, one in by_share if one.offset]
    curves = curves[:1] if len(curves) == 2 else curves[:MOST_CURVES]
    page = (
        environment()
        .get_template("inspection.html")
        .render(
            version=results.version,
            title="Inspection \N{EN DASH} segmend",
            results=results,
            largest=borders.largest,
            image_count=wording.images(results.images),
            sentences=[sentence.removeprefix("warning: ") for sentence in sentences_of(results)],
            chart=border_chart(borders.distances, curves) if curves else None,
            curves=[(name, series_key(index)) for index, (name, _) in enumerate(curves)],
            classes=by_share,
            **skipped_part(results.skipped),
        )
    )
    atomic_write(path, page.encode("utf-8", errors="replace"))
