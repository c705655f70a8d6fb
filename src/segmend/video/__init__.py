"""Labels through time (VPLR): motion between frames, and propagation of labels along it."""

from segmend.video.flow import DISFlow, Flow, RAFTFlow
from segmend.video.frame import Frame
from segmend.video.motion import FlowMotion, LearnedMotion, Motion, MotionNet, NoMotion, load_motion
from segmend.video.propagation import (
    Propagated,
    Track,
    Tracker,
    follow,
    fuse,
    is_cut,
    propagate_jointly,
    propagate_labels,
)

__all__ = [
    "DISFlow",
    "Flow",
    "FlowMotion",
    "Frame",
    "LearnedMotion",
    "Motion",
    "MotionNet",
    "NoMotion",
    "Propagated",
    "RAFTFlow",
    "Track",
    "Tracker",
    "follow",
    "fuse",
    "is_cut",
    "load_motion",
    "propagate_jointly",
    "propagate_labels",
]


def __dir__() -> list[str]:
    return __all__
