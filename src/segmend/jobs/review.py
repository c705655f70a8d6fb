"""Review refined or suggested label maps: what is under review, and writing what was decided."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segmend import __version__
from segmend.coding import Coding
from segmend.data.dataset import dataset_above, find_images
from segmend.data.description import describe
from segmend.data.details import find_beside, read_details
from segmend.data.files import MAX_PIXELS, InvalidFile, check_writable_folder, read_json
from segmend.data.images import read_image
from segmend.data.label_folder import LabelFolder
from segmend.data.maps import find_masks
from segmend.data.masks import note_in, read_labels, write_labels
from segmend.data.pairing import match_names, pair_names
from segmend.data.palette import read_palette
from segmend.jobs.outputs import hash_of
from segmend.jobs.progress import bar
from segmend.jobs.review_log import DecisionLog, Logged
from segmend.labels import VOID, VOID_16, Classes, InvalidInput, Palette, voc_colour
from segmend.report.results import Review as Results
from segmend.report.results import Skipped, check_replaceable, holds, write_results
from segmend.review import Regions, combine, confirmed, regions_of
from segmend.review.regions import RULE

LOG, RESULTS = "decisions.jsonl", "results.json"

CONFIRMED = "confirmed by a person"
"""The note in the files that show which pixels were decided on."""

STALE = "decided on another version of the image, the coarse or the refined map: not applied, decide again"
"""Why a decision is not applied."""

Colour = tuple[int, int, int]


class Suspected(NamedTuple):
    """A region that ``segmend check`` listed."""

    box: tuple[int, int, int, int]
    kind: str


class Differences(NamedTuple):
    """The label maps of an image ``[H, W]``, in stored ids, and the regions in which they differ."""

    coarse: np.ndarray
    refined: np.ndarray
    found: Regions


@dataclass(frozen=True)
class ClassNames:
    """How stored ids are called and coloured, where that is known.

    Attributes:
        ids: the stored id of each class.
        palette: the colours of ids, where nothing else gives them one.
    """

    classes: Classes | None = None
    ids: tuple[int, ...] = ()
    palette: Palette = ()

    def with_palette(self, palette: Palette | None) -> ClassNames:
        """The same, with the palette of a label file."""
        return replace(self, palette=palette or ())

    def name(self, identity: int) -> str:
        """The name of the class of an id."""
        if self.classes is not None and identity in self.ids:
            return self.classes.names[self.ids.index(identity)]
        return f"class {identity}"

    def voids(self, found: Collection[int]) -> set[int]:
        """Which of the ids that an image holds mean no class; where classes are not known, none of two with 0."""
        voids = {VOID, VOID_16}.intersection(found).difference(self.ids)
        return set() if not self.ids and any({*found} <= {0, void} for void in voids) else voids

    def colour(self, identity: int) -> Colour:
        """The colour of the class of an id."""
        if self.classes is not None and identity in self.ids:
            return self.classes.palette[self.ids.index(identity)]
        return self.palette[identity] if 0 <= identity < len(self.palette) else voc_colour(identity)


@dataclass(frozen=True)
class Review:
    """Images with a coarse and a refined label map, by ID. No file is read before it is asked for.

    Attributes:
        labels: the coarse maps.
        images, refined: the files of images and refined maps.
        details: what the refiner gave beside the refined maps, where there are files.
        others: coarse maps without a refined one, in which there is nothing to decide.
        classes: how ids are called.
        scores: of images, the higher the worse, where ``segmend check`` listed them.
        suspected: the regions that ``segmend check`` listed, by image.
        findings: what was found and assumed, in sentences.
        unpaired: what has no partner.
    """

    labels: LabelFolder
    images: Mapping[str, Path]
    refined: Mapping[str, Path]
    details: Mapping[str, Path] = field(default_factory=dict)
    others: LabelFolder | None = None
    classes: ClassNames = ClassNames()
    scores: Mapping[str, float] = field(default_factory=dict)
    suspected: Mapping[str, list[Suspected]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    unpaired: tuple[Skipped, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """IDs of the images under review, in the order of their names."""
        return self.labels.ids

    @property
    def max_pixels(self) -> int:
        """Larger images and maps are refused."""
        return self.labels.max_pixels

    def inputs(self, identity: str) -> str:
        """The hash of an image's files, which decisions on them refer to; empty where one cannot be read."""
        files = self.images[identity], self.labels.original(identity), self.refined[identity]
        return hash_of(*files, text=f"{RULE} {self.labels.colours}" if self.labels.colours else RULE)

    def is_current(self, identity: str, logged: Logged) -> bool:
        """Whether a decision was made on the files as they are now."""
        try:
            return logged.inputs == self.inputs(identity)
        except (InvalidFile, OSError):
            return False

    def image(self, identity: str) -> np.ndarray:
        """The image, ``uint8 [H, W, 3]``."""
        return read_image(self.images[identity], self.max_pixels)

    def maps(self, identity: str) -> tuple[np.ndarray, np.ndarray]:
        """The coarse and the refined map, in stored ids ``[H, W]``.

        Raises:
            InvalidFile: one of them is unreadable, or their sizes differ.
        """
        coarse, refined = self.labels.read(identity), read_labels(self.refined[identity], self.max_pixels)[0]
        if coarse.shape != refined.shape:
            sizes = " and ".join(f"{width} x {height}" for height, width in (coarse.shape, refined.shape))
            raise InvalidFile(self.refined[identity], f"expected the size of the coarse map, found {sizes}")
        return coarse, refined

    def differences(self, identity: str) -> Differences:
        """The maps of an image and their regions of difference (see `maps`)."""
        coarse, refined = self.maps(identity)
        return Differences(coarse, refined, regions_of(coarse, refined))

    def change_confidence(self, identity: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """The confidence of each change, ``uint8 [H, W]`` for 0..1; None where none of this shape is there."""
        path = self.details.get(identity)
        found = {} if path is None else read_details(path, ("change_confidence",))
        confidence = found.get("change_confidence")
        return confidence if confidence is not None and confidence.shape == shape else None


def open_review(
    images: Path,
    coarse: Path,
    refined: Path,
    out: Path,
    palette: Path | None = None,
    max_pixels: int | None = None,
) -> Review:
    """Find what is under review: images, coarse and refined label maps of the same ID.

    Args:
        images: folder of images.
        coarse: folder of coarse label maps; also one that ``predict`` or ``refine`` wrote.
        refined: folder of other label maps of the same images, as ``refine`` or ``check`` write it.
        out: folder of the review.
        palette: for coarse maps painted in colours, a file of names and colours (see `read_palette`).
        max_pixels: larger images and maps are refused.

    Raises:
        InvalidFile: a missing or empty folder, names that do not pair, or an `out` that cannot be used.
    """
    if (images / "dataset.yaml").is_file():
        raise InvalidFile(images, "a data set: give the folder of one split, images/SPLIT")
    found, masks, others = find_images(images), find_masks(_labels_in(coarse)), find_masks(_labels_in(refined))
    if _labels_in(coarse).resolve() == _labels_in(refined).resolve():
        raise InvalidFile(refined, "the folder of coarse maps itself: give the maps that a refiner wrote")
    _check_out(out, {"images": images, "coarse maps": _labels_in(coarse), "refined maps": _labels_in(refined)})
    pairing = pair_names(found, masks, str(images), str(coarse))
    files = {i: masks[mask] for i, mask in pairing.partner.items() if _is_text(i)}
    paired = {i: found[i] for i in files}
    again = match_names(paired, others)[0] or pair_names(paired, others, str(images), str(refined)).partner
    both = {i: file for i, file in files.items() if i in again}
    limit = max_pixels or MAX_PIXELS
    named, colours = read_palette(palette) if palette else (None, ())
    labels = LabelFolder(both, {i: found[i] for i in both}, out, colours=colours, max_pixels=limit)
    alone = {i: file for i, file in files.items() if i not in both}
    used, used_again = set(pairing.partner.values()), set(again.values())
    review = Review(
        labels=labels,
        images=labels.images,
        refined={i: others[again[i]] for i in both},
        details=_details_beside(refined, both),
        others=replace(labels, files=alone, images={i: found[i] for i in alone}) if alone else None,
        classes=_plain(named) if named else _class_names(images, coarse, refined),
        findings=(*pairing.findings, *_counted_unpaired(found, files, alone, others.keys() - used_again)),
        unpaired=(
            *(
                Skipped(file=str(masks[m]), reason=f"no image of this ID in {images}")
                for m in masks
                if m not in used
            ),
            *(_unreadable_name(found[i]) for i in pairing.partner if not _is_text(i)),
        ),
    )
    return _with_checked(review, refined)


def _labels_in(folder: Path) -> Path:
    """The folder of label maps in one that ``predict``, ``refine`` or ``check`` wrote; else the folder itself."""
    labels = folder / "labels"
    return labels if (folder / RESULTS).is_file() and labels.is_dir() else folder


def _is_text(identity: str) -> bool:
    """Whether an ID is valid Unicode, so that it can stand in JSON."""
    return identity.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in identity)


