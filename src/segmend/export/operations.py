"""Operations of the package in the operators of ONNX; those that are not here are exported as their references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxscript import FLOAT, graph, opset18, script

from segmend.ops.scan import LEFT, RIGHT, UP

op: Any = opset18  # its annotations do not know that constants may be given as they are

OPSET = 18
"""Version of ONNX's operators in the files: the oldest that has all of them."""

END = 2**31 - 1
"""Beyond the end of any axis."""


def scan(x: Any, gates: Any, directions: Sequence[int], summed: bool = False) -> Any:
    """``torch.ops.segmend.scan``: each direction is an operator ``Scan`` over lines, with one step per line.

    Args:
        x, gates: values of the graph, ``[B, C, H, W]`` and ``[B, directions, G, K, H, W]``.
    """
    scans = []
    for number, direction in enumerate(directions):
        of_direction = op.Squeeze(op.Slice(gates, [number], [number + 1], [1]), [1])
        # The axis along which is scanned comes first; in the body, lines are [B, C, N] and gates [B, G, K, N].
        across = direction in (RIGHT, LEFT)
        lines = op.Transpose(x, perm=[3, 0, 1, 2] if across else [2, 0, 1, 3])
        of_lines = op.Transpose(of_direction, perm=[4, 0, 1, 2, 3] if across else [3, 0, 1, 2, 4])
        backwards = direction in (LEFT, UP)
        if backwards:
            lines, of_lines = _reversed(lines), _reversed(of_lines)
        of_lines = _zero_before(of_lines, axis=0)  # the first line has none before it
        if gates.shape[3] == 3:
            left, middle, right = (op.Slice(of_lines, [k], [k + 1], [3]) for k in range(3))
            of_lines = op.Concat(_zero_before(left, axis=4), middle, _zero_after(right, axis=4), axis=3)
        own = op.Mul(lines, op.Sub(1.0, op.ReduceSum(of_lines, [3], keepdims=0)))
        scanned = _from_three(own, of_lines) if gates.shape[3] == 3 else _from_one(own, of_lines)
        if backwards:
            scanned = _reversed(scanned)
        scans.append(op.Transpose(scanned, perm=[1, 2, 3, 0] if across else [1, 2, 0, 3]))
    if len(scans) == 1:
        return scans[0]
    return op.Sum(*scans) if summed else op.Max(*scans)


def pad_to_stride(map_: Any, stride: int) -> Any:
    """``torch.ops.segmend.pad_to_stride``: the last row and column are repeated."""
    missing = op.Mod(op.Neg(op.Shape(map_, start=2)), [stride])
    return op.Pad(map_, op.Concat(op.Constant(value_ints=[0, 0]), missing, axis=0), None, [2, 3], mode="edge")


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, precise near 1, where onnxruntime's operator is not.

    A gate of 0.9999 leaves 0.0001 to the pixel itself: an error of 1e-7 there is one of a thousandth.
    """
    return op.Reciprocal(op.Add(op.Exp(op.Neg(x)), 1.0))


def _reversed(lines: Any) -> Any:
    return op.Slice(lines, [-1], [-END], [0], [-1])


def _zero_before(gates: Any, axis: int) -> Any:
    """Gates whose first ones along an axis, from what lies outside the image, are 0."""
    return op.Pad(op.Slice(gates, [1], [END], [axis]), [1, 0], None, [axis])


def _zero_after(gates: Any, axis: int) -> Any:
    """Gates whose last ones along an axis, from what lies outside the image, are 0."""
    return op.Pad(op.Slice(gates, [0], [-1], [axis]), [0, 1], None, [axis])


@script(default_opset=op)
def _from_one(own: FLOAT, gates: FLOAT) -> FLOAT:
    """Scan lines ``own [T, B, C, N]`` along gates ``[T, B, G, 1, N]``."""

    @graph()
    def line(before, own, gates):  # type: ignore[no-untyped-def]
        after = own + op.Squeeze(gates, [2]) * before
        return after, op.Identity(after)

    start = op.Squeeze(op.Slice(own, [0], [1], [0]), [0])  # counts nothing: the first gates are 0
    _, lines = op.Scan(start, own, gates, body=line, num_scan_inputs=2)
    return lines  # type: ignore[no-any-return]


@script(default_opset=op)
def _from_three(own: FLOAT, gates: FLOAT) -> FLOAT:
    """Scan lines ``own [T, B, C, N]`` along gates ``[T, B, G, 3, N]``."""

    @graph()
    def line(before, own, gates):  # type: ignore[no-untyped-def]
        around = op.Pad(before, [0, 0, 1, 0, 0, 1])
        from_left, from_middle, from_right = op.Split(gates, num_outputs=3, axis=2)
        left = op.Squeeze(from_left, [2]) * op.Slice(around, [0], [-2], [2])
        right = op.Squeeze(from_right, [2]) * op.Slice(around, [2], [2147483647], [2])
        after = own + left + op.Squeeze(from_middle, [2]) * before + right
        return after, op.Identity(after)

    start = op.Squeeze(op.Slice(own, [0], [1], [0]), [0])
    _, lines = op.Scan(start, own, gates, body=line, num_scan_inputs=2)
    return lines  # type: ignore[no-any-return]
