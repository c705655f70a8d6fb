"""The one schema of ``results.json``: what a run did, and how good label maps are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from segmend.data.files import InvalidFile, check_writable_file, read_json, write_json

SCHEMA = 1
"""Version of the schema; a file with a higher one is refused."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Shown(_Strict):
    """Results that show their main figures in a notebook."""

    def _repr_html_(self) -> str:
        from segmend.report.notebook import html_of  # which reads these classes

        return html_of(self)  # type: ignore[arg-type]


class Skipped(_Strict):
    """An input that was skipped, and why."""

    file: str
    reason: str


class MeasuredOffset(_Strict):
    """How far borders lie from the edges of their images, in pixels (see `segmend.borders.Offset`).

    Attributes:
        pixels: positive where masks are too small.
        low, high: the 95 % interval.
        is_evident: whether it is clear of what exact masks have.
        curve: edge strength by the distances of `MeasuredBorders`.
    """

    pixels: float
    low: float
    high: float
    is_evident: bool
    curve: list[float]


class MeasuredBorders(_Strict):
    """What the images of a folder show of the borders of its masks.

    Attributes:
        images: of how many images borders were measured.
        largest: the class with most pixels.
        distances: signed distances in pixels of the curves, positive outside of a class.
        offset: of the borders of all classes with the largest one; None where there are none.
        on_border, border_error_px, are_of_other_images: see `segmend.borders.Precision`.
    """

    images: int
    largest: str
    distances: list[float]
    offset: MeasuredOffset | None
    on_border: float
    border_error_px: float
    are_of_other_images: bool


class FolderLook(_Strict):
    """What ``refine`` saw of a folder of masks before it refined them.

    Attributes:
        moved: how borders were moved first, in words; empty where neither an offset nor a shift was evident.
        is_left: whether the network would have changed so little that it changed nothing.
    """

    borders: MeasuredBorders
    moved: str = ""
    is_left: bool


class Run(_Shown):
    """What ``predict``, ``refine`` or ``tidy`` did over a folder.

    Attributes:
        seconds: wall time by part: ``read``, ``network``, ``write`` (they overlap), and ``total``.
        remade: images of `done` that replaced files which an earlier run had made of other inputs or options.
        changed: share of the pixels refined or tidied by this call whose label changed; None without any.
        filled: void pixels that this call of ``refine`` filled.
        look: what ``refine`` saw of the folder first; None for probabilities, and refiners that do not look.
        far_uncertainty: mean uncertainty (0..1) of some probability maps far from their borders; None for masks.
    """

    kind: Literal["run"] = "run"
    schema_version: int = SCHEMA
    version: str
    command: Literal["predict", "refine", "tidy"]
    model: str
    classes: list[str]
    done: int
    kept: int = 0
    remade: int = 0
    seconds: dict[str, float]
    images_per_second: float
    changed: float | None = None
    filled: int | None = None
    look: FolderLook | None = None
    far_uncertainty: float | None = None
    skipped: list[Skipped] = []


class ObjectRun(_Strict):
    """What ``refine`` did over a file of objects.

    Attributes:
        done: images whose objects this call refined.
        kept: images whose objects are left from an earlier run.
        objects: how many objects have a refined mask, `changed` of them another one than before.
        expected_iou: mean over these objects of the IoU that their masks are expected to have (0..1).
        outline_error_px: the largest distance in pixels between the border of a refined mask and the polygon that
            was written for it; 0 where none was.
        object_side: longest side in pixels that all objects got, as errors grow with them; None: they kept the
            image's scale.
        seconds: wall time by part, and ``total``; parts overlap.
        look: what ``refine`` saw of the objects first.
    """

    kind: Literal["objects"] = "objects"
    schema_version: int = SCHEMA
    version: str
    model: str
    done: int
    kept: int = 0
    objects: int
    changed: int
    expected_iou: float | None
    outline_error_px: float = 0.0
    object_side: int | None = None
    seconds: dict[str, float]
    look: FolderLook | None = None
    skipped: list[Skipped] = []


