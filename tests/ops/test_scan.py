"""The scan: what eq. 9 implies, for every backend, and that PyTorch's machinery knows it."""

from functools import partial

import numpy as np
import pytest
import torch

from segmend.ops import native, scan_native, scan_reference, scan_triton
from segmend.ops.scan import DOWN, LEFT, RIGHT, UP, normalize_gates, scan, scan4, spread

ALL = (RIGHT, LEFT, DOWN, UP)
BACKENDS = {"native": scan_native, "triton": scan_triton, "reference": scan_reference}
SIZES = [(1, 3, 5, 7), (1, 1, 10, 9), (2, 2, 4, 3), (1, 2, 1, 6), (1, 2, 6, 1), (1, 1, 1, 1), (1, 3, 2, 2)]
LARGER = [(1, 2, 37, 16), (1, 2, 16, 48), (2, 3, 33, 50)]


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """A module with `forward` and `backward`."""
    if request.param == "native" and native.library() is None:
        pytest.skip("the native library was not built here")
    if request.param == "triton" and torch.cuda.is_available():
        return OnGPU
    monkeypatch.setattr(scan_triton, "TILE", 2)  # which Triton's interpreter is through with sooner
    return BACKENDS[request.param]


class OnGPU:
    """Triton's kernels, compiled, for maps of the CPU."""

    @staticmethod
    def forward(x, gates, *how):
        return scan_triton.forward(x.cuda(), gates.cuda(), *how).cpu()

    @staticmethod
    def backward(x, gates, grad, *how):
        return [found.cpu() for found in scan_triton.backward(x.cuda(), gates.cuda(), grad.cuda(), *how)]


def example(size=(2, 3, 5, 7), shared=False, neighbours=3, directions=4, dtype=torch.float32, positive=False):
    torch.manual_seed(0)
    images, channels, height, width = size
    shape = (images, directions, 1 if shared else channels, neighbours, height, width)
    raw = torch.rand(shape, dtype=dtype) if positive else torch.randn(shape, dtype=dtype)
    return torch.randn(size, dtype=dtype), normalize_gates(raw)


