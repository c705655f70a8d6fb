"""The maps that `predict` and `refine` write: ``OUT/labels/ID.png``, ``OUT/probs/ID.npz``, ``OUT/details``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from segmend import __version__
from segmend.coding import Coding
from segmend.data.dataset import Dataset, Record
from segmend.data.files import InvalidFile, check_writable_folder, exists, fetched
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_arrays, write_probabilities
from segmend.jobs.outputs import INPUTS, check_outputs, hash_of, note_of
from segmend.jobs.pipeline import Outcome
from segmend.labels import VOID_16, Classes, InvalidInput
from segmend.refiners.base import Refinement
from segmend.report.results import FolderLook, Run, holds, write_results
from segmend.tidy import Tidy, tidy

SHARES = ("confidence", "change_confidence", "fusion_mask")
"""Details that are stored as 0..255."""

Kind = Literal["labels", "probs", "details", "tags"]


@dataclass(frozen=True)
class MapFolder:
    """Where a run's maps go, which of them are wanted, and which are there already.

    Attributes:
        made_with: the model, and the options that decide what a map is; part of the note in every file.
        probs: also probability maps.
        details: also what else a refiner gives.
        quantised: probabilities as 0..255 instead of float16.
        overwrite: make again what an earlier run finished.
        coding: how label files store the classes (None: class c as c, with a palette of its colours).
        read_as: how the inputs are read; part of the hash of inputs.
        split: of the data set that the maps are part of: their folders are ``labels/SPLIT`` (None: ``labels``).
        tags: also the scores of the tags, in ``tags/ID.npz``.
        tidy: how label maps are tidied before they are written, with sizes by class; the other files are not.
    """

    out: Path
    classes: Classes
    made_with: str
    probs: bool = False
    details: bool = False
    quantised: bool = False
    overwrite: bool = False
    coding: Coding | None = None
    read_as: str = ""
    split: str | None = None
    tags: bool = False
    tidy: Tidy | None = None

    def path(self, kind: Kind, record: Record) -> Path:
        """A record's file of a kind."""
        return self.folder(kind) / f"{record.id}{'.png' if kind == 'labels' else '.npz'}"

    def folder(self, kind: str) -> Path:
        """Where the files of a kind are."""
        return self.out / kind / (self.split or "")

    def check(self, records: Dataset) -> None:
        """Raise `InvalidFile` unless all files can be written and none of them is anybody else's.

        Before any work, so that no hour of it is lost.
        """
        if self.coding is not None and max(self.coding.ids) > VOID_16:
            raise InvalidInput(
                f"ids up to {max(self.coding.ids)} do not fit the 16 bits of label files: renumber them"
            )
        takes_address = not self.tags  # tags.json, which is added to, is a local file
        for folder in (self.out, *map(self.folder, self._kinds())):
            check_writable_folder(folder, takes_address)
        results = self.out / "results.json"
        if exists(results) and not holds(results, Run):
            raise InvalidFile(
                results, "was not written by refine or predict: choose another output folder (--out)"
            )
        check_outputs(self._outputs(records), (f for r in records for f in (r.image, r.coarse)), self.overwrite)

    def _outputs(self, records: Dataset) -> Iterator[tuple[Path, str]]:
        for kind in self._kinds():
            made_with = self._made_with(kind)
            yield from ((self.path(kind, record), made_with) for record in records)

    def _kinds(self) -> list[Kind]:
        wanted: dict[Kind, bool] = {
            "labels": True,
            "probs": self.probs,
            "details": self.details,
            "tags": self.tags,
        }
        return [kind for kind, is_wanted in wanted.items() if is_wanted]

    def _made_with(self, kind: Kind) -> str:
        text = self.made_with
        if kind == "labels" and self.tidy is not None:
            text += f", tidied by {self.tidy}"
        if kind == "labels" and self.coding is not None:
            text += f", ids {','.join(map(str, self.coding.ids))}"
        return f"{text}, quantised" if kind == "probs" and self.quantised else text

    def _note(self, kind: Kind, inputs: str) -> str:
        return f"{self._made_with(kind)}{INPUTS}{inputs}"

    def inputs_unless_finished(self, record: Record, given: str = "", rest: bool = True) -> str | None:
        """A hash of a record's inputs; None where all that is wanted of it is there, made of the same inputs.

        Args:
            given: what else its maps are made of.
            rest: whether what the caller writes beside the maps is there.
        """
        inputs = hash_of(record.image, record.coarse, text=f"{self.read_as}, turn {record.turn}{given}")
        notes = {self.path(kind, record): self._note(kind, inputs) for kind in self._kinds()}
        is_kept = inputs and rest and not self.overwrite
        return None if is_kept and all(note_of(path) == note for path, note in notes.items()) else inputs

    def tag_scores(self, record: Record) -> np.ndarray | None:
        """The scores of a record's tags, ``float32 [C]``; None where no run of ours wrote them."""
        path = self.path("tags", record)
        if not note_of(path):
            return None
        with fetched(path) as file, np.load(file, allow_pickle=False) as arrays:
            return np.asarray(arrays["scores"])

    def new_maps(self, inputs: str, height: int, width: int) -> Maps:
        """Empty maps of an image, to be filled band by band.

        Args:
            inputs: hash of what they are made of.
        """
        labels = np.empty((height, width), dtype=self.classes.dtype)
        shape = (len(self.classes), height, width)
        return Maps(inputs, labels, np.empty(shape, dtype=np.float16) if self.probs else None)

    def write(self, record: Record, maps: Maps) -> None:
        """Write an image's maps, the label map last: where it exists, all is there."""
        again = exists(self.path("labels", record))
        if maps.probabilities is not None:
            note = self._note("probs", maps.inputs)
            write_probabilities(self.path("probs", record), maps.probabilities, self.quantised, note)
        if maps.tag_scores is not None:
            write_arrays(self.path("tags", record), self._note("tags", maps.inputs), scores=maps.tag_scores)
        if self.details:
            write_arrays(self.path("details", record), self._note("details", maps.inputs), **maps.details)
        labels, palette = maps.labels, self.classes.palette if self.coding is None else None
        if self.tidy is not None:
            labels = tidy(labels, self.tidy, void=(self.classes.void,))
        if self.coding is not None:
            labels = self.coding.encode(labels)
        write_labels(self.path("labels", record), labels, palette, self._note("labels", maps.inputs))
        maps.remade = again

    def finish(
        self,
        command: Literal["predict", "refine"],
        model: str,
        outcome: Outcome,
        look: FolderLook | None = None,
        far_uncertainty: float | None = None,
    ) -> Run:
        """Write ``results.json`` and give back what it says."""
        counts = outcome.counts
        share = counts["changed"] / counts["pixels"] if counts["pixels"] else None
        is_refined = command == "refine"
        run = Run(
            version=__version__,
            command=command,
            model=model,
            classes=list(self.classes.names),
            done=outcome.done,
            kept=outcome.kept,
            remade=counts["remade"],
            seconds={part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
            images_per_second=round(outcome.rate, 3),
            changed=share if is_refined else None,
            filled=counts["filled"] if is_refined else None,
            look=look,
            far_uncertainty=far_uncertainty,
            skipped=outcome.skipped,
        )
        write_results(self.out / "results.json", run)
        return run


@dataclass
class Maps:
    """Maps of one image: labels ``[H, W]``, probabilities ``[C, H, W]`` where wanted, and details.

    Attributes:
        inputs: hash of what they are made of.
        tag_scores: ``float32 [C]``, where wanted.
        changed: pixels whose label was changed.
        filled: void pixels that were filled.
        remade: they replaced files of ours, of other inputs or options.
    """

    inputs: str
    labels: np.ndarray
    probabilities: np.ndarray | None
    details: dict[str, np.ndarray] = field(default_factory=dict)
    tag_scores: np.ndarray | None = None
    changed: int = 0
    filled: int = 0
    remade: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """What is summed over a run."""
        pixels = self.labels.size
        return {"pixels": pixels, "changed": self.changed, "filled": self.filled, "remade": int(self.remade)}

    def fill(self, rows: slice, labels: Tensor, probabilities: Tensor) -> None:
        """Keep a band of rows."""
        self.labels[rows] = labels.cpu().numpy()
        if self.probabilities is not None:
            self.probabilities[:, rows] = probabilities.half().cpu().numpy()

    def fill_details(self, rows: slice, refined: Refinement) -> None:
        """Keep the details of a band: shares as 0..255, displacements as float16."""
        shares = {name: getattr(refined, name) for name in SHARES}
        found = {name: (value * 255).round().byte() for name, value in shares.items() if value is not None}
        found["changed"] = refined.changed
        if refined.displacement is not None:
            found["displacement"] = refined.displacement.half()
        for name, value in found.items():
            band = value.cpu().numpy()
            size = (*band.shape[:-2], *self.labels.shape)
            whole = self.details.setdefault(name, np.empty(size, dtype=band.dtype))
            whole[..., rows, :] = band
