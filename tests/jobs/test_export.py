"""Model folders become ONNX files that compute the same, for images of any size."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import segmend
from segmend.borders.evidence import border_evidence
from segmend.cli import app
from segmend.data.files import InvalidFile
from segmend.dual import DualSegmentation
from segmend.export import onnx_file
from segmend.jobs.export import export, graph_of
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.refiners import ECN, SpatialPropagation, UniversalRefiner, save_filter, save_tuned
from segmend.refiners.guided_filter import GuidedFilter
from segmend.segmenters import Segmenter
from segmend.video import MotionNet

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

CLASSES = Classes(("sky", "road", "car"))
SIZES = [(1, 31, 47), (2, 5, 3), (1, 1, 1), (2, 64, 32)]


def randomised(model):
    """With weights large enough that the network changes maps."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and parameter.abs().max() < 0.05:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return model.eval()


def running(path):
    session = onnxruntime.InferenceSession(path)
    return lambda **values: session.run(None, {name: value.numpy() for name, value in values.items()})[0]


def coarse_maps(batch, classes, height, width):
    """Regions, with noise: of two probabilities that are the same, rounding chooses the larger. None is void."""
    raw = torch.rand(batch, classes, max(1, height // 5), max(1, width // 5))
    maps = torch.nn.functional.interpolate(raw, size=(height, width), mode="bilinear")
    noisy = (3 * maps + torch.rand(batch, classes, height, width)).softmax(dim=1)
    clear = noisy + 0.03 * (noisy == noisy.amax(dim=1, keepdim=True))
    return clear / clear.sum(dim=1, keepdim=True)


CORRECTORS = {
    "ecn": ECN(CLASSES, "quarter", residual=True, coarse_weight=0.3),
    "ecn, moved alone": ECN(CLASSES, "quarter", branches="propagation", max_displacement=None),
    "one-way": SpatialPropagation(CLASSES, connections=1, gates="free", width="quarter"),
    "three-way": SpatialPropagation(CLASSES, width="quarter", weighted=True, restrict_to_present=True),
    "lifted": SpatialPropagation(CLASSES, gates="free", lift=4, rounds=2, width="quarter"),
}


@pytest.mark.parametrize("name", CORRECTORS)
def test_a_corrector_refines_images_of_any_size_as_in_python(name, tmp_path):
    model = randomised(CORRECTORS[name])
    save_model(model, tmp_path / "model")
    assert export(tmp_path / "model", tmp_path / "model.onnx").largest < 1e-4
    run = running(tmp_path / "model.onnx")
    for batch, height, width in SIZES:
        images, maps = torch.rand(batch, 3, height, width), coarse_maps(batch, 3, height, width)
        found = run(image=images, coarse=maps)
        for image, map_, one in zip(images, maps, found, strict=True):
            assert np.allclose(one, model.refine(image, map_).probabilities, atol=1e-4)
    assert abs(found - maps.numpy()).max() > 0.01


NETWORKS = {
    "torch.nn.Conv2d": {"in_channels": 3, "out_channels": 3, "kernel_size": 1},
    "segmend.segmenters.linear.LinearProbe": {"classes": 3},
    "segmentation_models_pytorch.Unet": {"encoder_name": "resnet18", "encoder_weights": None, "classes": 3},
}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_segmenter_predicts_images_of_any_size_as_in_python(network, tmp_path):
    if network.startswith("seg"):
        pytest.importorskip("timm")
    model = Segmenter(CLASSES, network, NETWORKS[network], mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2)).eval()
    save_model(model, tmp_path / "model")
    export(tmp_path / "model", tmp_path / "model.onnx")
    run = running(tmp_path / "model.onnx")
    for batch, height, width in SIZES:
        images = torch.rand(batch, 3, height, width)
        with torch.no_grad():
            assert np.allclose(run(image=images), model(images).softmax(dim=1), atol=1e-5)


@pytest.fixture(scope="module")
def universal(tmp_path_factory):
    path = tmp_path_factory.mktemp("universal") / "maps.onnx"
    export("universal", path)
    return running(path)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("contrast", [1, 4, 30])
def test_the_universal_refiner_takes_any_classes_and_sizes(universal, classes, contrast):
    refiner = segmend.load("universal").maps
    torch.manual_seed(classes)
    for _, height, width in SIZES[:3]:
        image = torch.rand(1, 3, height, width)
        coarse = (contrast * coarse_maps(1, classes, height, width)).softmax(dim=1)
        assert np.allclose(universal(image=image, coarse=coarse)[0], refined(refiner, image, coarse), atol=1e-5)


def refined(refiner, image, coarse):
    return refiner.refine(image[0], coarse[0]).probabilities


def test_absent_classes_stay_absent_and_a_map_of_one_class_as_it_is(universal):
    refiner = segmend.load("universal").maps
    torch.manual_seed(0)
    image = torch.rand(1, 3, 40, 50)
    coarse = torch.cat((coarse_maps(1, 3, 40, 50) * 0.9, torch.full((1, 2, 40, 50), 0.05)), dim=1)
    found = universal(image=image, coarse=coarse)[0]
    assert np.allclose(found, refined(refiner, image, coarse), atol=1e-5)
    alone = torch.tensor([0.1, 0.8, 0.1]).view(1, 3, 1, 1).expand(1, 3, 40, 50)
    assert np.allclose(universal(image=image, coarse=alone.contiguous()), alone, atol=1e-6)


def test_the_appearance_term_has_fewer_samples_in_large_images(universal):
    refiner = segmend.load("universal").maps
    torch.manual_seed(0)
    image, coarse = torch.rand(1, 3, 500, 600), coarse_maps(1, 2, 500, 600)
    assert np.allclose(universal(image=image, coarse=coarse)[0], refined(refiner, image, coarse), atol=1e-5)


def test_the_network_for_masks_takes_the_evidence_of_the_package(tmp_path):
    export("universal", tmp_path / "masks.onnx", "masks")
    y, x = np.mgrid[:60, :81]
    mask = (np.hypot(y - 30, x - 40) < 18).astype(np.uint8)
    image = np.where(np.hypot(y - 30, x - 40)[..., None] < 20, (200, 120, 90), (60, 80, 70)).astype(np.uint8)
    seen = border_evidence(image, mask)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    evidence = {name: torch.from_numpy(getattr(seen, name))[None] for name in ("planes", "pair", "descriptions")}
    network = segmend.load("universal").masks
    with torch.no_grad():
        expected = network(pixels, *evidence.values()).sigmoid()
    assert np.allclose(running(tmp_path / "masks.onnx")(image=pixels, **evidence), expected, atol=1e-5)


def test_a_tuned_refiner_undoes_changes_of_low_confidence(tmp_path):
    save_model(randomised(CORRECTORS["ecn"]), tmp_path / "tuned" / "corrector")
    save_tuned("corrector", 0.7, tmp_path / "tuned")
    export(tmp_path / "tuned", tmp_path / "tuned.onnx")
    image, coarse = torch.rand(1, 3, 31, 47), coarse_maps(1, 3, 31, 47)
    expected = refined(segmend.load(tmp_path / "tuned"), image, coarse)
    assert np.allclose(running(tmp_path / "tuned.onnx")(image=image, coarse=coarse)[0], expected, atol=1e-4)
    assert (expected == coarse[0]).any()
    assert (expected != coarse[0]).any()


def test_the_file_says_what_it_is(tmp_path):
    save_model(CORRECTORS["one-way"], tmp_path / "model")
    result = CliRunner().invoke(
        app, ["export", str(tmp_path / "model"), "--out", str(tmp_path / "new" / "m.onnx")]
    )
    assert result.exit_code == 0, result.output
    assert "SpatialPropagation, image, coarse to probabilities" in result.output
    assert "Largest difference from PyTorch: " in result.output
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.onnx"]
    model = onnx.load(tmp_path / "new" / "m.onnx")
    onnx.checker.check_model(model)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["segmend_version"] == segmend.__version__
    assert said["kind"] == "SpatialPropagation"
    assert json.loads(said["classes"]) == list(CLASSES.names)
    assert "0..1" in said["input.image"]
    axes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes["image"] == ["batch", 3, "height", "width"]
    assert axes["coarse"] == axes["probabilities"] == ["batch", 3, "height", "width"]
    assert any(node.op_type == "Scan" for node in model.graph.node)


class SizeDependent(torch.nn.Module):
    """A network that no exporter follows."""

    def forward(self, image):
        count = int(image.sum())
        return image.repeat(1, 1, 1, 1) if count % 2 else image[:, :3] * count


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda folder: save_filter(GuidedFilter(), folder), "GuidedFilter is no network, .* `segmend refine"),
        (lambda folder: save_model(DualSegmentation(CLASSES, width=8), folder), "optimised for each image"),
        (lambda folder: save_model(MotionNet(widths=(4, 4, 4)), folder), "segmend propagate --model"),
    ],
)
def test_what_is_no_graph_is_refused_with_what_to_do(save, message, tmp_path):
    save(tmp_path / "model")
    with pytest.raises(InvalidInput, match=message):
        graph_of(tmp_path / "model")