def slow_scan(x, gates, direction):
    """Equation 9, pixel by pixel."""
    turn = {RIGHT: lambda a: np.swapaxes(a, -1, -2), LEFT: lambda a: np.swapaxes(a[..., ::-1], -1, -2)}
    turn |= {DOWN: lambda a: a, UP: lambda a: a[..., ::-1, :]}
    x, gates = (turn[direction](a.numpy()) for a in (x, gates))
    h = x.copy()
    reach = gates.shape[2] // 2
    for b, c, t, i in np.ndindex(*x.shape):
        if t == 0:
            continue
        own = 1.0
        h[b, c, t, i] = 0
        for k in range(-reach, reach + 1):
            if 0 <= i + k < x.shape[3]:
                p = gates[b, c % gates.shape[1], k + reach, t, i]
                h[b, c, t, i] += p * h[b, c, t - 1, i + k]
                own -= p
        h[b, c, t, i] += own * x[b, c, t, i]
    back = np.swapaxes(h, -1, -2) if direction in (RIGHT, LEFT) else h
    back = back[..., ::-1] if direction == LEFT else back[..., ::-1, :] if direction == UP else back
    return torch.from_numpy(back.copy())


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_each_direction_is_equation_9(backend, size, shared, neighbours):
    x, gates = example(size, shared, neighbours)
    for d in ALL:
        found = backend.forward(x, gates[:, d : d + 1].contiguous(), (d,))
        assert torch.allclose(found, slow_scan(x, gates[:, d], d), atol=1e-5)


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_four_directions_are_folded_and_gradients_agree(backend, size, shared, neighbours):
    x, gates = example(size, shared, neighbours)
    scans = torch.stack([slow_scan(x, gates[:, d], d) for d in ALL])
    grad = torch.randn_like(x)
    for summed, expected in ((False, scans.amax(0)), (True, scans.sum(0))):
        assert torch.allclose(backend.forward(x, gates, ALL, summed), expected, atol=1e-5)
        found = backend.backward(x, gates, grad, ALL, summed)
        for one, other in zip(found, scan_reference.backward(x, gates, grad, ALL, summed), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("size", LARGER)
@pytest.mark.parametrize("shared", [False, True])
def test_strips_and_threads_change_nothing(size, shared):
    x, gates = example(size, shared)
    grad = torch.randn_like(x)
    for directions, summed in ((ALL, False), (ALL, True), ((RIGHT,), False), ((UP,), False)):
        used = gates[:, : len(directions)].contiguous()
        expected = _both(scan_reference, x, used, grad, directions, summed)
        for threads in (1, 3):
            torch.set_num_threads(threads)
            try:
                found = _both(scan_native, x, used, grad, directions, summed)
            finally:
                torch.set_num_threads(1)
            for one, other in zip(found, expected, strict=True):
                assert torch.allclose(one, other, atol=1e-5)


def _both(backend, x, gates, grad, *how):
    """The result, and the gradients."""
    return backend.forward(x, gates, *how), *backend.backward(x, gates, grad, *how)


def test_values_that_decay_to_0_stay_finite(backend):
    """Along gates near 0 values fall below the smallest normal number."""
    x, gates = torch.zeros(1, 1, 40, 40), torch.full((1, 4, 1, 3, 40, 40), 1e-4)
    x[..., 0, 0] = 1
    arguments = x, gates, torch.full_like(x, 1e-20), ALL, True
    for one, other in zip(_both(backend, *arguments), _both(scan_reference, *arguments), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-37)


def test_a_constant_map_is_a_fixed_point(backend):
    """Theorem 1: the rows of the implied matrix sum to 1."""
    _, gates = example()
    x = torch.full((2, 3, 5, 7), 0.7)
    assert torch.allclose(backend.forward(x, gates, ALL), x, atol=1e-6)


def test_no_gate_is_the_identity_and_a_full_one_copies_the_first_line(backend):
    x, gates = example()
    assert torch.equal(backend.forward(x, torch.zeros_like(gates), ALL), x)
    full = torch.zeros_like(gates[:, :1])
    full[:, :, :, 1] = 1
    copied = backend.forward(x, full, (DOWN,))
    assert torch.allclose(copied, x[:, :, :1].expand_as(x), atol=1e-6)


def test_with_positive_gates_the_result_stays_in_range(backend):
    x, gates = example(positive=True)
    for d in ALL:
        found = backend.forward(x, gates[:, d : d + 1].contiguous(), (d,))
        assert found.max() <= x.max() + 1e-6
        assert found.min() >= x.min() - 1e-6


@pytest.mark.parametrize(("there", "back", "axis"), [(RIGHT, LEFT, -1), (DOWN, UP, -2)])
def test_a_flipped_map_gives_the_flipped_result_of_the_opposite_direction(backend, there, back, axis):
    x, gates = example(directions=1)
    found = backend.forward(x.flip(axis).contiguous(), gates.flip(axis).contiguous(), (there,))
    assert torch.allclose(found.flip(axis), backend.forward(x, gates, (back,)), atol=1e-6)


def test_one_way_is_three_way_without_side_gates(backend):
    x, gates = example()
    middle = torch.zeros_like(gates)
    middle[:, :, :, 1] = gates[:, :, :, 1]
    one_way = gates[:, :, :, 1:2].contiguous()
    assert torch.allclose(backend.forward(x, middle, ALL), backend.forward(x, one_way, ALL), atol=1e-6)


def test_the_matrix_of_unit_impulses_reproduces_the_output(backend):
    """Equation 3: the scan is a linear map, column by column."""
    x, gates = example((1, 1, 4, 3), directions=1)
    columns = [backend.forward(e.view(1, 1, 4, 3), gates, (LEFT,)).flatten() for e in torch.eye(12)]
    matrix = torch.stack(columns, dim=1)
    assert torch.allclose(matrix.sum(1), torch.ones(12), atol=1e-6)
    assert torch.allclose(matrix @ x.flatten(), backend.forward(x, gates, (LEFT,)).flatten(), atol=1e-5)


def test_thousands_of_lines_stay_bounded():
    x, gates = example((1, 1, 3, 4096))
    bounded = gates / gates.abs().sum(3, keepdim=True)
    for d in (RIGHT, LEFT):
        assert scan(x, bounded[:, d], d).abs().max() < 50
    positive = bounded.abs()
    assert scan4(x, positive).abs().max() <= x.abs().max() + 1e-4


def test_gates_are_normalised_to_one():
    raw = torch.tensor([2.0, -3.0, 1.0]).view(3, 1, 1)
    assert torch.allclose(normalize_gates(raw).abs().sum(), torch.tensor(1.0))
    small = torch.tensor([0.2, -0.3, 0.1]).view(3, 1, 1)
    assert torch.equal(normalize_gates(small), small)


@pytest.mark.parametrize("device", ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("neighbours", [1, 3])
def test_gradients_are_right_in_float64(shared, neighbours, device):
    x, gates = example((1, 2, 3, 4), shared, neighbours, dtype=torch.float64)
    x, gates = (map_.to(device).requires_grad_() for map_ in (x, gates))
    for pooled in ("max", "sum"):
        assert torch.autograd.gradcheck(partial(scan4, pooled=pooled), (x, gates))
    assert torch.autograd.gradcheck(lambda a, b: scan(a, b[:, 1], LEFT), (x, gates))


def test_any_strides_and_half_precision():
    x, gates = example((2, 3, 6, 5))
    turned = x.to(memory_format=torch.channels_last), gates.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert torch.equal(scan4(*turned), scan4(x, gates))
    half = scan4(x.bfloat16(), gates.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), scan4(x.bfloat16().float(), gates.bfloat16().float()), atol=0.05)


def test_autocast_scans_in_full_precision():
    x, gates = example()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scan4(x, gates), scan4(x, gates.float()))
        assert scan4(x.bfloat16(), gates).dtype == torch.float32


