"""The data set that `propagate` writes: ``images``, ``labels``, ``confidence``, ``details``, and the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmend.data.description import describe, write_description
from segmend.data.files import InvalidFile, atomic_copy, check_writable_folder
from segmend.data.images import write_image
from segmend.data.manifest import MANIFEST, Entry, append_entry, read_manifest, write_manifest
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_arrays
from segmend.jobs.labelled_video import LabelledVideo
from segmend.jobs.outputs import INPUTS, check_outputs, note_of
from segmend.jobs.propagation_plan import Plan, Target
from segmend.labels import Classes
from segmend.report.results import Propagation, holds

KINDS = ("images", "labels", "confidence", "details")
GIVEN = "labels as given"
"""How the labels of labelled frames are made, in the note of their file."""


@dataclass(frozen=True)
class Made:
    """One image of the data set.

    Attributes:
        inputs: hash of what it is made of.
        labels: label map ``[H, W]``.
        image: ``uint8 [H, W, 3]``, or a file to copy.
        confidence: ``uint8 [H, W]``, 255 for 1; None for labels that were given.
        displacement: ``float16 [2, H, W]``, from the nearest labelled frame; None unless it is wanted.
    """

    entry: Entry
    inputs: str
    labels: np.ndarray
    image: np.ndarray | Path
    confidence: np.ndarray | None = None
    displacement: np.ndarray | None = None


@dataclass
class PropagatedFolder:
    """Where the images of a propagated data set go, and which of them are there already.

    Attributes:
        made_with: how labels are propagated; part of the note in every file.
        details: whether displacements are wanted.
        remade: how many images were made again, in place of files of ours of other inputs or options.
    """

    out: Path
    split: str
    name: str
    classes: Classes
    made_with: str
    details: bool = False
    overwrite: bool = False
    remade: int = field(default=0, init=False)
    _finished: dict[str, Entry] = field(default_factory=dict, init=False)

    def path(self, kind: str, identity: str, suffix: str = ".png") -> Path:
        """A file of an image."""
        return self.out / kind / self.split / f"{identity}{suffix}"

    def entries(self) -> dict[str, Entry]:
        """The entries of the manifest for this split by ID."""
        return {
            identity: entry for (split, identity), entry in read_manifest(self.out).items() if split == self.split
        }

    def start(self, plan: Plan) -> None:
        """Check that all can be written and nothing that is there is anybody else's, then describe the data set.

        Raises:
            InvalidFile: before anything is written.
        """
        self._check_place(plan.video)
        for kind in KINDS[: 3 + self.details]:
            check_writable_folder(self.out / kind / self.split)
        described = self.out / "dataset.yaml"
        self._finished = self.entries()
        if described.exists():
            if not (self.out / MANIFEST).exists():
                raise InvalidFile(described, "describes a data set that was not propagated: choose another --out")
            if self._finished and describe(self.out).classes.names != self.classes.names:
                raise InvalidFile(described, "describes a data set of other classes: choose another --out")
        results = self.out / "results.json"
        if results.exists() and not holds(results, Propagation):
            raise InvalidFile(results, "was not written by propagate: choose another output folder (--out)")
        self._check_files(plan)
        write_description(self.out, self.name, self.classes)
        (self.out / MANIFEST).touch()

    def _check_place(self, video: LabelledVideo) -> None:
        """Raise `InvalidFile` where our files would be among those that are read, or in somebody's data set."""
        out = self.out.resolve()
        opened = (video.frames_from.resolve(), video.labels_from.resolve())
        for folder in filter(Path.is_dir, opened):
            for kind in KINDS:
                written = out / kind / self.split
                if written.is_relative_to(folder) or folder.is_relative_to(written):
                    raise InvalidFile(
                        self.out,
                        f"its {kind} would lie among the files of {folder}, which is read: choose an output "
                        "folder (--out) outside",
                    )
        for above in out.parents:
            inside = out.relative_to(above).parts[0]
            if inside in (*KINDS, "probs", "blobs") and (above / "dataset.yaml").is_file():
                raise InvalidFile(
                    self.out, f"lies in {inside} of the data set {above}: choose an output folder (--out) outside"
                )

    def _check_files(self, plan: Plan) -> None:
        """Raise `InvalidFile` unless the files of all images can be written."""
        files = list(plan.files())
        outputs: list[tuple[Path, str]] = []
        images = []
        for target in plan.targets():
            labels = self.path("labels", target.id)
            made_with = self._made_with(target)
            if _made_with(note_of(labels)) in (GIVEN, self.made_with):
                made_with = _made_with(note_of(labels))  # a frame may have been labelled, or its labels taken away
            outputs.append((labels, made_with))
            if not target.is_given:
                outputs.append((self.path("confidence", target.id), self.made_with))
                outputs += [(self.path("details", target.id, ".npz"), self.made_with)] * self.details
            if not note_of(labels) and target.id not in self._finished:
                images += self._images_there(target.id)
        check_outputs(outputs, files, self.overwrite)
        # Images hold no note: they are ours where labels with one lie beside them, or the manifest has them. Both
        # come first.
        check_outputs([(path, self.made_with) for path in images], files)

    def _images_there(self, identity: str) -> list[Path]:
        folder, name = self.path("images", identity).parent, Path(identity).name
        if not folder.is_dir():
            return []
        return [path for path in folder.glob(f"{_escaped(name)}.*") if path.stem == name]

    def _made_with(self, target: Target) -> str:
        return GIVEN if target.is_given else self.made_with

    def is_finished(self, target: Target, inputs: str) -> bool:
        """Whether all that is wanted of an image is there, made of the same inputs in the same way."""
        if self.overwrite or target.id not in self._finished:
            return False
        noted = [self.path("labels", target.id)]
        if not target.is_given:
            noted.append(self.path("confidence", target.id))
            noted += [self.path("details", target.id, ".npz")] * self.details
        note = f"{self._made_with(target)}{INPUTS}{inputs}"
        return all(note_of(path) == note for path in noted) and len(self._images_there(target.id)) == 1

    def write(self, made: Made) -> None:
        """Write an image and all that belongs to it.

        The image comes last and an earlier one goes first: where there is an image, all is there and fits it.
        Labels come before it, as their note says that the image is ours.
        """
        identity = made.entry.id
        note = f"{GIVEN if made.confidence is None else self.made_with}{INPUTS}{made.inputs}"
        labels, confidence = self.path("labels", identity), self.path("confidence", identity)
        details = self.path("details", identity, ".npz")
        again = labels.exists()
        for path in self._images_there(identity):
            path.unlink()
        write_labels(labels, made.labels, self.classes.palette, note)
        if made.confidence is not None:
            write_labels(confidence, made.confidence, note=note)
        elif note_of(confidence):
            confidence.unlink()
        if made.displacement is not None:
            write_arrays(details, note, displacement=made.displacement)
        elif note_of(details):
            details.unlink()
        append_entry(self.out, made.entry)
        if isinstance(made.image, Path):
            atomic_copy(made.image, self.path("images", identity, made.image.suffix))
        else:
            write_image(self.path("images", identity), made.image)
        self.remade += again

    def discard(self, identities: Iterable[str]) -> int:
        """Remove images of earlier runs that cannot be made any more of what there is now; gives their number."""
        stale = self._finished.keys() & set(identities)
        for identity in stale:
            for path in (*self._images_there(identity), self.path("labels", identity)):
                path.unlink(missing_ok=True)
            for path in (self.path("confidence", identity), self.path("details", identity, ".npz")):
                if note_of(path):
                    path.unlink()
        if stale:
            entries = read_manifest(self.out).values()
            write_manifest(self.out, (e for e in entries if e.split != self.split or e.id not in stale))
        return len(stale)


def _made_with(note: str) -> str:
    return note.rpartition(INPUTS)[0]


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)
