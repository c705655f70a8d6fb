"""What Label Studio asks of a machine-learning backend: predictions for tasks, here their own regions, refined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from segmend import __version__
from segmend.labels import InvalidInput
from segmend.models import refine_region
from segmend.plugins import looked_at
from segmend.plugins.label_studio.regions import Region, has_mask, mask_of, with_mask
from segmend.refiners.objects import ObjectRefiner, surroundings

MAX_CONFIG = 1 << 20
"""Characters of a labelling configuration."""


@dataclass(frozen=True)
class Backend:
    """Refines the regions of Label Studio's tasks.

    Attributes:
        refiner: of single objects.
        read: the image ``uint8 [H, W, 3]`` at an address, as `ImageSource.read`.
        name: of the refiner, for the model version.
    """

    refiner: ObjectRefiner
    read: Callable[[Any], np.ndarray]
    name: str = "universal"

    @property
    def model_version(self) -> str:
        """How predictions of this backend are marked in Label Studio."""
        return f"segmend {__version__} {self.name}"

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to ``/predict``.

        With regions in the context (an annotator asks about what was drawn) they are refined. Without, each task's
        latest annotation is, or without one its latest prediction by others; what has no mask in it is copied, so
        that a prediction is complete. A task without such regions, or that cannot be refined, gets no prediction,
        and a line under `errors`.

        Raises:
            InvalidInput: not what Label Studio asks; or the regions of the context cannot be refined.
        """
        tasks = request.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise InvalidInput("expected `tasks`, a list of tasks of Label Studio")
        images = _images_of(request.get("label_config"))
        drawn = _context_of(request)
        if drawn:
            if len(tasks) != 1:
                raise InvalidInput(f"expected one task with regions in the context, found {len(tasks)}")
            items = [item for item in drawn if has_mask(item)]
            if not items:
                raise InvalidInput("expected a brush or polygon region: other shapes say too little of a border")
            return self._answer([self._refined(tasks[0], items, images)])
        results: list[Any] = []
        errors: dict[str, str] = {}
        for task in tasks:
            try:
                results.append(self._refined(task, self._given(task), images))
            except InvalidInput as error:
                results.append([])  # no prediction; an empty one would stand for an image without objects
                errors[str(task.get("id"))] = str(error)
        return self._answer(results) | ({"errors": errors} if errors else {})

    def _answer(self, results: list[Any]) -> dict[str, Any]:
        return {"results": results, "model_version": self.model_version}

    def _given(self, task: dict[str, Any]) -> list[Any]:
        """The result that a task is refined from."""
        annotations = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
        predictions = [one for one in task.get("predictions") or [] if not self._is_own(one)]
        for several in (annotations, predictions):
            with_regions = [one for one in several if any(map(has_mask, one.get("result") or []))]
            if with_regions:
                latest = max(with_regions, key=lambda one: (str(one.get("updated_at") or ""), one.get("id") or 0))
                return list(latest["result"])
        raise InvalidInput("no annotation or prediction with brush or polygon regions to refine")

    def _is_own(self, prediction: dict[str, Any]) -> bool:
        return str(prediction.get("model_version") or "").startswith("segmend ")

    def _refined(self, task: dict[str, Any], items: list[Any], images: dict[str, str]) -> dict[str, Any]:
        """A prediction: all items of a result, those with masks refined by a refiner that has looked at them."""
        regions = [item for item in items if has_mask(item)]
        # Masks are made twice, as those of hundreds of regions at once would fill memory.
        several = (self._mask(task, regions[index], images) for index in looked_at(len(regions)))
        known = self.refiner.of_folder([surroundings(*pair) for pair in several])
        result: list[Region] = []
        scores = []
        for item in items:
            if not has_mask(item):
                result.append(item)
                continue
            refined = refine_region(*self._mask(task, item, images), refiner=known)
            scores.append(refined.expected_iou)
            result.append(with_mask(item, refined.mask, refined.expected_iou))
        return {"result": result, "score": round(float(np.mean(scores)), 4), "model_version": self.model_version}

    def _mask(self, task: dict[str, Any], region: Region, images: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """The image of a region, and its mask."""
        image = self.read(_address(task, str(region.get("to_name")), images))
        try:
            mask = mask_of(region, *image.shape[:2])
            if not mask.any():
                raise InvalidInput("no pixel in it")
        except InvalidInput as error:
            raise InvalidInput(f"region {region.get('id')}: {error}") from None
        return image, mask


def _context_of(request: dict[str, Any]) -> list[Any]:
    """What an annotator drew; nothing where predictions are asked for."""
    found: Any = request
    for key in ("params", "context", "result"):
        if not isinstance(found, dict):
            raise InvalidInput("expected `params` with `context` with `result`, each an object or null")
        found = found.get(key) or {}
    return list(found)


def _images_of(config: Any) -> dict[str, str]:
    """For each image of a labelling configuration, by name, the key of its address in the data of a task."""
    if not isinstance(config, str) or len(config) > MAX_CONFIG or "<!DOCTYPE" in config or "<!ENTITY" in config:
        raise InvalidInput("expected `label_config`, the labelling configuration of the project as XML")
    try:
        tags = list(ElementTree.fromstring(config).iter("Image"))
    except ElementTree.ParseError as error:
        raise InvalidInput(f"the labelling configuration is not readable as XML ({error})") from None
    found = {str(tag.get("name")): str(tag.get("value", "")) for tag in tags}
    named = {name: value[1:] for name, value in found.items() if value.startswith("$")}
    if not named:
        raise InvalidInput('the labelling configuration has no image, as <Image name="image" value="$image"/>')
    return named


def _address(task: dict[str, Any], name: str, images: dict[str, str]) -> Any:
    """The address of the image that a region is of."""
    data = task.get("data")
    if name not in images or not isinstance(data, dict) or images[name] not in data:
        raise InvalidInput(f"no image {name!r} in the task: the project's are {', '.join(images)}")
    return data[images[name]]