class Scores(_Strict):
    """How well label maps agree with the ground truth, over all images. All values are in 0..1.

    Attributes:
        mean_iou: over the classes in ground truth or prediction.
        iou: by class name; None where a class is in neither ground truth nor prediction.
        f_measure: by class, and by group of classes.
        trimap: mIoU inside bands of 1, 2, ... pixels around the label borders of the ground truth.
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
    """Pixels of similar confidence: how many, their mean confidence, and their accuracy (both 0..1)."""

    pixels: int
    confidence: float
    accuracy: float


class Threshold(_Strict):
    """Scores of ``refine --min-confidence``: changes of lower confidence are undone, the coarse label stays.

    Attributes:
        min_confidence: the threshold (0..1).
        mean_iou: over all images.
        degraded: share of images degraded (see `ImageScore.change`).
    """

    min_confidence: float
    mean_iou: float
    degraded: float


class Confidence(_Strict):
    """How well a refiner's confidence predicts its accuracy.

    Attributes:
        calibration_error: expected calibration error (0..1).
        reliability: the bins that hold pixels, by rising confidence.
        thresholds: by rising `min_confidence`; the first is 0.5, which undoes nothing.
    """

    calibration_error: float
    reliability: list[Bin]
    thresholds: list[Threshold]

    @property
    def best(self) -> Threshold:
        """The threshold with the highest mIoU; of equal ones the highest."""
        return max(self.thresholds, key=lambda one: (one.mean_iou, one.min_confidence))


class ImageScore(_Strict):
    """Scores (0..1) of one image.

    Attributes:
        mean_iou: over the classes of the image's ground truth.
        pixel_accuracy: share of its pixels that have the right class.
        coarse_mean_iou, coarse_pixel_accuracy: those of its coarse map; None without coarse maps.
    """

    id: str
    mean_iou: float
    pixel_accuracy: float
    coarse_mean_iou: float | None = None
    coarse_pixel_accuracy: float | None = None

    @property
    def gain(self) -> float | None:
        """By how much the refinement raised the mIoU; None without a coarse map."""
        return None if self.coarse_mean_iou is None else self.mean_iou - self.coarse_mean_iou

    @property
    def change(self) -> Literal["improved", "similar", "degraded"] | None:
        """Improved where mIoU and pixel accuracy both rise by more than half a point, degraded where both fall."""
        if self.coarse_mean_iou is None or self.coarse_pixel_accuracy is None:
            return None
        from segmend.metrics import changes  # loads torchmetrics, which refining has no use for

        before = np.array([[self.coarse_mean_iou, self.coarse_pixel_accuracy]])
        found = changes(before, np.array([[self.mean_iou, self.pixel_accuracy]]))
        return {1.0: "improved", -1.0: "degraded"}.get(float(found[0]), "similar")  # type: ignore[return-value]


def share_of(change: Literal["improved", "degraded"], images: Sequence[ImageScore]) -> float:
    """Share (0..1) of images with this `ImageScore.change`; 0 without images."""
    return sum(image.change == change for image in images) / max(1, len(images))


class Evaluation(_Shown):
    """What ``evaluate`` found. Folders are as given, relative to ``results.json`` where they lie beside it.

    Attributes:
        ids: how the label files of ``truth``, ``pred`` and ``coarse`` store the classes, where class c is not
            stored as c.
        scored: the classes that means over classes are taken over.
        merge: where finer true classes were joined, what each new class stands for.
        improved, degraded: share of images improved or degraded (see `ImageScore.change`).
        corrected_pixels: how many pixels are wrong in the coarse maps and right in the refined ones.
        degraded_pixels: how many are right in the coarse maps and wrong in the refined ones.
        confidence: None without the coarse maps of the run, or where it wrote no details of some image.
        run: the `Run` that wrote the predictions, where its ``results.json`` was found.
        notes: what a reader must know to judge the scores, such as ids that are no class.
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
    ids: dict[str, tuple[int, ...]] = {}
    scored: list[str] = []
    merge: dict[str, tuple[str, ...]] = {}
    scores: Scores
    coarse_scores: Scores | None = None
    improved: float | None = None
    degraded: float | None = None
    corrected_pixels: int | None = None
    degraded_pixels: int | None = None
    confidence: Confidence | None = None
    per_image: list[ImageScore]
    run: Run | None = None
    skipped: list[Skipped] = []
    notes: list[str] = []

    @property
    def corrected_to_degraded(self) -> float | None:
        """Corrected pixels for each degraded one; None without coarse maps, or where no pixel was degraded."""
        if self.corrected_pixels is None or not self.degraded_pixels:
            return None
        return self.corrected_pixels / self.degraded_pixels


class Quality(_Strict):
    """How good propagated labels are at one distance from the labels that they come from. Shares are in 0..1.

    Attributes:
        distance: frames to the nearest labelled frame.
        mean_iou: over the kept pixels (void does not count), and the classes in ground truth or labels; None where
            no pixel was kept.
        pixel_accuracy: share of the kept pixels that have the right class; None where there are none.
        kept: share of the pixels of the ground truth that have a label.
    """

    distance: int
    images: int
    mean_iou: float | None
    pixel_accuracy: float | None
    kept: float


