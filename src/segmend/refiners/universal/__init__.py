"""The class-agnostic refiner: one set of weights refines maps of any classes.

* `refiner`: `UniversalRefiner`, which has a network for masks (`segmend.refiners.border_network`) and one for
  probability maps
* `model`: that for probability maps, `UniversalPropagation`
* `features`: what it sees of a coarse map, whatever the classes
* `combine`: product of experts and propagation, with weights that the network predicts
* `coarse_weight`: share of the coarse map in the result, by how confident the map is
* `loss`: what it is trained with
"""

from segmend.refiners.universal.loss import universal_loss
from segmend.refiners.universal.model import UniversalOutput, UniversalPropagation
from segmend.refiners.universal.refiner import UniversalRefiner

__all__ = ["UniversalOutput", "UniversalPropagation", "UniversalRefiner", "universal_loss"]