def _unreadable_name(path: Path) -> Skipped:
    return Skipped(file=repr(str(path)), reason="its name is not valid Unicode: rename it")


def _details_beside(refined: Path, ids: Mapping[str, Path]) -> dict[str, Path]:
    found = find_beside(refined, "details") or {}
    return {i: found[partner] for i, partner in match_names(ids, found)[0].items()} if found else {}


def _counted_unpaired(
    images: Mapping[str, Path], with_map: Mapping[str, Path], alone: Mapping[str, Path], unused: set[str]
) -> list[str]:
    without = [i for i in images if i not in with_map]
    counts = (
        (without, "images without a coarse map, left out"),
        (list(alone), "coarse maps without a refined one, in which there is nothing to decide"),
        (sorted(unused), "refined maps without a coarse one, left out"),
    )
    return [f"{len(found)} {what} ({found[0]}{', ...' * (len(found) > 1)})" for found, what in counts if found]


def _class_names(images: Path, coarse: Path, refined: Path) -> ClassNames:
    """Names from the data set that the coarse maps lie in, else from the results of a run.

    Where a run has numbers alone, the names are those of the data set that the images lie in, if it has as many.
    """
    root = dataset_above(_labels_in(coarse))
    if root is not None:
        return _plain(describe(root).classes)
    for folder in (refined, coarse):
        names = _results_in(folder).get("classes")
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            with suppress(InvalidInput):
                classes = Classes(tuple(names))
                above, coding = dataset_above(images), Coding.of_names(classes)
                if coding is None:
                    return _plain(classes)
                if above is not None and coding.is_plain and len(describe(above).classes) == len(classes):
                    return _plain(describe(above).classes)
                return ClassNames(ids=coding.ids)
    return ClassNames()


