"""Label relaxation (VPLR section 3.2) as a module."""

from __future__ import annotations

from torch import Tensor, nn

from segmend.labels import VOID
from segmend.ops.relaxed_cross_entropy import Reduction, relaxed_cross_entropy


class RelaxedCrossEntropy(nn.Module):
    """`segmend.losses.relaxed_cross_entropy` as a module; with ``radius=0`` it is `torch.nn.CrossEntropyLoss`.

    Args:
        weight: of each class, ``[C]``; it moves with the module.
        ignore_index, reduction, radius, strict_classes: as of the function.

    >>> logits, target = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> target[..., 2:] = 1
    >>> RelaxedCrossEntropy(reduction="none")(logits, target)[0, 0]  # both classes are right beside the border
    tensor([0.6931, 0.0000, 0.0000, 0.6931])
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = VOID,
        reduction: Reduction = "mean",
        *,
        radius: int = 1,
        strict_classes: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, reduction
        self.radius, self.strict_classes = radius, strict_classes

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return relaxed_cross_entropy(
            logits,
            target,
            self.weight,
            self.ignore_index,
            self.reduction,
            radius=self.radius,
            strict_classes=self.strict_classes,
        )
