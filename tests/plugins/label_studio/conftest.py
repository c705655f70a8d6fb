"""What tests of the backend share: a task with one region of a disc, as Label Studio sends it."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from segmend.data.annotations.label_studio import encode_brush
from segmend.data.annotations.polygons import Cropped, outlines_of, single_ring

CONFIG = """
<View>
  <Image name="img" value="$photo"/>
  <BrushLabels name="brush" toName="img"><Label value="Cell"/><Label value="Debris"/></BrushLabels>
  <PolygonLabels name="polygon" toName="img"><Label value="Cell"/></PolygonLabels>
  <Choices name="quality" toName="img"><Choice value="no"/></Choices>
</View>
"""


def _disc(radius, centre=(60, 80), size=(120, 160)):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.hypot(y - centre[0], x - centre[1]) < radius


@pytest.fixture(scope="session")
def photo():
    """An image of a disc of radius 40, ``uint8 [120, 160, 3]``."""
    noise = np.random.default_rng(0).normal(0, 10, (120, 160, 3))
    return (np.where(_disc(40)[..., None], (200, 120, 90), (60, 80, 70)) + noise).clip(0, 255).astype(np.uint8)


def _png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _data_url(image):
    return f"data:image/png;base64,{base64.b64encode(_png(image)).decode()}"


def _region(mask, kind="brushlabels", **others):
    """A region of Label Studio."""
    height, width = mask.shape
    if kind.startswith("brush"):
        value = {"format": "rle", "rle": encode_brush(mask)}
    else:
        ring = single_ring(outlines_of([Cropped.of(mask)])[0].geometry)
        value = {"points": (ring * (100 / width, 100 / height)).tolist(), "closed": True}
    if kind.endswith("labels"):
        value[kind] = ["Cell"]
    return {
        "id": "Ab3",
        "type": kind,
        "from_name": kind.removesuffix("labels"),
        "to_name": "img",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
        **others,
    }


@pytest.fixture(scope="session")
def config():
    return CONFIG


@pytest.fixture(scope="session")
def disc():
    """A function: the mask of a disc of a radius, ``bool [120, 160]``."""
    return _disc


@pytest.fixture(scope="session")
def region():
    """A function: the region of a mask, as Label Studio writes it."""
    return _region


@pytest.fixture(scope="session")
def png():
    """A function: an image as the content of a PNG file."""
    return _png


@pytest.fixture(scope="session")
def data_url():
    """A function: an image as a data URL."""
    return _data_url


@pytest.fixture(scope="session")
def iou():
    return lambda one, other: (one & other).sum() / (one | other).sum()
