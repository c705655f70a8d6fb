"""What the images of a folder tell of the borders of its masks: how far they are off, and how precise they are."""

from segmend.borders.move import Move, evident_move, moved
from segmend.borders.profile import BorderProfile, Offset, Precision, Shift
from segmend.borders.strength import REACH, BorderStrength, border_strength

__all__ = [
    "REACH",
    "BorderProfile",
    "BorderStrength",
    "Move",
    "Offset",
    "Precision",
    "Shift",
    "border_strength",
    "evident_move",
    "moved",
]


def __dir__() -> list[str]:
    return __all__