def test_pytorch_knows_the_operation():
    x, gates = example((1, 2, 4, 3))
    for summed in (False, True):
        arguments = (x.requires_grad_(), gates.requires_grad_(), [RIGHT, LEFT, DOWN, UP], summed)
        assert set(torch.library.opcheck(torch.ops.segmend.scan.default, arguments).values()) == {"SUCCESS"}


def test_it_compiles_and_exports():
    x, gates = example()

    class Layer(torch.nn.Module):
        def forward(self, x, gates):
            return scan4(x, normalize_gates(2 * gates)) + 1

    compiled = torch.compile(Layer(), fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, gates), Layer()(x, gates))
    exported = torch.export.export(Layer(), (x, gates)).module()
    assert torch.allclose(exported(x, gates), Layer()(x, gates))


@pytest.mark.parametrize("shape", [(2, 3, 3, 3, 5, 7), (2, 4, 2, 3, 5, 7), (2, 4, 3, 2, 5, 7), (1, 4, 3, 3, 5, 7)])
def test_gates_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="do not fit"):
        scan4(torch.zeros(2, 3, 5, 7), torch.zeros(shape))


def test_a_missing_library_falls_back_with_one_warning(monkeypatch, tmp_path):
    x, gates = example()
    expected = scan4(x, gates)
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "none.so")
    native._load.cache_clear()
    try:
        with pytest.warns(UserWarning, match="plain PyTorch"):
            found = scan4(x.requires_grad_(), gates)
        assert torch.allclose(found, expected, atol=1e-5)
        assert torch.autograd.grad(found.sum(), x)[0].shape == x.shape
        assert "none.so" in native.why_not()
    finally:
        native._load.cache_clear()


def test_spread_values_are_means_of_the_sparse_ones():
    torch.manual_seed(0)
    gates = 0.9 * normalize_gates(torch.rand(2, 4, 1, 3, 6, 7) + 0.5)
    evidence = torch.zeros(2, 1, 6, 7)
    evidence[:, :, 2, 3] = 1.0
    evidence[:, :, 4, 0] = 0.5
    values = torch.randn(2, 3, 6, 7)
    found, reached = spread(values, evidence, gates, rounds=2)
    sparse = torch.stack((values[:, :, 2, 3], values[:, :, 4, 0]))
    assert (reached > 0).all()
    assert (found <= sparse.amax(0)[:, :, None, None] + 1e-5).all()
    assert (found >= sparse.amin(0)[:, :, None, None] - 1e-5).all()
    one, _ = spread(torch.full_like(values, 0.3), evidence, gates)
    assert torch.allclose(one[reached.expand_as(one) > 1e-6], torch.tensor(0.3))


def test_spread_values_stop_at_closed_gates():
    gates = 0.9 * normalize_gates(torch.ones(1, 4, 1, 3, 8, 10))
    for direction, first in ((RIGHT, 5), (LEFT, 4)):
        gates[:, direction, :, :, :, first] = 0
    gates[:, [DOWN, UP], :, 0, :, 5] = 0
    gates[:, [DOWN, UP], :, 2, :, 4] = 0
    evidence, values = torch.zeros(1, 1, 8, 10), torch.zeros(1, 2, 8, 10)
    for channel, column in ((0, 1), (1, 8)):
        evidence[:, :, 3, column] = 1
        values[:, channel, 3, column] = 1
    found, reached = spread(values, evidence, gates, rounds=3)
    assert torch.allclose(found[:, 0, :, :5], torch.ones(1, 8, 5))
    assert torch.allclose(found[:, 1, :, 5:], torch.ones(1, 8, 5))
    assert (reached > 0).all()


def test_without_evidence_nothing_is_spread():
    values, reached = spread(torch.ones(1, 2, 4, 5), torch.zeros(1, 1, 4, 5), torch.zeros(1, 4, 1, 1, 4, 5))
    assert values.abs().max() == 0
    assert reached.max() == 0


def test_gates_that_sum_to_1_spread_nothing_and_no_nan():
    gates = normalize_gates(torch.ones(1, 4, 1, 3, 8, 10))
    values, reached = spread(torch.randn(1, 2, 8, 10), torch.ones(1, 1, 8, 10), gates, rounds=3)
    assert values.isfinite().all()
    assert reached.min() >= 0
