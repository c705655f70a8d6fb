"""Tags around a prediction: those that are given with ``--tags``, and ``OUT/tags.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmend.data.dataset import Dataset
from segmend.data.description import named
from segmend.data.files import InvalidFile, read_json, write_json
from segmend.data.tags import Tags, implied_classes, read_tags, read_tags_of, write_tags
from segmend.dual.prediction import LEAST_SCORE
from segmend.jobs.maps import MapFolder
from segmend.labels import InvalidInput
from segmend.models import check_dual

DIGITS = 4
"""Decimals of predicted scores in ``tags.json``."""


@dataclass(frozen=True)
class GivenTags:
    """Tags that a user gives, by the ID of the image, and sentences about them."""

    of: Mapping[str, Tags] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def open_tags(path: Path, images: Dataset, model: Path | str) -> GivenTags:
    """The tags of images in a ``tags.json`` (see `read_tags_of`); its split is named like their folder.

    Raises:
        InvalidInput: the model takes no tags, or no image has any.
        InvalidFile: not such a file, or a tag that is no class of the model.
    """
    classes, common = check_dual(model, "--tags")
    folder = folder_of(images)
    given = read_tags_of(path, folder.name, classes)
    ids = [record.id for record in images]
    without = [identity for identity in ids if identity not in given]
    if without == ids:
        example = f"its tags are of {named(list(given))}" if given else "it has none"
        raise InvalidInput(f"{path}: expected tags of images in {folder}, such as {ids[0]}; {example}")
    findings = []
    if without:
        have = "1 image has" if len(without) == 1 else f"{len(without)} images have"
        findings.append(f"{path}: {have} no tags, predicted without: {named(without)}")
    if missing := sorted(given.keys() - set(ids)):
        what = "an image that is" if len(missing) == 1 else f"{len(missing)} images that are"
        findings.append(f"warning: {path} has tags of {what} not in {folder}: {named(missing)}")
    of = {identity: given[identity] for identity in ids if identity in given}
    if implied := implied_classes(common, of.values()):
        findings.append(f"{path}: every tagged image is taken to hold {named(implied)}, which tags do not name")
    return GivenTags(of, tuple(findings))


def folder_of(images: Dataset) -> Path:
    """The folder below which all images lie; its name is that of the split in a data set.

    Raises:
        InvalidInput: there are no images.
    """
    if not images.records:
        raise InvalidInput(f"{images.name}: expected images, found none")
    first = images.records[0]
    assert first.image is not None
    return first.image.parents[first.id.count("/")].resolve()


@dataclass(frozen=True)
class TagsFile:
    """``OUT/tags.json``: ``{SPLIT: {ID: {class: score}}}`` of the predicted images.

    The split is that of the data set that is written, or else named like the folder of the images. So
    ``segmend predict --tags OUT/tags.json`` takes the tags for the same images again. Images of earlier runs keep
    their tags, as they keep their maps. A file that was edited is not replaced.

    The scores are the network's; between `LEAST_SCORE` and 1 - `LEAST_SCORE`, so that they are never taken for
    tags without scores. Tags that were given stand as they were given: they had their part in the map, and a score
    that joins them with the network's would count them twice.

    Attributes:
        passed_over: classes that are left out, such as the background: who reads tags implies them (see
            `segmend.data.tags.implied_classes`).
    """

    folder: MapFolder
    split: str
    passed_over: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder.out / "tags.json"

    def check(self) -> None:
        """Raise `InvalidFile` where the file is there and is not ours, or was edited since."""
        if self.path.exists() and self._digest_of_file() not in self._written():
            raise InvalidFile(
                self.path,
                "was not written by predict, or was edited since: move it (--tags reads it), or choose another "
                "output folder (--out)",
            )

    @property
    def _digests(self) -> Path:
        return self.folder.out / "tags" / "written.json"

    def _written(self) -> list[str]:
        """Digests of what we wrote last, and before."""
        found = read_json(self._digests) if self._digests.is_file() else []
        return found if isinstance(found, list) else []

    def _digest_of_file(self) -> str:
        with suppress(InvalidFile):
            return _digest(read_tags(self.path, self.folder.classes, missing_ok=True))
        return ""

    def write(self, images: Dataset, given: Mapping[str, Tags]) -> None:
        """Write the tags of all images that have maps."""
        found: dict[str, Tags] = {}
        for record in images:
            scores = self.folder.tag_scores(record)
            if scores is not None:
                found[record.id] = given[record.id] if record.id in given else self._predicted(scores)
        earlier = read_tags(self.path, self.folder.classes, missing_ok=True)
        tags = {**earlier, self.split: {**earlier.get(self.split, {}), **found}}
        # First, and beside the digest of the file that is there: whichever of the two is there in the end is ours.
        write_json(self._digests, [*self._written()[-1:], _digest(tags)])
        write_tags(self.path, tags)

    def _predicted(self, scores: np.ndarray) -> Tags:
        clipped = scores.astype(np.float64).clip(LEAST_SCORE, 1 - LEAST_SCORE).round(DIGITS).tolist()
        named_ones = zip(self.folder.classes.names, clipped, strict=True)
        return {name: score for name, score in named_ones if name not in self.passed_over}


def _digest(tags: Mapping[str, Mapping[str, Tags]]) -> str:
    return hashlib.blake2b(json.dumps(tags, sort_keys=True).encode(), digest_size=8).hexdigest()
