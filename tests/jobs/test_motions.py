"""Motions by their names on the command line, and their descriptions: equal where displacements are equal."""

import pytest
import torch

from segmend.jobs.motions import describe_motion, make_motion, method_of
from segmend.labels import InvalidInput
from segmend.model_folder import save_model
from segmend.video import DISFlow, FlowMotion, LearnedMotion, MotionNet, NoMotion, RAFTFlow


@pytest.mark.parametrize(
    ("method", "kind", "flow"),
    [("copy", NoMotion, None), ("flow", FlowMotion, DISFlow), ("learned", LearnedMotion, DISFlow)],
)
def test_methods_stand_for_motions(method, kind, flow):
    motion = make_motion(method)
    assert type(motion) is kind
    assert method_of(motion) == method
    assert flow is None or type(motion.flow) is flow
    assert describe_motion(motion) == describe_motion(make_motion(method))


def test_arguments_of_other_methods_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="--model is for --method learned"):
        make_motion("flow", model="x")
    with pytest.raises(InvalidInput, match="--flow is for methods with motion"):
        make_motion("copy", raft=tmp_path / "x.pth")


def test_networks_are_described_by_their_weights(tmp_path):
    raft_small = pytest.importorskip("torchvision.models.optical_flow").raft_small
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        torch.manual_seed(seed)
        torch.save(raft_small(weights=None).state_dict(), tmp_path / f"{name}.pth")
        save_model(MotionNet(widths=(8, 12, 16)), tmp_path / name)
    for described in (
        [describe_motion(make_motion("flow", raft=tmp_path / f"{name}.pth")) for name in "abc"],
        [describe_motion(make_motion("learned", model=str(tmp_path / name))) for name in "abc"],
    ):
        assert described[0] == described[1] != described[2]
    motion = make_motion("learned", raft=tmp_path / "a.pth")
    assert isinstance(motion.flow, RAFTFlow)
    assert describe_motion(motion) != describe_motion(make_motion("learned", raft=tmp_path / "c.pth"))
