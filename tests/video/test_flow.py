"""Optical flow: the displacement of a moved texture is its motion, in the sign and the axes of `warp`."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from segmend.data.files import InvalidFile
from segmend.ops.warp import warp
from segmend.video import DISFlow, Frame, RAFTFlow


def test_the_forms_of_a_frame(texture):
    frame = Frame(texture(9, 13))
    assert frame.size == (9, 13)
    np.testing.assert_array_equal(frame.tensor.numpy(), np.float32(frame.rgb.transpose(2, 0, 1)) / 255)
    weighted = frame.rgb @ [0.299, 0.587, 0.114]
    assert np.abs(frame.grey - weighted).max() <= 1
    np.testing.assert_allclose(frame.lab.permute(1, 2, 0), rgb2lab(frame.rgb), atol=0.3)
    assert frame.grey is frame.grey  # made once
    assert frame.lab is frame.lab


@pytest.mark.parametrize("finest_scale", [0, 1])
@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -2), (-4, 5)])
def test_the_flow_of_a_moved_texture_is_its_motion(panning, dx, dy, finest_scale):
    source, target = panning(2, dx, dy)
    found = DISFlow(finest_scale)(source, target)
    assert found.shape == (2, 64, 80)
    assert found.dtype == torch.float32
    inner = found[:, 8:-8, 8:-8]
    assert inner[0].median().item() == pytest.approx(dx, abs=0.1)
    assert inner[1].median().item() == pytest.approx(dy, abs=0.1)
    moved = warp(source.tensor[None], found[None])[0]
    errors = [(image - target.tensor)[:, 8:-8, 8:-8].abs().mean() for image in (moved, source.tensor)]
    assert errors[0] < 0.02
    assert errors[0] < errors[1] / 5


def test_it_is_defined_at_the_pixels_of_the_target(texture):
    """A square moves onto a still background: the displacement is where the square is, not where it was."""
    frames = []
    for left in (16, 24):
        image = texture(96, 96, seed=1) // 2
        image[32:64, left : left + 32] = texture(32, 32, seed=2)
        frames.append(Frame(image))
    found = DISFlow()(*frames)
    assert found[0, 36:60, 50:55].median().item() == pytest.approx(8, abs=0.5)  # entered by the square
    assert found[0, 36:60, 8:12].median().item() == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (70, 3), (31, 33)])
def test_small_frames_have_a_flow(texture, size):
    frame = Frame(texture(*size))
    found = DISFlow()(frame, frame)
    assert found.shape == (2, *size)
    assert found.abs().max() < 0.5


@pytest.fixture(scope="module")
def raft(tmp_path_factory):
    """RAFT's small network with random weights, and the file that it reads."""
    models = pytest.importorskip("torchvision.models.optical_flow")
    torch.manual_seed(0)
    network = models.raft_small(weights=None).eval()
    path = tmp_path_factory.mktemp("raft") / "raft.pth"
    torch.save(network.state_dict(), path)
    return network, path


def test_raft_is_torchvisions_with_the_sign_of_warp(raft, panning):
    network, path = raft
    source, target = panning(2, 2, 1, height=128, width=136)
    found = RAFTFlow(path)(source, target).cpu()
    with torch.inference_mode():
        flow = network(2 * target.tensor[None] - 1, 2 * source.tensor[None] - 1)[-1][0]
    assert found.shape == (2, 128, 136)
    assert torch.allclose(found, -flow, atol=1e-3 * flow.abs().max().item())
    assert torch.equal(found, RAFTFlow(path)(source, target).cpu())


def test_raft_takes_any_size(raft, texture):
    frame = Frame(texture(45, 131))
    found = RAFTFlow(raft[1])(frame, frame)
    assert found.shape == (2, 45, 131)
    assert found.isfinite().all()


def test_files_without_weights_of_raft_are_refused(raft, tmp_path):
    with pytest.raises(InvalidFile, match=r"absent\.pth: no such file: download https://.*\.pth"):
        RAFTFlow(tmp_path / "absent.pth")
    with pytest.raises(InvalidFile, match="a folder or a device, not a file"):
        RAFTFlow(tmp_path)
    expected = "expected torchvision's weights of raft_small or raft_large, found "
    (tmp_path / "text.pth").write_text("weights")
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")
    part = dict(list(raft[0].state_dict().items())[:-1])
    torch.save(part, tmp_path / "part.pth")
    for name, found in (("text", "another file"), ("other", "those of another"), ("part", "those of another")):
        with pytest.raises(InvalidFile, match=rf"{name}\.pth: {expected}{found}"):
            RAFTFlow(tmp_path / f"{name}.pth")
