"""Examples of the public functions run, and give what they show."""

import doctest
import importlib
import pkgutil

import pytest

import segmend.losses
import segmend.metrics
import segmend.ops

PACKAGES = (segmend.losses, segmend.metrics, segmend.ops)
NEEDS_A_GPU = "segmend.ops.scan_triton"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_has_an_example(package):
    named = {name: getattr(package, name) for name in package.__all__}
    without = [name for name, value in named.items() if callable(value) and ">>>" not in (value.__doc__ or "")]
    assert not without


@pytest.mark.parametrize(
    "name",
    [
        f"{package.__name__}.{module.name}"
        for package in PACKAGES
        for module in pkgutil.iter_modules(package.__path__)
        if f"{package.__name__}.{module.name}" != NEEDS_A_GPU
    ],
)
def test_examples_give_what_they_show(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