class Propagation(_Shown):
    """What ``propagate`` did. Folders are as given, relative to ``results.json`` where they lie beside it.

    Attributes:
        mode: ``lp``: real frames with propagated labels; ``jp``: frames and labels both propagated.
        name: what plots call the method, such as ``learned, aligned``.
        steps: most frames between a labelled frame and one that its labels are propagated to.
        root: the folder of the data set.
        truth: folder of the held-out label maps; None where there are none.
        ids: how the label files of `truth` store the classes, where class c is not stored as c.
        labelled: frames whose labels were propagated.
        done: images that this call propagated labels to.
        kept: images that are left from an earlier run.
        remade: images of `done` that replaced files which an earlier run had made of other inputs or options.
        kept_share: for each class, the share of the pixels it was propagated to that kept their label; the others
            are void.
        quality: by rising distance; empty without ground truth.
        seconds: wall time by part, and ``total``; parts may overlap.
        notes: what a reader must know to judge the labels.
    """

    kind: Literal["propagation"] = "propagation"
    schema_version: int = SCHEMA
    version: str
    method: Literal["copy", "flow", "learned"]
    mode: Literal["lp", "jp"]
    model: str
    name: str
    classes: list[str]
    palette: list[tuple[int, int, int]]
    steps: int
    split: str
    root: str = "."
    truth: str | None = None
    ids: tuple[int, ...] | None = None
    labelled: int
    done: int
    kept: int = 0
    remade: int = 0
    kept_share: dict[str, float] = {}
    quality: list[Quality] = []
    seconds: dict[str, float]
    frames_per_second: float
    skipped: list[Skipped] = []
    notes: list[str] = []


class ClassTags(_Strict):
    """Tags of a class before and after cleaning, as numbers of images. Scores above 0.5 count as tags.

    Attributes:
        wrong: estimated share of the given tags that is wrong (0..1); None without tags.
        wrong_rate: estimated probability that the tag is given where the class is not in the image.
    """

    given: int
    cleaned: int
    removed: int
    added: int
    wrong: float | None
    wrong_rate: float


class TagCleaning(_Strict):
    """What ``tags clean`` found.

    Attributes:
        images: how many images with tags were cleaned; labelled ones do not count.
        labelled: how many labelled images were used.
        drop: estimated probability that the tag of a class that is in an image is not given.
        wrong: estimated share of the given tags that is wrong (0..1).
        notes: what a reader must know to judge the tags.
    """

    kind: Literal["tag_cleaning"] = "tag_cleaning"
    schema_version: int = SCHEMA
    version: str
    splits: list[str]
    images: int
    labelled: int
    drop: float
    wrong: float
    per_class: dict[str, ClassTags]
    skipped: list[Skipped] = []
    notes: list[str] = []

    @property
    def removed(self) -> int:
        """How many tags were removed."""
        return sum(one.removed for one in self.per_class.values())

    @property
    def added(self) -> int:
        """How many tags were added."""
        return sum(one.added for one in self.per_class.values())


class InspectedClass(_Strict):
    """A class in the masks of a folder.

    Attributes:
        share: of the labelled pixels (0..1).
        images: how many masks hold it.
        offset: of its borders with the largest class; None for this class, and for those that do not touch it.
    """

    share: float
    images: int
    offset: MeasuredOffset | None = None


class Inspection(_Shown):
    """What ``inspect`` found in a folder of images and masks.

    Attributes:
        images: how many images with masks were read.
        borders: of the masks.
        classes: by name.
        void: share of the pixels without a label (0..1).
        sizes: number of images by ``width x height``.
        files: number of images and masks by kind of file.
        one_class, unlabelled: IDs of the masks with one class alone, and without any label.
        same_images, same_masks: IDs of images with the same pixels; of masks with the same labels, where these are
            of several classes.
    """

    kind: Literal["inspection"] = "inspection"
    schema_version: int = SCHEMA
    version: str
    images: int
    borders: MeasuredBorders
    classes: dict[str, InspectedClass]
    void: float
    sizes: dict[str, int]
    files: dict[str, int]
    one_class: list[str] = []
    unlabelled: list[str] = []
    same_images: list[list[str]] = []
    same_masks: list[list[str]] = []
    skipped: list[Skipped] = []


class Tried(_Strict):
    """A way to refine that ``tune`` tried.

    Attributes:
        settings: of a filter.
        gain: in mIoU (0..1) on all good masks. Of what was chosen, it is too high: it was chosen by it.
        unlucky: the 5 % quantile of the gain, with the images drawn anew.
    """

    name: str
    settings: dict[str, float] = {}
    gain: float
    unlucky: float


