"""The class-agnostic refiner: one set of weights refines masks of any classes.

* `model`: the network, `UniversalPropagation`
* `features`: what it sees of a coarse map, whatever the classes
* `combine`: product of experts and propagation, with weights that the network predicts
* `coarse_weight`: share of the coarse map in the result, by how confident the map is
* `loss`: what it is trained with
"""

from segmend.refiners.universal.loss import universal_loss
from segmend.refiners.universal.model import UniversalOutput, UniversalPropagation

__all__ = ["UniversalOutput", "UniversalPropagation", "universal_loss"]
