"""Which labels are wrong: what probability maps and edges of images say against label maps.

1. `measure` looks at one image: its labelled areas, the areas where the probability map contradicts them, and its
   borders.
2. `Usual` holds what is usual in the folder: labels of some classes are often contradicted, others never.
3. `Detector` learns from simulated errors (`simulated_errors`) what errors look like in this folder, and scores
   areas and images.
"""

from segmend.check.detector import Detector, Judgement, PartDetector, Sample, samples_of
from segmend.check.logistic import Logistic
from segmend.check.measure import Areas, Contradictions, Measured, Seen, Whole, step_for
from segmend.check.simulated import KINDS, simulated_errors
from segmend.check.suspects import Kind, Suspect, suspects_of
from segmend.check.usual import Usual

__all__ = [
    "KINDS",
    "Areas",
    "Contradictions",
    "Detector",
    "Judgement",
    "Kind",
    "Logistic",
    "Measured",
    "PartDetector",
    "Sample",
    "Seen",
    "Suspect",
    "Usual",
    "Whole",
    "samples_of",
    "simulated_errors",
    "step_for",
    "suspects_of",
]