def _plain(classes: Classes) -> ClassNames:
    return ClassNames(classes, tuple(range(len(classes))))


def _results_in(folder: Path) -> dict[str, Any]:
    """What ``results.json`` of a folder says; empty where there is none that can be read."""
    place = folder.parent if folder.name == "labels" else folder
    with suppress(InvalidFile):
        content = read_json(place / RESULTS)
        return content if isinstance(content, dict) else {}
    return {}


def _with_checked(review: Review, refined: Path) -> Review:
    """The review with the scores and regions that ``segmend check`` wrote beside the refined maps, if it did."""
    results = _results_in(refined)
    checked, regions = results.get("checked"), results.get("regions")
    if not isinstance(checked, list):
        return review
    scores: dict[str, float] = {}
    suspected: dict[str, list[Suspected]] = {}
    try:
        for one in checked:
            scores[str(one["id"])] = float(one["score"])
        for one in regions or ():
            x0, y0, x1, y1 = map(int, one["box"])
            suspected.setdefault(str(one["id"]), []).append(Suspected((x0, y0, x1, y1), str(one["kind"])))
    except (TypeError, ValueError, KeyError) as error:
        note = f"{refined / RESULTS}: its scores cannot be read ({error!r}): images are sorted by changed pixels"
        return replace(review, findings=(*review.findings, note))
    known = {i: scores[i] for i in review.ids if i in scores}
    return replace(review, scores=known, suspected=suspected)


def _check_out(out: Path, inputs: Mapping[str, Path]) -> None:
    """Raise `InvalidFile` unless `out` can be written, is nobody else's folder, and lies apart from what is read.

    Args:
        inputs: the folders that are read, by what they hold.
    """
    check_writable_folder(out)
    check_replaceable(out / RESULTS, partial(holds, kind=Results), "the results of a review")
    for what, folder in inputs.items():
        inside, labels = folder.resolve(), (out / "labels").resolve()
        if inside in (out.resolve(), *out.resolve().parents) or labels in (inside, *inside.parents):
            raise InvalidFile(out, f"would mix what is written with the {what}: choose another folder (--out)")


