"""Clean the tags of images: estimate how noisy they are, and write the probability of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from segmend import __version__
from segmend.data.dataset import Dataset, Record, open_dataset, splits_of
from segmend.data.description import named
from segmend.data.files import InvalidFile, check_writable_folder
from segmend.data.listed import classes_in, listed_images
from segmend.data.tags import Tags, common_classes, implied_classes, write_tags
from segmend.devices import pick_device, to_device
from segmend.dual.tag_noise import Cleaned, clean
from segmend.jobs.progress import Progress, bar
from segmend.labels import InvalidInput
from segmend.report.results import ClassTags, Skipped, TagCleaning, write_results
from segmend.report.tags import ChangedImage, changed_image, write_tags_page
from segmend.segmenters.image_features import ImageFeatures, ImageNetFeatures, fitted, principal_components

LEAST = 0.001
"""Lower scores are not written."""

BATCH = 16
"""Images that the network sees at once."""

ON_PAGE = 12
"""Images of each kind of change on the page."""

TAGS, RESULTS, PAGE = "tags.json", "results.json", "tags.html"


@dataclass(frozen=True)
class CleanTagsOptions:
    """Which tags are cleaned, and by what.

    Attributes:
        splits: whose tags are cleaned.
        train_split: in which there are labelled images.
        labelled: a file with the IDs of those whose label maps are used; None: all of the split are.
        quiet: no progress bar.
    """

    splits: tuple[str, ...]
    train_split: str = "train"
    labelled: Path | None = None
    quiet: bool = False


class _Image(NamedTuple):
    """An image, and what is known of the classes in it.

    Attributes:
        tags: those that are given, or if `trusted`, the classes in its label map.
    """

    dataset: Dataset
    split: str
    record: Record
    tags: Tags
    trusted: bool


class _Found(NamedTuple):
    """The images whose tags are used, those that are skipped, and what is worth saying about the rest."""

    images: list[_Image]
    skipped: list[Skipped]
    findings: list[str]

    def classes(self, names: Sequence[str]) -> list[str]:
        """The classes that tags are about: those that some image has, but not one that tags pass over."""
        implied = self.implied()
        there = {name for image in self.images for name in image.tags}
        return [name for name in names if name in there and name not in implied]

    def implied(self) -> tuple[str, ...]:
        """Classes that most label maps show and tags pass over, such as the background."""
        common = common_classes([image.tags for image in self.images if image.trusted])
        return implied_classes(common, [image.tags for image in self.images if not image.trusted])


def clean_tags(root: Path | str, out: Path, options: CleanTagsOptions) -> TagCleaning:
    """Write ``out/tags.json``, ``out/results.json`` and the page ``out/tags.html``.

    ``tags.json`` holds the scores of the classes in each image of the splits, without those that no tag names.
    Labelled images have the classes of their label maps. Nothing is written before the end.

    Raises:
        InvalidInput: before any work, where there is no such split, no tag, or `out` holds such files already.
    """
    root = Path(root)
    _check(root, out, options)
    found = _find(root, options)
    if options.splits == (options.train_split,) and found.images and all(one.trusted for one in found.images):
        raise InvalidInput(
            f"{root}: all images of {options.train_split} count as labelled, and no tags are left to clean: list "
            "those whose label maps are used in a file, and give it by --labelled"
        )
    if not any(image.tags for image in found.images if not image.trusted):
        raise InvalidInput(
            f"{root}: no image of {' or '.join(options.splits)} has a tag: write the classes of images to "
            "tags.json (`segmend tags convert`), or name another split"
        )
    with bar("features", len(found.images), options.quiet) as progress:
        images, features, unreadable = _see(found.images, progress)
    skipped = [*found.skipped, *unreadable]
    if all(image.trusted for image in images):
        raise InvalidInput(
            f"{root}: no image with tags can be read, the first: {skipped[0].file}: {skipped[0].reason}"
        )
    names = found.classes(images[0].dataset.classes.names)
    given = torch.tensor([[image.tags.get(name, 0.0) for name in names] for image in images], dtype=torch.float64)
    trusted = torch.tensor([image.trusted for image in images])
    cleaned = clean(features, given, trusted)
    results = _results(names, options, given, trusted, cleaned, skipped, found.findings)
    removed, added = (1 - cleaned.scores) * (given > 0.5), cleaned.scores * (given <= 0.5)
    shown = [_most_certain(images, names, given, cleaned.scores, certainty) for certainty in (removed, added)]
    write_tags_page(out / PAGE, results, *shown)
    write_results(out / RESULTS, results)
    write_tags(out / TAGS, _tags(options.splits, images, names, cleaned.scores))
    return results


def _check(root: Path, out: Path, options: CleanTagsOptions) -> None:
    check_writable_folder(out)
    for name in (TAGS, RESULTS, PAGE):
        if (out / name).exists():
            raise InvalidFile(out / name, "is there already: choose another folder with --out, or delete it")
    if not (root / "dataset.yaml").is_file():
        raise InvalidFile(root, "expected a data set with a dataset.yaml, whose tags.json holds tags")
    if missing := [split for split in options.splits if split not in splits_of(root)]:
        raise InvalidFile(root, f"no split {missing[0]!r}: there is {', '.join(splits_of(root))}")


def _find(root: Path, options: CleanTagsOptions) -> _Found:
    """Labelled images of the training split, and images of the splits with tags."""
    found = _Found([], [], [])
    labelled: set[str] = set()
    if options.train_split in splits_of(root):
        train = open_dataset(root, options.train_split)
        with_maps = {record.id for record in train if record.labels is not None}
        labelled = with_maps if options.labelled is None else listed_images(options.labelled, train)
        _add(found, train.subset(labelled), options.train_split, trusted=True)
    elif options.labelled is not None:
        raise InvalidFile(root, f"no split {options.train_split!r}: there is {', '.join(splits_of(root))}")
    if not found.images:  # of the training split
        found.findings.append(
            "no labelled image: the rates of noise are estimated from tags alone, and are less exact"
        )
    for split in options.splits:
        dataset = open_dataset(root, split)
        found.findings.extend(dataset.findings)
        if split == options.train_split:
            dataset = dataset.subset({record.id for record in dataset} - labelled)
        _add(found, dataset, split, trusted=False)
    if implied := found.implied():
        found.findings.append(f"most label maps show {named(implied)}, and tags do not name it: not cleaned")
    return found


def _add(found: _Found, dataset: Dataset, split: str, trusted: bool) -> None:
    """Add images with their tags, or where `trusted`, with the classes in their label maps."""
    without = []
    for record in dataset:
        if not trusted and record.tags is None:
            without.append(record.id)
            continue
        try:
            tags = dict.fromkeys(classes_in(dataset, record), 1.0) if trusted else record.tags or {}
        except InvalidFile as error:
            found.skipped.append(Skipped(file=str(error.path), reason=error.reason))
            continue
        found.images.append(_Image(dataset, split, record, tags, trusted))
    if without:
        have = "1 image has" if len(without) == 1 else f"{len(without)} images have"
        found.findings.append(f"{split}: {have} no tags, left out: {named(without)}")


def _see(images: Sequence[_Image], progress: Progress) -> tuple[list[_Image], Tensor, list[Skipped]]:
    """The images that can be read, their features ``[N, K]``, and those that are skipped."""
    device = pick_device()
    network = to_device(ImageNetFeatures(), device)
    kept: list[_Image] = []
    seen: list[ImageFeatures] = []
    skipped: list[Skipped] = []
    for batch in _read(images):
        good = [(image, read) for image, read in batch if not isinstance(read, Skipped)]
        skipped.extend(read for _, read in batch if isinstance(read, Skipped))
        if good:
            with torch.inference_mode():
                pixels, valid = (torch.stack(one).to(device) for one in zip(*(r for _, r in good), strict=True))
                seen.append(ImageFeatures(*(one.float().cpu() for one in network(pixels, valid))))
            kept.extend(image for image, _ in good)
        for _ in batch:
            progress.advance()
    if not kept:
        raise InvalidInput(f"no image can be read, the first: {skipped[0].file}: {skipped[0].reason}")
    parts = [principal_components(torch.cat(part)) for part in zip(*seen, strict=True)]
    return kept, torch.cat(parts, dim=1), skipped


def _read(images: Sequence[_Image]) -> Iterator[list[tuple[_Image, tuple[Tensor, Tensor] | Skipped]]]:
    """Batches of images as the network takes them, each read while the network sees the one before."""

    def read(image: _Image) -> tuple[Tensor, Tensor] | Skipped:
        try:
            return fitted(torch.from_numpy(image.dataset.image(image.record)))
        except (InvalidInput, OSError) as error:
            reason = error.reason if isinstance(error, InvalidFile) else str(error)
            return Skipped(file=str(image.record.image or image.record.id), reason=reason)

    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    with ThreadPoolExecutor(2) as readers:
        coming = readers.map(read, batches[0])
        for batch, following in zip(batches, [*batches[1:], ()], strict=True):
            now, coming = coming, readers.map(read, following)
            yield list(zip(batch, now, strict=True))


def _results(
    names: Sequence[str],
    options: CleanTagsOptions,
    given: Tensor,
    trusted: Tensor,
    cleaned: Cleaned,
    skipped: list[Skipped],
    findings: list[str],
) -> TagCleaning:
    given, scores = given[~trusted], cleaned.scores[~trusted]
    before, after = given > 0.5, scores > 0.5
    wrong = ((1 - scores) * before).sum(0)
    classes = {
        name: ClassTags(
            given=int(before[:, i].sum()),
            cleaned=int(after[:, i].sum()),
            removed=int((before & ~after)[:, i].sum()),
            added=int((after & ~before)[:, i].sum()),
            wrong=float(wrong[i] / before[:, i].sum()) if before[:, i].any() else None,
            wrong_rate=round(float(cleaned.rates.wrong[i]), 5),
        )
        for i, name in enumerate(names)
    }
    return TagCleaning(
        version=__version__,
        splits=list(options.splits),
        images=len(given),
        labelled=int(trusted.sum()),
        drop=cleaned.rates.drop,
        wrong=float(wrong.sum() / before.sum()) if before.any() else 0.0,
        per_class=classes,
        skipped=skipped,
        notes=findings,
    )


def _most_certain(
    images: Sequence[_Image], names: Sequence[str], given: Tensor, scores: Tensor, certainty: Tensor
) -> list[ChangedImage]:
    """The images with the most certain changes of one kind; `certainty` is above 0.5 where a tag changed."""
    order = certainty.amax(1).argsort(descending=True, stable=True).tolist()
    return [
        changed_image(
            images[i].record.id,
            images[i].dataset.image(images[i].record),
            dict(zip(names, given[i].tolist(), strict=True)),
            dict(zip(names, scores[i].tolist(), strict=True)),
        )
        for i in order[:ON_PAGE]
        if float(certainty[i].max()) > 0.5
    ]


def _tags(
    splits: Sequence[str], images: Sequence[_Image], names: Sequence[str], scores: Tensor
) -> dict[str, dict[str, Tags]]:
    tags: dict[str, dict[str, Tags]] = {split: {} for split in splits}
    for image, row in zip(images, scores.tolist(), strict=True):
        if image.split in tags:
            rounded = {name: round(score, 3) for name, score in zip(names, row, strict=True)}
            tags[image.split][image.record.id] = {n: score for n, score in rounded.items() if score >= LEAST}
    return tags
