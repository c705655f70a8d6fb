"""The motions that the command line names: copies, optical flow, and flow that a network corrects."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from segmend.jobs.outputs import fingerprint
from segmend.labels import InvalidInput
from segmend.video import DISFlow, Flow, FlowMotion, LearnedMotion, Motion, NoMotion, RAFTFlow, load_motion
from segmend.video.motion import WEIGHTS

Method = Literal["copy", "flow", "learned"]


def make_motion(method: Method, model: str | None = None, raft: Path | None = None) -> Motion:
    """The motion that a method stands for.

    Args:
        model: for `learned`, a model folder or a repository on the hub (None: the weights of the package).
        raft: torchvision's weights of RAFT (None: DIS of OpenCV).

    Raises:
        InvalidInput: unreadable, or an argument that the method does not use.
    """
    if model is not None and method != "learned":
        raise InvalidInput(f"--model is for --method learned: leave it out for {method}")
    if method == "copy":
        if raft is not None:
            raise InvalidInput("--flow is for methods with motion: leave it out for copy")
        return NoMotion()
    flow = DISFlow() if raft is None else RAFTFlow(raft)
    return FlowMotion(flow) if method == "flow" else LearnedMotion(load_motion(model or WEIGHTS), flow)


def describe_motion(motion: Motion) -> str:
    """Name and hash of a motion: equal for those that give the same displacements."""
    if isinstance(motion, LearnedMotion):
        return f"{fingerprint(motion.network)} on {_describe_flow(motion.flow)}"
    if isinstance(motion, FlowMotion):
        return _describe_flow(motion.flow)
    return "copies"


def _describe_flow(flow: Flow) -> str:
    return fingerprint(flow.network) if isinstance(flow, RAFTFlow) else f"{flow}"


def method_of(motion: Motion) -> Method:
    """What the command line calls a motion."""
    return "copy" if isinstance(motion, NoMotion) else "flow" if isinstance(motion, FlowMotion) else "learned"