class Tuning(_Shown):
    """What ``tune`` chose by good masks.

    Attributes:
        images: number of good masks.
        chosen: name of what was chosen.
        mean_iou: of the coarse maps (0..1), over the classes of the ground truth.
        expected_gain: in mIoU, on masks that it is not chosen by (cross-validation), with its 95 % interval
            `low` to `high`.
        tried: all that was tried.
        notes: what could not be tried, and why.
    """

    kind: Literal["tuning"] = "tuning"
    schema_version: int = SCHEMA
    version: str
    images: int
    chosen: str
    mean_iou: float
    expected_gain: float
    low: float
    high: float
    tried: list[Tried]
    notes: list[str] = []
    skipped: list[Skipped] = []


class Review(_Strict):
    """What ``review --apply`` wrote.

    Attributes:
        images: how many images were under review.
        decided: how many of them have no undecided region left.
        partly: how many have decided and undecided regions; the undecided ones keep the coarse map.
        changed: in how many images a region was accepted.
        accepted_regions, kept_regions: how many regions were decided, either way.
        changed_pixels: how many pixels differ from the coarse maps.
        without_refined: coarse maps without a refined one, which were written as they are.
        in_place: whether the coarse maps were written over.
    """

    kind: Literal["review"] = "review"
    schema_version: int = SCHEMA
    version: str
    images: int
    decided: int
    partly: int
    changed: int
    accepted_regions: int
    kept_regions: int
    changed_pixels: int
    without_refined: int = 0
    in_place: bool = False
    skipped: list[Skipped] = []

    @property
    def undecided(self) -> int:
        """In how many images nothing was decided: their coarse map is written as it is."""
        return self.images - self.decided - self.partly


class SuspectRegion(_Strict):
    """A part of a label map that looks wrong.

    Attributes:
        id: of the image.
        kind: ``class`` (an area in another class), ``missing`` (an object that was left out), ``islands`` (a small
            area in another class), ``holes``, ``border`` (borders are off), ``other image`` (the map of another
            image).
        box: x0, y0, x1, y1 in pixels; x1 and y1 lie outside.
        pixels: how many would change.
        given, suggested: names of the classes; None where there are several, or no suggestion.
        score: how likely it is wrong (0..1).
    """

    id: str
    kind: Literal["class", "missing", "islands", "holes", "border", "other image"]
    box: tuple[int, int, int, int]
    pixels: int
    given: str | None
    suggested: str | None
    score: float


class CheckedImage(_Strict):
    """An image whose labels were checked.

    Attributes:
        file: the label map.
        score: how likely any of its labels are wrong (0..1).
        kinds: of its regions, the likeliest first.
    """

    id: str
    file: str
    score: float
    kinds: list[str] = []


class CheckRun(_Strict):
    """What ``check`` found. Folders are as given.

    Attributes:
        evidence: what labels were compared with.
        probs: the folder of the probability maps; None without.
        threshold: score from which on an image looks wrong.
        wrong: how many images look wrong.
        checked: all images that could be judged, the worst first.
        regions: what looks wrong in them, in the same order, and the likeliest of each image first.
        done, kept: images that this call looked at, and those left from an earlier run.
        seconds: wall time by part, and ``total``; some parts overlap.
        notes: what could not be judged, or not well.
    """

    kind: Literal["check"] = "check"
    schema_version: int = SCHEMA
    version: str
    images: str
    coarse: str
    evidence: str
    probs: str | None = None
    classes: list[str]
    palette: list[tuple[int, int, int]]
    threshold: float
    wrong: int
    checked: list[CheckedImage]
    regions: list[SuspectRegion]
    done: int
    kept: int = 0
    seconds: dict[str, float]
    notes: list[str] = []
    skipped: list[Skipped] = []


Results = Run | ObjectRun | Evaluation | Propagation | TagCleaning | Inspection | Tuning | Review | CheckRun
_ANY: TypeAdapter[Results] = TypeAdapter(Annotated[Results, Field(discriminator="kind")])


def holds(path: Path, kind: type[BaseModel]) -> bool:
    """Whether a file holds results of one kind."""
    try:
        return isinstance(read_results(path), kind)
    except InvalidFile:
        return False


def check_replaceable(path: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Raise `InvalidFile` unless `path` can be written, and replaces no file but one of ours.

    Args:
        is_ours: whether a file may be replaced.
        what: what such a file holds, for the message.
    """
    check_writable_file(path)
    if path.is_file() and not is_ours(path):
        raise InvalidFile(path, f"is there already and does not hold {what}: give another name with --out")


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
