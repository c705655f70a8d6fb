"""CVAT: an interactor that snaps an outline to the image: the points that an annotator clicks around an object.

`create` is for CVAT's agents (``cvat-cli function ... --function-module segmend.plugins.cvat``), `answer` for its
serverless functions (the folder ``integrations/cvat`` of the repository).
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segmend.data.annotations.polygons import mask_of_rings
from segmend.data.files import MAX_PIXELS
from segmend.labels import InvalidInput
from segmend.models import RefinedRegion, refine_region
from segmend.pixels import to_rgb, values_of
from segmend.plugins import object_refiner
from segmend.refiners import ObjectRefiner

if TYPE_CHECKING:
    from cvat_sdk.auto_annotation import (
        InteractionFunctionContext,
        InteractionFunctionSpec,
        InteractionPrompts,
        InteractionResultShape,
    )

LEAST = 3
"""Points of an outline."""


def snapped_outline(image: np.ndarray, points: Sequence[Sequence[float]], refiner: ObjectRefiner) -> RefinedRegion:
    """The refined mask of a polygon.

    Args:
        image: ``uint8 [H, W, 3]``.
        points: its corners in their order, x and y in pixels.

    Raises:
        InvalidInput: fewer than `LEAST` points, or a polygon without a pixel.
    """
    mask = mask_of_rings([points], *image.shape[:2])
    if not mask.any():
        raise InvalidInput("no pixel is inside the points: click around the object, in order")
    return refine_region(image, mask, refiner=refiner)


def answer(request: Any, refiner: ObjectRefiner) -> dict[str, Any]:
    """The answer of a serverless interactor.

    Args:
        request: ``image``, a file in base 64, and ``pos_points``, the corners of an outline.

    Returns:
        ``mask``: rows of 0 and 255 of the size of the image, and ``confidence``: the IoU to expect of it.

    Raises:
        InvalidInput: not such a request; no image; or too few points.
    """
    if not isinstance(request, dict):
        raise InvalidInput("expected a JSON object with image and pos_points")
    refined = snapped_outline(_image_of(request.get("image")), request.get("pos_points") or (), refiner)
    return {"mask": (refined.mask * np.uint8(255)).tolist(), "confidence": round(refined.expected_iou, 4)}


def _image_of(encoded: Any) -> np.ndarray:
    try:
        content = io.BytesIO(base64.b64decode(encoded, validate=True))
        with Image.open(content) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InvalidInput(f"expected an image of at most {MAX_PIXELS} pixels, found {width} x {height}")
            return to_rgb(*values_of(image))
    except InvalidInput:
        raise
    except (binascii.Error, TypeError, ValueError, OSError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"expected `image`, a file of an image in base 64 ({error})") from None


class Interactor:
    """An interaction function of `cvat_sdk.auto_annotation`: positive points are the corners of an outline."""

    def __init__(self, refiner: ObjectRefiner) -> None:
        self.refiner = refiner

    @property
    def spec(self) -> InteractionFunctionSpec:
        """Points alone: a box says too little of a border."""
        from cvat_sdk.auto_annotation import InteractionFunctionSpec

        return InteractionFunctionSpec(min_pos_points=LEAST)

    def preprocess_image(self, context: InteractionFunctionContext, image: Image.Image) -> np.ndarray:
        """The image ``uint8 [H, W, 3]``."""
        return to_rgb(*values_of(image))

    def detect(
        self, context: InteractionFunctionContext, pp_image: np.ndarray, prompts: InteractionPrompts
    ) -> list[InteractionResultShape]:
        """The refined mask as one shape, with the IoU to expect of it as its confidence."""
        from cvat_sdk import models
        from cvat_sdk.auto_annotation import InteractionResultAttributes, InteractionResultShape
        from cvat_sdk.masks import encode_mask

        refined = snapped_outline(pp_image, prompts.pos_points, self.refiner)
        confidence = models.AttributeValRequest(
            spec_id=int(InteractionResultAttributes.CONFIDENCE), value=f"{refined.expected_iou:.4f}"
        )
        points = encode_mask(refined.mask)
        return [InteractionResultShape(type="mask", points=points, attributes=[confidence])]


def create(refiner: str = "universal") -> Interactor:
    """The interactor that ``cvat-cli`` runs.

    Args:
        refiner: what `segmend.refiners.load` takes.

    Raises:
        InvalidInput: cvat-sdk is not installed; no such refiner.
    """
    try:
        import cvat_sdk.auto_annotation  # noqa: F401
    except ImportError as error:
        raise InvalidInput(f"CVAT's agents need a package ({error.name}): pip install cvat-sdk cvat-cli") from None
    return Interactor(object_refiner(refiner))
