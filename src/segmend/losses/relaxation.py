"""Label relaxation (VPLR section 3.2) as a module."""

from __future__ import annotations

from torch import Tensor, nn

from segmend.labels import VOID
from segmend.ops.relaxed_cross_entropy import relaxed_cross_entropy


class RelaxedCrossEntropy(nn.Module):
    """`segmend.ops.relaxed_cross_entropy` with its options fixed; a drop-in for `torch.nn.CrossEntropyLoss`.

    Args:
        radius, void, strict_classes, reduction: see there.
        weight: ``[C]``, moves with the module.
    """

    weight: Tensor | None

    def __init__(
        self,
        radius: int = 1,
        void: int = VOID,
        weight: Tensor | None = None,
        strict_classes: tuple[int, ...] = (),
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.radius, self.void, self.strict_classes, self.reduction = radius, void, strict_classes, reduction
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return relaxed_cross_entropy(
            logits,
            target,
            radius=self.radius,
            void=self.void,
            weight=self.weight,
            strict_classes=self.strict_classes,
            reduction=self.reduction,
        )
