"""Which images a training with tags learns from: by their label maps, or by their tags."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from segmend.data.dataset import Dataset
from segmend.data.description import named
from segmend.data.files import InvalidFile
from segmend.data.listed import classes_in, listed_images
from segmend.data.tags import Tags, common_classes, implied_classes, read_tags, tags_without_image
from segmend.labels import InvalidInput
from segmend.training.options import DataOptions, logger


class Split(NamedTuple):
    """What is trained on.

    Attributes:
        labelled: the images whose label maps are used.
        tagged: those of which the tags are, which all have some; may be empty.
        common: classes that most label maps show.
    """

    labelled: Dataset
    tagged: list[Dataset]
    common: tuple[str, ...]


def split_by_labels(
    options: DataOptions,
    listed: Path | None = None,
    splits: Sequence[str] | None = None,
    tags_file: Path | None = None,
    needs_tags: bool = True,
) -> Split:
    """The images whose label maps are used, and those of which the tags are.

    What is left out, assumed, and what contradicts is reported.

    Args:
        options: the data; label maps are of its training split.
        listed: a file with the IDs of the images whose label maps are used; None: all are. Other images of the
            split have the tags of ``tags.json``, or those that their label maps show.
        splits: further ones with tags; None: those in ``tags.json`` that have no label maps.
        tags_file: another file than the data set's ``tags.json``.
        needs_tags: otherwise no tagged images are looked for.

    Raises:
        InvalidInput: no labelled image, a list with IDs that the split does not have, or tags that cannot be read.
    """
    everything = options.open(options.train)
    _report(everything.findings)
    with_maps = {record.id for record in everything if record.labels is not None}
    wanted = with_maps if listed is None else listed_images(listed, everything)
    whole = everything if options.leave_out is None else everything.fold(*options.leave_out)[0]
    labelled = whole.subset(wanted)
    if not len(labelled):
        split = f" of {options.train}" if options.train else ""
        raise InvalidInput(f"{options.root}: no image{split} that is trained on has a label map")
    shown = shown_classes(labelled)
    common = common_classes(list(shown.values()))
    if not needs_tags:
        return Split(labelled, [], common)
    others = whole.subset({record.id for record in whole} - wanted)
    given = _with_given_tags(options, everything, others, splits, tags_file)
    present = [record.tags for one in (labelled, *given) for record in one if record.tags is not None]
    implied = implied_classes(common, present)
    if implied:
        _report([f"{labelled.name}: every tagged image is taken to hold {named(implied)}, which tags do not name"])
    _report(contradictions(labelled, shown, implied))
    tagged = [one for one in (with_tags_of_labels(one, implied) for one in given) if len(one)]
    if not tagged:
        _report(
            [
                f"warning: {options.root}: no image has tags, so label maps alone are trained on: write the "
                "classes of images to tags.json, or give a list of the images to be `labelled`"
            ]
        )
    return Split(labelled, tagged, common)


def _with_given_tags(
    options: DataOptions,
    everything: Dataset,
    others: Dataset,
    splits: Sequence[str] | None,
    tags_file: Path | None,
) -> list[Dataset]:
    """The other images of the training split, and those of further splits, with the given tags."""
    if splits and not (options.root / "dataset.yaml").is_file():
        raise InvalidFile(options.root, "it has no splits for `tagged`: expected a data set with a dataset.yaml")
    path = tags_file or options.root / "tags.json"
    tags = read_tags(path, everything.classes, missing_ok=tags_file is None)
    if splits is None:
        splits = _tagged_splits(options, tags, path)
    further = [options.open(split) for split in splits]
    for one in further:
        _report(one.findings)
    given = [others, *further]
    if tags_file is None:
        return given
    names = (options.train or "", *splits)
    for one, name in zip((everything, *further), names, strict=True):
        _report(tags_without_image(path, tags, name, {record.id for record in one}))
    return [with_tags(one, tags.get(name, {})) for one, name in zip(given, names, strict=True)]


def _tagged_splits(options: DataOptions, tags: Collection[str], path: Path) -> list[str]:
    """The splits with tags and without label maps, which are reported, and so are those that are not there."""
    gone = [split for split in tags if split and not (options.root / "images" / split).is_dir()]
    if gone:
        what = "a split that is" if len(gone) == 1 else "splits that are"
        _report([f"warning: {path} has tags of {what} not in {options.root / 'images'}: {named(gone)}"])
    found = [
        split
        for split in tags
        if split != options.train
        and (options.root / "images" / split).is_dir()
        and not (options.root / "labels" / split).is_dir()
    ]
    if found:
        _report([f"{options.root}: trained on tags of {', '.join(found)}"])
    return found


def with_tags(dataset: Dataset, tags: Mapping[str, Tags]) -> Dataset:
    """The same images with other tags, by ID; those that are not listed keep their own."""
    records = (dataclasses.replace(record, tags=tags.get(record.id, record.tags)) for record in dataset)
    return dataclasses.replace(dataset, records=tuple(records))


def with_tags_of_labels(dataset: Dataset, implied: Collection[str] = ()) -> Dataset:
    """The same images; those without tags get the classes of their label maps as tags, the others `implied` ones.

    Images with neither are left out, and so are those whose label map cannot be read; both are reported.
    """
    records, neither, unreadable = [], [], []
    for record in dataset:
        if record.tags is None and record.labels is None:
            neither.append(record.id)
            continue
        try:
            tags = dict.fromkeys(implied, 1.0) | dict(record.tags or {})
            if record.tags is None:
                tags = dict.fromkeys(classes_in(dataset, record), 1.0)
        except InvalidFile as error:
            unreadable.append(str(error))
            continue
        records.append(dataclasses.replace(record, tags=tags))
    if neither:
        have = "1 image has" if len(neither) == 1 else f"{len(neither)} images have"
        _report([f"{dataset.name}: {have} neither tags nor a label map, left out: {named(neither)}"])
    _report([f"warning: left out, as there are no tags beside it: {message}" for message in unreadable])
    return dataclasses.replace(dataset, records=tuple(records))


def shown_classes(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """The classes in each label map, by ID; those that cannot be read are left out, as training lists them."""
    found = {}
    for record in dataset:
        with suppress(InvalidFile):
            found[record.id] = classes_in(dataset, record)
    return found


def contradictions(
    dataset: Dataset, shown: Mapping[str, Collection[str]], implied: Collection[str] = ()
) -> list[str]:
    """A warning about images whose tags are not the classes of their label maps, which are used.

    Args:
        shown: of `shown_classes`.
        implied: classes about which tags say nothing.
    """
    found = []
    for record in dataset:
        if record.tags is None or record.id not in shown:
            continue
        present = set(shown[record.id]) - set(implied)
        tags = {name for name, score in record.tags.items() if score > 0.5}
        if tags != present:
            texts = (", ".join(sorted(names)) or "none" for names in (tags, present))
            found.append("{} (tags: {}; label map: {})".format(record.id, *texts))
    if not found:
        return []
    have = "1 labelled image has" if len(found) == 1 else f"{len(found)} labelled images have"
    return [f"warning: {have} other tags than classes in the label map, which is used: {named(found)}"]


def _report(findings: Iterable[str]) -> None:
    for finding in findings:
        logger.info(finding)
