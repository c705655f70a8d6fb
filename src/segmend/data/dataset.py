"""Data sets on disk: the layout ``NAME/{images,labels,probs,blobs}/SPLIT/ID.*``, or plain folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from segmend.coding import Coding
from segmend.data.description import describe
from segmend.data.files import MAX_PIXELS, InvalidFile, find_files, found_instead
from segmend.data.images import IMAGE_SUFFIXES, ImageSurvey, read_image, survey_images
from segmend.data.manifest import read_manifest
from segmend.data.maps import find_maps, find_masks, label_files, read_label_map, read_map, which_are_read
from segmend.data.masks import LABEL_SUFFIXES, read_labels
from segmend.data.pairing import pair_names, turns_of
from segmend.data.probabilities import PROBABILITY_SUFFIXES
from segmend.data.reading import Reading, read_plain
from segmend.data.survey import Survey, survey_masks
from segmend.data.tags import Tags, read_tags, tags_without_image
from segmend.labels import Classes, InvalidInput, check_same_size


@dataclass(frozen=True)
class Record:
    """One image of a data set, by the files that belong to it. An ID may hold folders.

    Attributes:
        tags: the classes in it with their scores (see `segmend.data.tags`); None where they are not known.
        turn: EXIF orientation by which its maps are turned, as they were made of the image as stored.
        distance: frames to the labelled frame that its labels were propagated from; 0 if it was labelled by hand;
            None if no ``manifest.jsonl`` lists it (see `segmend.data.manifest`).
        sources: IDs of the labelled frames that its labels come from, nearest first: its own if it was labelled by
            hand. Empty without a manifest.
    """

    id: str
    image: Path | None = None
    labels: Path | None = None
    coarse: Path | None = None
    tags: Tags | None = None
    blobs: Path | None = None
    turn: int = 1
    distance: int | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Records of one split, and how to read them.

    Attributes:
        coding: how ids in label files stand for classes (None: class c is stored as c).
        coarse_coding: the same of coarse maps that are label files.
        merge: for each class in the label files, the class of `classes` that it is joined to (None: as it is).
        merge_coarse: the same for coarse maps.
        max_pixels: larger images and maps are refused.
        scored: names of the classes that scores are averaged over (``evaluate_on`` in ``dataset.yaml``);
            empty for all.
        findings: what was found and assumed when the folders were opened, in sentences.
        images_read: what the images of a plain folder have in common, and so how they are read.
    """

    name: str
    classes: Classes
    records: tuple[Record, ...]
    coding: Coding | None = None
    coarse_coding: Coding | None = None
    merge: tuple[int, ...] | None = None
    merge_coarse: tuple[int, ...] | None = None
    max_pixels: int = MAX_PIXELS
    scored: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    images_read: ImageSurvey = field(default_factory=ImageSurvey)

    @property
    def scored_ids(self) -> tuple[int, ...]:
        """Ids of the classes that scores are averaged over."""
        return self.classes.ids(self.scored or self.classes.names)

    def without_records(self) -> Dataset:
        """How records are read, without any: what a process needs to read those that it is handed."""
        return replace(self, records=(), findings=())

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def image(self, record: Record) -> np.ndarray:
        """The image, ``uint8 [H, W, 3]``."""
        if record.image is None:
            raise InvalidInput(f"{record.id}: no image belongs to this label map")
        return read_image(record.image, self.max_pixels, self.images_read.reading)

    def labels(self, record: Record) -> np.ndarray:
        """The true label map ``[H, W]`` in the dtype of the classes, void as the classes' void.

        Raises:
            InvalidFile: unreadable, or ids that are neither a class nor void.
        """
        if record.labels is None:
            raise InvalidInput(f"{record.id}: no label map belongs to this image")
        return read_label_map(record.labels, self.classes, self.coding, self.merge, self.max_pixels, record.turn)

    def coarse(self, record: Record, as_stored: bool = False) -> np.ndarray:
        """The coarse map: probabilities ``float32 [C, H, W]`` from ``.npz``, else a label map ``[H, W]``.

        Args:
            as_stored: see `read_map`.
        """
        if record.coarse is None:
            raise InvalidInput(f"{record.id}: no coarse map belongs to this image")
        return read_map(
            record.coarse,
            self.classes,
            self.coarse_coding,
            self.merge_coarse,
            self.max_pixels,
            as_stored,
            record.turn,
        )

    def blobs(self, record: Record) -> np.ndarray:
        """The numbers of the pixels' blobs, integers ``[H, W]`` from 0, as they stand in the file.

        Raises:
            InvalidFile: the record has none, or they cannot be read.
        """
        if record.blobs is None:
            raise InvalidFile(record.labels or record.id, "no file in blobs/SPLIT numbers its blobs")
        return read_labels(record.blobs, self.max_pixels)[0]

    def with_coarse(self, folder: Path | str) -> Dataset:
        """The same records with the coarse maps (probabilities or label maps) found in `folder` by ID.

        Records without one are left out. The maps are in the classes of this data set, label files in its ids or
        in others that are plainly meant: those of a model that was trained on merged classes belong to
        ``dataset.merged(...).with_coarse(folder)``.

        Raises:
            InvalidFile: no maps, names that do not pair, or ids that cannot be meant.
        """
        paired = self.paired(Path(folder), find_maps(folder))
        if labels := label_files(paired.coarse_files):
            survey = survey_masks(labels, max_pixels=self.max_pixels)
            return paired._with_coding_of(Path(folder), survey)
        return replace(paired, coarse_coding=self.coding)

    @property
    def coarse_files(self) -> dict[str, Path]:
        """The files of the coarse maps by the ID of their image."""
        return {record.id: record.coarse for record in self.records if record.coarse is not None}

    def paired(self, folder: Path, maps: Mapping[str, Path]) -> Dataset:
        """The records that have a coarse map among those that were found in `folder`."""
        images = {r.id: r.image for r in self.records if r.image}
        pairing = pair_names(images, maps, self.name, str(folder), self.images_read.turned)
        records = tuple(
            replace(r, coarse=maps[pairing.partner[r.id]], turn=pairing.turns.get(r.id, r.turn))
            for r in self.records
            if r.id in pairing.partner
        )
        source = which_are_read(folder, dict(maps))
        more = (*self.findings, *pairing.findings, *([f"{folder}: the maps {source}"] if source else []))
        return replace(self, records=records, coarse_coding=None, merge_coarse=None, findings=more)

    def _with_coding_of(self, folder: Path, survey: Survey) -> Dataset:
        try:
            plain = self.coding if self.merge is None else None
            decision = survey.decide(len(self.classes)) if plain is None else survey.decide_like(plain)
        except InvalidInput as error:
            raise InvalidFile(folder, str(error)) from None
        findings = (*self.findings, *(f"{folder}: {note}" for note in decision.assumed))
        return replace(self, coarse_coding=decision.coding, findings=findings)

    def subset(self, ids: set[str]) -> Dataset:
        """The records whose ID is in `ids`."""
        return replace(self, records=tuple(r for r in self.records if r.id in ids))

    def fold(self, index: int, folds: int) -> tuple[Dataset, Dataset]:
        """Two parts of the records: those to train on without fold `index` of `folds`, and those in it.

        Every `folds`-th record by ID is in a fold, so that names that sort by class or time are spread. In a data
        set that `segmend propagate` wrote, labelled frames are split, and what was propagated is in the fold of
        its nearest source. Records with a farther source in the fold are in neither part: they show its labels.
        """
        origins = sorted({_origin(record) for record in self.records})
        if not 2 <= folds <= len(origins):
            what = "labelled frames" if any(record.sources for record in self.records) else "records"
            raise InvalidInput(f"{len(origins)} {what} cannot be split into {folds} folds")
        if not 0 <= index < folds:
            raise InvalidInput(f"expected a fold 0..{folds - 1}, found {index}")
        held_out = set(origins[index::folds])
        inside = {r.id for r in self.records if _origin(r) in held_out}
        outside = {r.id for r in self.records if held_out.isdisjoint((_origin(r), *r.sources))}
        return self.subset(outside), self.subset(inside)

    def merged(self, groups: dict[str, tuple[str, ...]]) -> Dataset:
        """The same records with classes joined: `groups` maps a new name to the names it stands for.

        Classes that no group names keep their own. Tags and coarse maps follow.
        """
        owner = {old: new for new, olds in groups.items() for old in olds}
        if len(owner) < sum(map(len, groups.values())):
            raise InvalidInput("a class stands in two groups: name it once")
        self.classes.ids(owner)  # all of them are there
        new_names = list(dict.fromkeys(owner.get(name, name) for name in self.classes.names))
        merge = tuple(new_names.index(owner.get(name, name)) for name in self.classes.names)
        colours = dict(zip(reversed(merge), reversed(self.classes.palette), strict=True))
        classes = Classes(tuple(new_names), tuple(colours[i] for i in range(len(new_names))))
        return replace(
            self,
            classes=classes,
            records=tuple(replace(r, tags=r.tags and _joined(r.tags, owner)) for r in self.records),
            merge=_composed(self.merge, merge),
            merge_coarse=_composed(self.merge_coarse, merge),
            scored=_renamed(self.scored, owner),
        )


