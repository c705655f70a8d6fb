"""Move the borders of masks that are all off in the same way, and change nothing else."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from segmend.labels import one_hot
from segmend.ops.winners import winners
from segmend.refiners.base import Refinement, Refiner
from segmend.refiners.folder_of_masks import FolderOfMasks
from segmend.refiners.present_classes import void_filled


@dataclass
class OffsetCorrection(Refiner):
    """Moves borders by what the folder shows: those of masks that are evidently too small, too large or shifted.

    Without a folder (`of_folder`), and where nothing is evident, masks stay as they are.

    Example:
        >>> import numpy as np
        >>> image, mask = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)
        >>> refiner = OffsetCorrection().of_folder([image], [mask])
        >>> refiner.folder.move is None
        True
    """

    reads_folder = True

    def of_folder(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Self:
        """The same, which knows the folder (see `Refiner.of_folder`)."""
        known = copy.copy(self)
        known.folder, _ = FolderOfMasks.of(images, masks)
        return known

    def refine_batch(self, image: Tensor, coarse: Tensor, border_error_px: float | None = None) -> Refinement:
        """The moved masks, and maps that are not moved as they are."""
        folder = self.folder
        filled = void_filled(coarse.float())
        if folder is None or folder.move is None or folder.are_of_other_images:
            return Refinement.of(filled, coarse)
        labels = winners(filled)[1].cpu().numpy()
        moved = [torch.from_numpy(folder.move(one, -1)) for one in labels]
        planes = torch.stack([one_hot(one, coarse.shape[1]) for one in moved])
        return Refinement.of(planes.to(filled), coarse)
