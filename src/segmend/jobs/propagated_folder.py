"""The data set that `propagate` writes: ``images``, ``labels``, ``confidence``, ``details``, and the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmend.data.description import describe, write_description
from segmend.data.files import InvalidFile, atomic_copy, check_writable_folder
from segmend.data.images import write_image
from segmend.data.manifest import MANIFEST, Entry, append_entry, read_manifest
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_arrays
from segmend.jobs.outputs import INPUTS, check_outputs, note_of
from segmend.labels import Classes
from segmend.report.results import Propagation, read_results


@dataclass(frozen=True)
class Made:
    """One image of the data set.

    Attributes:
        inputs: hash of what it is made of.
        image: ``uint8 [H, W, 3]``; None to copy `copied`.
        labels: label map ``[H, W]``.
        confidence: ``uint8 [H, W]``, 255 for 1; None for labels that were given.
        displacement: ``float16 [2, H, W]``, from the nearest labelled frame; None unless it is wanted.
    """

    entry: Entry
    inputs: str
    labels: np.ndarray
    image: np.ndarray | None = None
    copied: Path | None = None
    confidence: np.ndarray | None = None
    displacement: np.ndarray | None = None


@dataclass
class PropagatedFolder:
    """Where the images of a propagated data set go, and which of them are there already.

    Attributes:
        made_with: how labels are propagated; part of the note in every file.
        remade: how many images were made again, in place of files of ours of other inputs or options.
    """

    out: Path
    split: str
    name: str
    classes: Classes
    made_with: str
    overwrite: bool
    remade: int = field(default=0, init=False)
    finished: dict[tuple[str, str], Entry] = field(default_factory=dict, init=False)

    def path(self, kind: str, identity: str, suffix: str = ".png") -> Path:
        """A file of an image."""
        return self.out / kind / self.split / f"{identity}{suffix}"

    def start(self, identities: Iterable[tuple[str, bool]], inputs: Iterable[Path | None]) -> None:
        """Check that all can be written and nothing that is there is anybody else's, then describe the data set.

        Args:
            identities: IDs of all images that may be made, and whether their labels are given.
            inputs: files that must not be replaced.

        Raises:
            InvalidFile: before anything is written.
        """
        for kind in ("images", "labels", "confidence"):
            check_writable_folder(self.out / kind / self.split)
        described = self.out / "dataset.yaml"
        if described.exists():
            if not (self.out / MANIFEST).exists():
                raise InvalidFile(described, "describes a data set that was not propagated: choose another --out")
            if describe(self.out).classes.names != self.classes.names:
                raise InvalidFile(described, "describes a data set of other classes: choose another --out")
        results = self.out / "results.json"
        if results.exists() and not _is_ours(results):
            raise InvalidFile(results, "was not written by propagate: choose another output folder (--out)")
        outputs, images = [], []
        for identity, given in identities:
            outputs.append((self.path("labels", identity), self._made_with(given)))
            if not given:
                outputs.append((self.path("confidence", identity), self._made_with(given)))
            images += [(identity, path) for path in self._images_there(identity)]
        check_outputs(outputs, inputs, self.overwrite)
        for identity, path in images:  # images hold no note: they are ours where labels with one lie beside them
            if not note_of(self.path("labels", identity)):
                check_outputs([(path, self.made_with)], inputs)
        self.finished = read_manifest(self.out)
        write_description(self.out, self.name, self.classes)
        (self.out / MANIFEST).touch()

    def _images_there(self, identity: str) -> list[Path]:
        folder, name = self.path("images", identity).parent, Path(identity).name
        if not folder.is_dir():
            return []
        return [path for path in folder.glob(f"{_escaped(name)}.*") if path.stem == name]

    def _made_with(self, given: bool) -> str:
        return "labels as given" if given else self.made_with

    def _note(self, given: bool, inputs: str) -> str:
        return f"{self._made_with(given)}{INPUTS}{inputs}"

    def is_finished(self, identity: str, inputs: str, given: bool = False) -> bool:
        """Whether an image is there, made of the same inputs in the same way."""
        if self.overwrite or not inputs or (self.split, identity) not in self.finished:
            return False
        return note_of(self.path("labels", identity)) == self._note(given, inputs)

    def write(self, made: Made) -> None:
        """Write an image and all that belongs to it, its labels last but for the manifest."""
        identity = made.entry.id
        note = self._note(made.entry.method == "given", made.inputs)
        labels = self.path("labels", identity)
        again = labels.exists()
        suffix = ".png" if made.copied is None else made.copied.suffix
        for path in self._images_there(identity):
            if path.suffix != suffix:  # of an earlier run; two images of one ID are refused by whoever reads them
                path.unlink()
        if made.copied is not None:
            atomic_copy(made.copied, self.path("images", identity, suffix))
        elif made.image is not None:
            write_image(self.path("images", identity), made.image)
        if made.confidence is not None:
            write_labels(self.path("confidence", identity), made.confidence, note=note)
        if made.displacement is not None:
            write_arrays(self.path("details", identity, ".npz"), note, displacement=made.displacement)
        write_labels(labels, made.labels, self.classes.palette, note)
        append_entry(self.out, made.entry)
        self.remade += again


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def _is_ours(results: Path) -> bool:
    try:
        return isinstance(read_results(results), Propagation)
    except InvalidFile:
        return False
