"""What a refiner knows of the folder that masks are of."""

from __future__ import annotations

from typing import NamedTuple

from segmend.borders import BorderProfile, Move
from segmend.borders.pairs import PairProfiles


class FolderOfMasks(NamedTuple):
    """What is known of the folder that masks are of (see `segmend.refiners.base.Refiner.of_folder`).

    Attributes:
        profile: of the borders of its masks.
        are_of_other_images: whether the masks seem to belong to other images; then they are left as they are.
        move: of their borders, before the network decides; None where no offset is evident.
        moved: profiles of pairs of classes after the move.
        share_on_border: of the borders after the move, see `segmend.borders.BorderProfile.share_on_border`.
        is_left: whether the network would change so little that it changes nothing.
    """

    profile: BorderProfile
    are_of_other_images: bool
    move: Move | None
    moved: PairProfiles
    share_on_border: float
    is_left: bool = False