@dataclass
class _Tally:
    """What `apply` counts."""

    decided: int = 0
    partly: int = 0
    changed: int = 0
    accepted: int = 0
    kept: int = 0
    pixels: int = 0


def apply(review: Review, in_place: bool = False, quiet: bool = False) -> Results:
    """Write what was decided: each coarse map with its accepted regions, and which pixels a person confirmed.

    ``OUT/labels/ID.png`` is the coarse map with the accepted regions of the refined one, in the ids, palette and
    bit depth of the coarse file; a copy of that file where nothing was accepted. ``OUT/confirmed/ID.png`` is 255
    in the regions that were decided, either way, else 0.

    Args:
        in_place: write over the coarse maps in which regions were accepted, after a copy to ``OUT/backup``.
        quiet: no progress bar.

    Returns:
        What was done, also written to ``OUT/results.json``. Decisions on other versions of the files are not
        applied: they are listed as skipped, and so are files that cannot be read or written.

    Raises:
        InvalidFile: before anything is written, where a file is there already that no review wrote; or the disk
            is full.
    """
    folder, out = replace(review.labels, in_place=in_place), review.labels.out
    log = DecisionLog(out / LOG)
    folders = [folder] + ([replace(review.others, in_place=in_place)] if review.others else [])
    for one in folders:
        _check_targets(one)
    tally, skipped = _Tally(), list(review.unpaired)
    logged = {i: one for i, one in log.decisions.items() if i in review.images}
    skipped += [
        Skipped(file=i, reason="decided before, and no longer under review: its decision is not applied")
        for i in log.decisions.keys() - logged.keys()
    ]
    with bar("apply", sum(len(one.ids) for one in folders), quiet) as progress:
        for one in folders:
            for identity in one.ids:
                try:
                    _apply_one(review, one, identity, logged.get(identity), tally)
                except InvalidFile as error:
                    skipped.append(Skipped(file=str(error.path), reason=error.reason))
                except OSError as error:
                    raise InvalidFile(
                        error.filename or one.target(identity),
                        f"cannot be written ({error.strerror}): run the same command again, what is written stays",
                    ) from error
                progress.advance()
    results = Results(
        version=__version__,
        images=len(folder.ids),
        decided=tally.decided,
        partly=tally.partly,
        changed=tally.changed,
        accepted_regions=tally.accepted,
        kept_regions=tally.kept,
        changed_pixels=tally.pixels,
        without_refined=len(review.others.ids) if review.others else 0,
        in_place=in_place,
        skipped=skipped,
    )
    write_results(out / RESULTS, results)
    return results


def _check_targets(folder: LabelFolder) -> None:
    """Raise `InvalidFile` where a file is there already that no review wrote."""
    for identity in folder.ids:
        target = folder.target(identity)
        if not folder.in_place and os.path.lexists(target) and not folder.is_ours(identity):
            raise InvalidFile(
                target,
                "exists and was not written by segmend review, or was changed since: choose another "
                "folder (--out), or move it",
            )
        marks = _confirmed_file(folder, identity)
        if os.path.lexists(marks) and note_in(marks) != CONFIRMED:
            raise InvalidFile(marks, "exists and was not written by segmend review: choose another folder (--out)")


def _confirmed_file(folder: LabelFolder, identity: str) -> Path:
    return folder.out / "confirmed" / f"{identity}.png"


def _apply_one(review: Review, folder: LabelFolder, identity: str, logged: Logged | None, tally: _Tally) -> None:
    """Write one image's label map, and what was confirmed of it."""
    marks = _confirmed_file(folder, identity)
    if logged is None or not review.is_current(identity, logged):
        folder.copy(identity)
        marks.unlink(missing_ok=True)
        if logged is not None:
            raise InvalidFile(folder.files[identity], STALE)
        return
    decision = logged.decision
    coarse, refined, found = review.differences(identity)
    if decision.accepted:
        labels = combine(coarse, refined, found.numbers, decision)
        folder.write(identity, labels)
        tally.changed += 1
        tally.pixels += int((labels != coarse).sum())
    else:
        folder.copy(identity)
    mask = folder.as_stored(identity, confirmed(found.numbers, decision))
    write_labels(marks, np.where(mask, 255, 0).astype(np.uint8), note=CONFIRMED)
    tally.partly += decision.state == "partly"
    tally.decided += decision.state != "partly"
    tally.accepted += len(decision.accepted)
    tally.kept += len(decision.kept)
