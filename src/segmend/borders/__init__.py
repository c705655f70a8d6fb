"""What the images of a folder tell of the borders of its masks: how far they are off, and how precise they are."""

from segmend.borders.move import moved
from segmend.borders.profile import BorderProfile, Offset, Precision
from segmend.borders.strength import REACH, BorderStrength, border_strength

__all__ = ["REACH", "BorderProfile", "BorderStrength", "Offset", "Precision", "border_strength", "moved"]


def __dir__() -> list[str]:
    return __all__
