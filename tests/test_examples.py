"""Examples of the public functions run, and give what they show."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import segmend.borders
import segmend.check
import segmend.dual
import segmend.losses
import segmend.metrics
import segmend.ops
import segmend.video

PACKAGES = (segmend.losses, segmend.metrics, segmend.ops)
NOT_HERE = ("scan_triton",)  # Triton needs a GPU


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_has_an_example(package):
    named = {name: getattr(package, name) for name in package.__all__}
    without = [name for name, value in named.items() if callable(value) and ">>>" not in (value.__doc__ or "")]
    assert not without


@pytest.mark.parametrize(
    "name",
    [
        f"{package.__name__}.{module.name}"
        for package in (*PACKAGES, segmend.borders, segmend.check, segmend.dual, segmend.video)
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_") and module.name not in NOT_HERE
    ],
)
def test_examples_give_what_they_show(name):
    assert doctest.testmod(importlib.import_module(name), extraglobs={"np": np, "torch": torch}).failed == 0