def test_the_dense_crf_is_refused():
    with pytest.raises(InvalidInput, match=r"DenseCRF is no network, .* `segmend refine --refiner`"):
        graph_of("crf")


def test_parts_are_of_the_universal_refiner_alone(tmp_path):
    save_model(UniversalRefiner().maps, tmp_path / "maps")
    assert graph_of(tmp_path / "maps").kind == graph_of("universal", "maps").kind == "UniversalPropagation"
    assert graph_of("universal", "masks").kind == "BorderNetwork"
    with pytest.raises(
        InvalidInput, match=r"--part masks: .* is one network, a UniversalPropagation: leave it out"
    ):
        graph_of(tmp_path / "maps", "masks")


def test_a_network_that_cannot_be_traced_is_refused_and_nothing_written(tmp_path, monkeypatch):
    model = Segmenter(CLASSES, "torch.nn.Conv2d", {"in_channels": 3, "out_channels": 3, "kernel_size": 1})
    save_model(model, tmp_path / "model")
    monkeypatch.setattr("segmend.jobs.export.load", lambda _: _with_network(model, SizeDependent()))
    with pytest.raises(InvalidInput, match="this network cannot be exported"):
        export(tmp_path / "model", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def _with_network(model, network):
    model.network = network
    return model


def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    model = Segmenter(CLASSES, "torch.nn.Conv2d", {"in_channels": 3, "out_channels": 3, "kernel_size": 1})
    save_model(model, tmp_path / "model")
    monkeypatch.setattr(
        "segmend.jobs.export.differences", lambda *_: [onnx_file.Difference((1, 2, 3), float("nan"))]
    )
    with pytest.raises(InvalidInput, match="differ from PyTorch's by nan"):
        export(tmp_path / "model", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_another_suffix_and_missing_packages_are_named(tmp_path, monkeypatch):
    with pytest.raises(InvalidFile, match=r"ends with \.onnx"):
        export("universal", tmp_path / "model.pt")
    monkeypatch.setitem(__import__("sys").modules, "segmend.export.operations", None)
    with pytest.raises(InvalidInput, match=r"pip install 'segmend\[onnx\]'"):
        export("universal", tmp_path / "model.onnx")


def test_timm_pads_as_the_exported_copy_does():
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    from timm.layers import Conv2dSame

    for kernel, stride, dilation in [(3, 2, 1), (5, 2, 1), (3, 1, 2), (7, 4, 1)]:
        layer = Conv2dSame(2, 4, kernel, stride=stride, dilation=dilation)
        map_ = torch.rand(1, 2, 8, 12)
        assert torch.equal(onnx_file._padded(layer)(map_), layer(map_))
