"""Models as files in ONNX's format, for other runtimes than PyTorch.

* `graphs`: what is exported, as modules from tensors to tensors
* `onnx_file`: such a module as a file's content, and the comparison of a runtime with PyTorch
* `operations`: the package's operations in the operators of ONNX
"""

from segmend.export.graphs import Graph, RefinerGraph, SegmenterGraph, UniversalMapsGraph, UniversalMasksGraph
from segmend.export.onnx_file import TOLERANCE, Difference, differences, onnx_model

__all__ = [
    "TOLERANCE",
    "Difference",
    "Graph",
    "RefinerGraph",
    "SegmenterGraph",
    "UniversalMapsGraph",
    "UniversalMasksGraph",
    "differences",
    "onnx_model",
]
