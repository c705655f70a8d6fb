"""CVAT's two interfaces: a request in the published form, and the functions of its SDK."""

import base64
import importlib.util
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

import segmend
from segmend.data.annotations.polygons import mask_of_rings
from segmend.labels import InvalidInput
from segmend.plugins import object_refiner
from segmend.plugins.cvat import answer, create, snapped_outline

FOLDER = Path(__file__).parents[2] / "integrations" / "cvat"


def disc(radius):
    rows, columns = np.mgrid[:120, :160]
    return np.hypot(rows - 60, columns - 80) < radius


def around(radius, count=12):
    """Points on a circle."""
    angles = np.arange(count) * 2 * np.pi / count
    return (np.stack((80 + radius * np.cos(angles), 60 + radius * np.sin(angles)), 1)).tolist()


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.fixture(scope="module")
def refiner():
    return object_refiner("universal")


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).normal(0, 10, (120, 160, 3))
    return (np.where(disc(40)[..., None], (200, 120, 90), (60, 80, 70)) + noise).clip(0, 255).astype(np.uint8)


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def main():
    """The module that Nuclio loads."""
    spec = importlib.util.spec_from_file_location("main", FOLDER / "main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Context:
    """What Nuclio gives to a handler."""

    def __init__(self):
        self.user_data, self.messages = SimpleNamespace(), []
        self.logger = SimpleNamespace(info=self.messages.append, warn=self.messages.append)

    @staticmethod
    def Response(body, headers, content_type, status_code):
        assert content_type == "application/json"
        return SimpleNamespace(body=json.loads(body), status_code=status_code)


def test_an_outline_is_the_region_of_its_polygon(image, refiner):
    found = snapped_outline(image, around(34), refiner)
    rough = mask_of_rings([around(34)], 120, 160)
    wanted = segmend.refine_region(image, rough)
    assert (found.mask == wanted.mask).all()
    assert iou(found.mask, disc(40)) > 0.95 > 0.8 > iou(rough, disc(40))


def test_nuclio_answers_a_request_of_cvat(main, image):
    context = Context()
    main.init_context(context)
    # As cvat/apps/lambda_manager/views.py sends it to an interactor that does not start with a box.
    request = {"image": encoded(image), "pos_points": around(34), "neg_points": [], "obj_bbox": None}
    answered = main.handler(context, SimpleNamespace(body=request))
    assert answered.status_code == 200
    mask = np.array(answered.body["mask"])
    assert mask.shape == (120, 160)
    assert set(np.unique(mask)) == {0, 255}
    assert iou(mask > 0, disc(40)) > 0.95
    answered = main.handler(context, SimpleNamespace(body={**request, "pos_points": [[1, 2]]}))
    assert answered.status_code == 400
    assert "three corners" in answered.body["error"]
    assert context.messages[-1] == answered.body["error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "no base 64!"}, "in base 64"),
        ({"image": base64.b64encode(b"no image").decode()}, "in base 64"),
        ({"image": None}, "in base 64"),
        ({"pos_points": [[200, 0], [210, 0], [210, 10]]}, "click around the object"),
        ({"pos_points": [["a", "b"]] * 3}, "three corners"),
    ],
)
def test_unusable_requests_are_refused(image, refiner, change, message):
    with pytest.raises(InvalidInput, match=message):
        answer({"image": encoded(image), "pos_points": around(34)} | change, refiner)


def test_the_description_is_that_of_an_interactor_of_points():
    function = yaml.safe_load((FOLDER / "function.yaml").read_text(encoding="utf-8"))
    annotations = function["metadata"]["annotations"]
    assert (annotations["type"], annotations["min_pos_points"], annotations["min_neg_points"]) == (
        "interactor",
        3,
        -1,
    )
    module, _, name = function["spec"]["handler"].partition(":")
    assert (FOLDER / f"{module}.py").is_file()
    assert name == "handler"


def test_an_agent_of_cvat_gets_a_mask(image):
    auto = pytest.importorskip("cvat_sdk.auto_annotation", reason="pip install cvat-sdk")
    masks = pytest.importorskip("cvat_sdk.masks")

    class Prompts(auto.InteractionPrompts):
        pos_points, neg_points, bounding_box = [tuple(point) for point in around(34)], [], None

    class Context(auto.InteractionFunctionContext):
        pass

    function = create()
    assert function.spec == auto.InteractionFunctionSpec(min_pos_points=3)
    prepared = function.preprocess_image(Context(), Image.fromarray(image))
    (shape,) = function.detect(Context(), prepared, Prompts())
    assert shape.type == "mask"
    wanted = snapped_outline(image, around(34), function.refiner)
    assert list(shape.points) == masks.encode_mask(wanted.mask)
    assert float(shape.attributes[0].value) == pytest.approx(wanted.expected_iou, abs=1e-4)


def test_without_the_sdk_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cvat_sdk", None)
    with pytest.raises(InvalidInput, match="pip install cvat-sdk"):
        create()
