"""The maps that `predict` and `refine` write: ``OUT/labels/ID.png``, ``OUT/probs/ID.npz``, ``OUT/details``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from segmend import __version__
from segmend.data.dataset import Record
from segmend.data.masks import note_in, write_labels
from segmend.data.probabilities import write_arrays, write_probabilities
from segmend.jobs.pipeline import Outcome
from segmend.labels import Classes, InvalidInput
from segmend.refiners.base import Refinement
from segmend.report.results import Run, write_results

SHARES = ("confidence", "change_confidence", "fusion_mask")
"""What is stored as 0..255."""


def fingerprint(model: object) -> str:
    """What tells two models apart: a hash of class, plain attributes and weights."""
    plain = (str, int, float, tuple, type(None))
    public = {
        n: v for n, v in getattr(model, "__dict__", {}).items() if isinstance(v, plain) and not n.startswith("_")
    }
    public.pop("training", None)
    found = hashlib.sha256(repr((type(model).__name__, sorted(public.items()))).encode())
    if isinstance(model, nn.Module):
        for name, values in model.state_dict().items():
            found.update(name.encode())
            found.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def is_current(labels: Path, record: Record, made_with: str) -> bool:
    """Whether a label file that is there is newer than the image and the coarse map that it was made of.

    Args:
        made_with: what `write_labels` notes in it now.

    Raises:
        InvalidInput: it was made with something else.
    """
    found = note_in(labels)
    if found not in ("", made_with):
        raise InvalidInput(
            f"{labels}: is there already, and was made with other weights or options ({found}; now "
            f"{made_with}): choose another folder, or --overwrite"
        )
    sources = [file for file in (record.image, record.coarse) if file is not None and file.is_file()]
    return labels.stat().st_mtime >= max((file.stat().st_mtime for file in sources), default=0)


@dataclass(frozen=True)
class MapFolder:
    """Where a run's maps go, and which of them are wanted.

    Attributes:
        probs: also probability maps.
        details: also what a refiner can show.
        quantised: probabilities as 0..255 instead of float16.
        overwrite: make again what an earlier run finished.
        made_with: the model and the options that decide what a map is; noted in every label file.
        ids: what stands in label files for each class, ``uint8 [C]`` (None: its own id, and its colour).
    """

    out: Path
    classes: Classes
    probs: bool = False
    details: bool = False
    quantised: bool = False
    overwrite: bool = False
    made_with: str = ""
    ids: np.ndarray | None = None

    def path(self, kind: str, record: Record) -> Path:
        """File of a record's ``labels``, ``probs`` or ``details``."""
        return self.out / kind / f"{record.id}{'.png' if kind == 'labels' else '.npz'}"

    def is_finished(self, record: Record) -> bool:
        """Whether all that is wanted is there already, and right (see `is_current`)."""
        kinds = ["labels"] + ["probs"] * self.probs + ["details"] * self.details
        there = all(self.path(kind, record).is_file() for kind in kinds)
        return not self.overwrite and there and is_current(self.path("labels", record), record, self.made_with)

    def new_maps(self, height: int, width: int) -> Maps:
        """Empty maps of an image, to be filled band by band."""
        labels = np.empty((height, width), dtype=self.classes.dtype)
        shape = (len(self.classes), height, width)
        return Maps(labels, np.empty(shape, dtype=np.float16) if self.probs else None)

    def write(self, record: Record, maps: Maps) -> None:
        """Write an image's maps, the label map last: where it exists, all is there."""
        if maps.probabilities is not None:
            write_probabilities(self.path("probs", record), maps.probabilities, self.quantised)
        if self.details:
            write_arrays(self.path("details", record), **maps.details)
        if self.ids is None:
            write_labels(self.path("labels", record), maps.labels, self.classes.palette, self.made_with)
        else:
            write_labels(self.path("labels", record), self.ids[maps.labels], note=self.made_with)

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
            images_per_second=round(outcome.rate, 3),
            changed=changed,
            skipped=outcome.skipped,
        )
        write_results(self.out / "results.json", run)
        return run


@dataclass
class Maps:
    """Maps of one image: labels ``[H, W]``, probabilities ``[C, H, W]`` where wanted, and details."""

    labels: np.ndarray
    probabilities: np.ndarray | None
    details: dict[str, np.ndarray] = field(default_factory=dict)

    def fill(self, rows: slice, labels: Tensor, probabilities: Tensor) -> None:
        """Keep a band of rows."""
        self.labels[rows] = labels.cpu().numpy()
        if self.probabilities is not None:
            self.probabilities[:, rows] = probabilities.half().cpu().numpy()

    def fill_details(self, rows: slice, refined: Refinement) -> None:
        """Keep what a refiner shows of a band: shares as 0..255, displacements as float16."""
        shares = {name: getattr(refined, name) for name in SHARES}
        shown = {name: (value * 255).round().byte() for name, value in shares.items() if value is not None}
        shown["changed"] = refined.changed
        if refined.displacement is not None:
            shown["displacement"] = refined.displacement.half()
        for name, value in shown.items():
            band = value.cpu().numpy()
            size = (*band.shape[:-2], *self.labels.shape)
            whole = self.details.setdefault(name, np.empty(size, dtype=band.dtype))
            whole[..., rows, :] = band
