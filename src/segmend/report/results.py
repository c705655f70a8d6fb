"""The one schema of ``results.json``: what a run did, and how good label maps are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from segmend.data.files import InvalidFile, read_json, write_json

SCHEMA = 1
"""Version of the schema; a file with a higher one is refused."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Skipped(_Strict):
    """An input that was skipped, and why."""

    file: str
    reason: str


class Run(_Strict):
    """What ``predict`` or ``refine`` did over a folder.

    Attributes:
        seconds: wall time by part: ``read``, ``network``, ``write`` (they overlap), and ``total``.
        remade: images of `done` that replaced files which an earlier run had made of other inputs or options.
        changed: share of the pixels refined by this call whose label changed; None where it refined none.
        filled: void pixels that this call of ``refine`` filled.
    """

    kind: Literal["run"] = "run"
    schema_version: int = SCHEMA
    version: str
    command: Literal["predict", "refine"]
    model: str
    classes: list[str]
    done: int
    kept: int = 0
    remade: int = 0
    seconds: dict[str, float]
    images_per_second: float
    changed: float | None = None
    filled: int | None = None
    skipped: list[Skipped] = []


class Scores(_Strict):
    """How well label maps agree with the truth, over all images. All values are in 0..1.

    Attributes:
        iou: by class name; None where a class is in neither truth nor prediction.
        f_measure: by class, and by group of classes.
        trimap: mIoU inside bands of 1, 2, ... pixels around the label borders of the truth.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    boundary_iou: float
    boundary_f: float
    region_j: float
    iou: dict[str, float | None]
    f_measure: dict[str, float | None]
    trimap: list[float]


class Bin(_Strict):
    """Pixels of about the same confidence: how many, their mean confidence, and the share that is right."""

    pixels: int
    confidence: float
    right: float


class Threshold(_Strict):
    """What comes out where changes less sure than `below` are undone: the coarse label stays."""

    below: float
    mean_iou: float
    degraded: float


class Confidence(_Strict):
    """How far a refiner's confidence can be believed.

    Attributes:
        calibration_error: expected calibration error (0..1).
        reliability: bins of rising confidence that hold pixels.
        keeping: rising thresholds, the first 0.5: nothing is undone.
    """

    calibration_error: float
    reliability: list[Bin]
    thresholds: list[Threshold]

    @property
    def best(self) -> Threshold:
        """The threshold with the highest mIoU; of equal ones the highest."""
        return max(self.thresholds, key=lambda one: (one.mean_iou, one.below))


class ImageScore(_Strict):
    """One image's own mIoU, before (None without coarse maps) and after."""

    id: str
    coarse: float | None
    pred: float


class Evaluation(_Strict):
    """What ``evaluate`` found. Folders are as given, relative to ``results.json`` where they lie beside it.

    Attributes:
        scored: the classes that means over classes are taken over.
        merge: where finer true classes were joined, what each new class stands for.
        improved, degraded: share of images whose own mIoU rose or fell by more than 0.5 points.
        confidence: None without the coarse maps of the run, or where it wrote no details of some image.
        run: the `Run` that wrote the predictions, where its ``results.json`` was found.
    """

    kind: Literal["evaluation"] = "evaluation"
    schema_version: int = SCHEMA
    version: str
    classes: list[str]
    palette: list[tuple[int, int, int]]
    truth: str
    pred: str
    coarse: str | None = None
    images: str | None = None
    scored: list[str] = []
    merge: dict[str, tuple[str, ...]] = {}
    scores: Scores
    coarse_scores: Scores | None = None
    improved: float | None = None
    degraded: float | None = None
    confidence: Confidence | None = None
    per_image: list[ImageScore]
    run: Run | None = None
    skipped: list[Skipped] = []


Results = Run | Evaluation
_ANY: TypeAdapter[Results] = TypeAdapter(Annotated[Results, Field(discriminator="kind")])


def write_results(path: Path | str, results: Results) -> None:
    """Write ``results.json``."""
    write_json(path, results.model_dump(mode="json"))


def read_results(path: Path | str) -> Results:
    """Read ``results.json``.

    Raises:
        InvalidFile: not there, not JSON, another schema, or a newer version of it.
    """
    content = read_json(path)
    if isinstance(content, dict) and content.get("schema_version", SCHEMA) > SCHEMA:
        raise InvalidFile(path, "written by a newer version of segmend: upgrade to read it")
    try:
        return _ANY.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidFile(path, f"not a results file of segmend: {where}: {first['msg']}") from None