def _origin(record: Record) -> str:
    """The labelled frame that a record belongs to: the nearest one, or the record itself."""
    return record.sources[0] if record.sources else record.id


def _renamed(names: tuple[str, ...], owner: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(owner.get(name, name) for name in names))


def _joined(tags: Tags, owner: dict[str, str]) -> Tags:
    """Tags of joined classes: each has the highest score of what it stands for."""
    found: dict[str, float] = {}
    for name, score in tags.items():
        name = owner.get(name, name)
        found[name] = max(score, found.get(name, 0.0))
    return found


def _composed(first: tuple[int, ...] | None, second: tuple[int, ...]) -> tuple[int, ...]:
    return second if first is None else tuple(second[i] for i in first)


def open_dataset(
    root: Path | str,
    split: str | None = None,
    *,
    labels: Path | str | None = None,
    classes: Classes | int | None = None,
    ids: Sequence[int] | None = None,
    palette: Path | str | None = None,
    bands: tuple[int, int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Dataset:
    """Open a data set.

    Args:
        root: a folder with ``dataset.yaml`` and ``images/SPLIT`` (or that ``images/SPLIT`` itself), or a
            plain folder of images.
        split: which split; may be left out where there is only one, or for a plain folder.
        labels: for a plain folder of images, the folder of masks; they pair by ID whatever their suffix, and by
            what is left of it without a part that all share (``_mask``).
        classes: for plain folders, the classes or their number (None: those that the masks hold).
        ids: for plain folders, the id in the masks of each class.
        palette: for masks painted in colours, a file of names and colours (`read_palette`).
        bands: for images of more than three bands, those that are red, green and blue, from 0.
        max_pixels: larger images and maps are refused.

    Raises:
        InvalidFile: a missing folder, split, key or pair; the message says which.
    """
    root = Path(root)
    if (root / "dataset.yaml").is_file():
        if labels is not None:
            raise InvalidFile(root, "its dataset.yaml says where the labels are: leave `labels` out")
        return _open_layout(root, split, bands, max_pixels)
    layout = layout_of(root)
    if layout is not None and labels is None and classes is None:
        return _open_layout(*layout, bands, max_pixels)
    images = find_images(root)
    looked = survey_images(images.values(), bands, max_pixels)
    findings = tuple(f"{root}: {finding}" for finding in looked.findings)
    records = tuple(Record(i, image=path) for i, path in images.items())
    if labels is None:
        given = classes if isinstance(classes, Classes) else Classes.numbered(classes or 1)
        name = root.resolve().name
        return Dataset(name, given, records, max_pixels=max_pixels, findings=findings, images_read=looked)
    masks = find_masks(labels)
    pairing = pair_names(images, masks, str(root), str(labels), looked.turned)
    records = tuple(
        replace(r, labels=masks.get(pairing.partner.get(r.id, "")), turn=pairing.turns.get(r.id, 1))
        for r in records
    )
    used = {name: masks[name] for name in pairing.partner.values()}
    dataset = _plain(root, records, Path(labels), used, Reading(classes, ids, palette, max_pixels))
    return replace(dataset, findings=(*findings, *dataset.findings, *pairing.findings), images_read=looked)


def find_images(folder: Path | str) -> dict[str, Path]:
    """Images below a folder by ID.

    Raises:
        InvalidFile: no folder, or none in it; the message says what it holds.
    """
    images = find_files(folder, IMAGE_SUFFIXES)
    if not images:
        raise InvalidFile(folder, f"holds neither a dataset.yaml nor images, found {found_instead(folder)}")
    return images


def open_masks(
    labels: Path | str,
    *,
    images: Path | str | None = None,
    classes: Classes | int | None = None,
    ids: Sequence[int] | None = None,
    palette: Path | str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Dataset:
    """Open a folder of masks, each a record, with the images that belong to them where `images` is given.

    ``NAME/labels/SPLIT`` of a data set in our layout is that split, images included. Its classes and its void
    hold whatever `images` are given. They hold for a folder below too (``NAME/labels/SPLIT/SEQUENCE``), unless
    other classes, `ids` or a `palette` are given.

    Raises:
        InvalidFile: a missing folder, one without masks, or classes that are not those of its data set.
    """
    layout = layout_of(Path(labels))
    if layout is not None and images is None:
        dataset = _open_layout(*layout, max_pixels=max_pixels)
        _check_asked(layout[0], dataset.classes, classes)
        return dataset
    masks = find_masks(labels)
    found = find_files(images, IMAGE_SUFFIXES) if images is not None else {}
    looked = ImageSurvey()
    records = tuple(Record(i, labels=path) for i, path in masks.items())
    if found:
        looked = survey_images(found.values(), max_pixels=max_pixels)
        pairing = pair_names(found, masks, str(images), str(labels), looked.turned)
        image_of = {mask: image for image, mask in pairing.partner.items()}
        records = tuple(
            replace(r, image=found[image_of[r.id]], turn=pairing.turns.get(image_of[r.id], 1))
            if r.id in image_of
            else r
            for r in records
        )
    dataset = _plain(Path(labels), records, Path(labels), masks, Reading(classes, ids, palette, max_pixels))
    return replace(dataset, images_read=looked)


def _plain(
    named_after: Path, records: tuple[Record, ...], labels: Path, masks: Mapping[str, Path], reading: Reading
) -> Dataset:
    """A data set of plain folders; masks that lie in our layout have the classes and the void that it says."""
    name = named_after.resolve().name
    root = _describing(labels, reading)
    if root is None:
        found = read_plain(labels, masks, reading)
        return Dataset(
            name, found.classes, records, found.coding, max_pixels=reading.max_pixels, findings=found.findings
        )
    described = describe(root)
    coding = Coding.counted(len(described.classes), described.void)
    return Dataset(
        name, described.classes, records, coding, max_pixels=reading.max_pixels, scored=described.scored
    )


def _describing(labels: Path, reading: Reading) -> Path | None:
    """The data set that says what masks hold; None for plain folders, and for a part of a split that was said to
    be read in another way.
    """
    layout = layout_of(labels)
    if layout is not None:
        _check_asked(layout[0], describe(layout[0]).classes, reading.classes)
        return layout[0]
    root = dataset_above(labels)
    if root is None or reading.ids or reading.palette:
        return None
    return root if _fits(describe(root).classes, reading.classes) else None


def _check_asked(root: Path, described: Classes, asked: Classes | int | None) -> None:
    if not _fits(described, asked):
        names = ", ".join(described.names)
        raise InvalidFile(root / "dataset.yaml", f"its masks have other classes than were asked for: {names}")


def _fits(described: Classes, asked: Classes | int | None) -> bool:
    return asked.names == described.names if isinstance(asked, Classes) else asked in (None, len(described))


def layout_of(folder: Path) -> tuple[Path, str] | None:
    """Root and split, where `folder` is ``NAME/images/SPLIT`` or ``NAME/labels/SPLIT`` of our layout."""
    folder = folder.resolve()
    root = folder.parent.parent
    if folder.parent.name in ("images", "labels") and (root / "dataset.yaml").is_file():
        return root, folder.name
    return None


def dataset_above(folder: Path) -> Path | None:
    """Root of the data set in our layout in one of whose splits a folder lies, at any depth; None if in none."""
    folder = folder.resolve()
    layouts = map(layout_of, (folder, *folder.parents))
    return next((layout[0] for layout in layouts if layout is not None), None)


def _open_layout(
    root: Path, split: str | None, bands: tuple[int, int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> Dataset:
    described = describe(root)
    split = _chosen_split(root, split)
    images = find_files(root / "images" / split, IMAGE_SUFFIXES)
    masks = _files_if_any(root / "labels" / split, LABEL_SUFFIXES)
    maps = _files_if_any(root / "probs" / split, PROBABILITY_SUFFIXES)
    blobs = _files_if_any(root / "blobs" / split, LABEL_SUFFIXES)
    looked = survey_images(images.values(), bands, max_pixels)
    partner = {name: name for name in images if name in masks}
    turns, findings = turns_of(images, masks, partner, looked.turned)
    tags_file = root / "tags.json"
    all_tags = read_tags(tags_file, described.classes, missing_ok=True)
    tags = all_tags.get(split, {})
    entries = read_manifest(root)
    records = tuple(
        Record(
            id=i,
            image=path,
            labels=masks.get(i),
            coarse=maps.get(i),
            tags=tags.get(i),
            blobs=blobs.get(i),
            turn=turns.get(i, 1),
            distance=entries[split, i].distance if (split, i) in entries else None,
            sources=entries[split, i].labelled if (split, i) in entries else (),
        )
        for i, path in images.items()
    )
    coding = Coding.counted(len(described.classes), described.void)
    return Dataset(
        described.name,
        described.classes,
        records,
        coding,
        max_pixels=max_pixels,
        scored=described.scored,
        findings=(*looked.findings, *findings, *tags_without_image(tags_file, all_tags, split, images)),
        images_read=looked,
    )


def splits_of(root: Path | str) -> list[str]:
    """The splits of a data set in our layout, sorted."""
    images = Path(root) / "images"
    return sorted(p.name for p in images.glob("*") if p.is_dir() and not p.name.startswith("."))


def _chosen_split(root: Path, split: str | None) -> str:
    splits = splits_of(root)
    if not splits:
        raise InvalidFile(root / "images", "expected a folder for each split, found none")
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None:
        raise InvalidFile(root, f"say which split: {', '.join(splits)}")
    if split not in splits:
        raise InvalidFile(root, f"no split {split!r}: there is {', '.join(splits)}")
    return split


def _files_if_any(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return find_files(folder, suffixes) if folder.is_dir() else {}


def pair_labels(dataset: Dataset, record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Image and true labels of a record, of one size.

    Raises:
        InvalidFile: the sizes differ.
    """
    image, labels = dataset.image(record), dataset.labels(record)
    check_fits(record.labels or record.id, image=image[..., 0], labels=labels)
    return image, labels


def pair_coarse(dataset: Dataset, record: Record, as_stored: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Image and coarse map of a record (see `Dataset.coarse`), of one size.

    Raises:
        InvalidFile: unreadable, or the sizes differ.
    """
    image, coarse = dataset.image(record), dataset.coarse(record, as_stored)
    check_fits(record.coarse or record.id, image=image[..., 0], coarse=coarse)
    return image, coarse


def check_fits(path: Path | str, **maps: np.ndarray) -> None:
    """Raise `InvalidFile` about `path` unless the named maps (``[..., H, W]``) have one size."""
    try:
        check_same_size(**maps)
    except InvalidInput as error:
        raise InvalidFile(path, str(error)) from None
