"""The maps that `predict` and `refine` write: ``OUT/labels/ID.png``, ``OUT/probs/ID.npz``, ``OUT/details``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from segmend import __version__
from segmend.data.dataset import Record
from segmend.data.files import write_arrays, write_labels, write_probabilities
from segmend.jobs.pipeline import Outcome
from segmend.labels import Classes
from segmend.refiners.base import Mended
from segmend.report.results import Run, write_results

SHARES = ("confidence", "change_confidence", "fusion_mask")
"""What is stored as 0..255."""


@dataclass(frozen=True)
class MapFolder:
    """Where a run's maps go, and which of them are wanted.

    Attributes:
        probs: also probability maps.
        details: also what a refiner can show.
        quantised: probabilities as 0..255 instead of float16.
        overwrite: make again what an earlier run finished.
        ids: what stands in label files for each class, ``uint8 [C]`` (None: its own id, and its colour).
    """

    out: Path
    classes: Classes
    probs: bool = False
    details: bool = False
    quantised: bool = False
    overwrite: bool = False
    ids: np.ndarray | None = None

    def path(self, kind: str, record: Record) -> Path:
        """File of a record's ``labels``, ``probs`` or ``details``."""
        return self.out / kind / f"{record.id}{'.png' if kind == 'labels' else '.npz'}"

    def is_finished(self, record: Record) -> bool:
        """Whether all that is wanted is there already, and may be kept."""
        kinds = ["labels"] + ["probs"] * self.probs + ["details"] * self.details
        return not self.overwrite and all(self.path(kind, record).is_file() for kind in kinds)

    def new_maps(self, height: int, width: int) -> Maps:
        """Empty maps of a picture, to be filled band by band."""
        labels = np.empty((height, width), dtype=self.classes.dtype)
        shape = (len(self.classes), height, width)
        return Maps(labels, np.empty(shape, dtype=np.float16) if self.probs else None)

    def write(self, record: Record, maps: Maps) -> None:
        """Write a picture's maps, the label map last: where it exists, all is there."""
        if maps.probabilities is not None:
            write_probabilities(self.path("probs", record), maps.probabilities, self.quantised)
        if self.details:
            write_arrays(self.path("details", record), **maps.details)
        if self.ids is None:
            write_labels(self.path("labels", record), maps.labels, self.classes.palette)
        else:
            write_labels(self.path("labels", record), self.ids[maps.labels])

    def finish(
        self,
        command: Literal["predict", "refine"],
        model: str,
        outcome: Outcome,
        changed: float | None = None,
    ) -> Run:
        """Write ``results.json`` and give back what it says."""
        run = Run(
            version=__version__,
            command=command,
            model=model,
            classes=list(self.classes.names),
            done=outcome.done,
            kept=outcome.kept,
            seconds={part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
            pictures_per_second=round(outcome.rate, 3),
            changed=changed,
            skipped=outcome.skipped,
        )
        write_results(self.out / "results.json", run)
        return run


@dataclass
class Maps:
    """Maps of one picture: labels ``[H, W]``, probabilities ``[C, H, W]`` where wanted, and details."""

    labels: np.ndarray
    probabilities: np.ndarray | None
    details: dict[str, np.ndarray] = field(default_factory=dict)

    def fill(self, rows: slice, labels: Tensor, probabilities: Tensor) -> None:
        """Keep a band of rows."""
        self.labels[rows] = labels.cpu().numpy()
        if self.probabilities is not None:
            self.probabilities[:, rows] = probabilities.half().cpu().numpy()

    def fill_details(self, rows: slice, mended: Mended) -> None:
        """Keep what a refiner shows of a band: shares as 0..255, displacements as float16."""
        shares = {name: getattr(mended, name) for name in SHARES}
        shown = {name: (value * 255).round().byte() for name, value in shares.items() if value is not None}
        shown["changed"] = mended.changed
        if mended.displacement is not None:
            shown["displacement"] = mended.displacement.half()
        for name, value in shown.items():
            band = value.cpu().numpy()
            size = (*band.shape[:-2], *self.labels.shape)
            whole = self.details.setdefault(name, np.empty(size, dtype=band.dtype))
            whole[..., rows, :] = band
