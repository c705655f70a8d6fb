"""The doctor reports what works, and the command for what does not."""

import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmend.cli import app
from segmend.jobs import doctor
from segmend.labels import InvalidInput
from segmend.ops import native


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Extras that are imported in no time."""
    for name in doctor.EXTRAS:
        monkeypatch.setitem(doctor.EXTRAS, name, ("json",))


def by_name(*required):
    return {finding.what: finding for finding in doctor.examine(required)}


def test_it_names_the_backend_in_use_and_why(monkeypatch):
    found = by_name()
    assert found["scan on cpu"].found == ("native" if native.library() else "plain PyTorch, slow")
    monkeypatch.setenv(native.REFERENCE, "1")
    found = by_name()
    assert found["native library"].found == f"{native.REFERENCE} is set"
    assert found["native library"].state == found["scan on cpu"].state == "missing"
    assert "gcc" in found["scan on cpu"].advice


def test_a_library_that_cannot_be_loaded_is_broken(monkeypatch, tmp_path):
    (tmp_path / "_native.so").write_text("not a library")
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "_native.so")
    native._load.cache_clear()
    try:
        assert doctor._library().state == "broken"
    finally:
        native._load.cache_clear()


def test_every_extra_of_the_package_is_checked(monkeypatch):
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert doctor.EXTRAS.keys() == extras["optional-dependencies"].keys() - {"all", "dev", "docs"}
    assert {f"extra {name}" for name in doctor.EXTRAS} <= by_name().keys()


def test_a_missing_extra_comes_with_its_command_and_is_broken_where_it_is_required(monkeypatch):
    monkeypatch.setitem(doctor.EXTRAS, "crf", ("no_such_module",))
    found = by_name("train")["extra crf"]
    assert (found.state, found.advice) == ("missing", "pip install 'segmend[crf]'")
    for required in ("crf", "all"):
        assert by_name(required)["extra crf"].state == "broken"
    with pytest.raises(InvalidInput, match="no extra is called 'moon': expected train"):
        by_name("moon")


def test_an_extra_that_is_installed_and_fails_is_broken(monkeypatch, tmp_path):
    (tmp_path / "failing_module.py").write_text("raise OSError('libmoon.so: not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(doctor.EXTRAS, "crf", ("failing_module",))
    found = by_name()["extra crf"]
    assert found.state == "broken"
    assert "libmoon.so" in found.found
    monkeypatch.delitem(sys.modules, "failing_module", raising=False)


def test_shipped_weights_are_loaded(monkeypatch):
    assert by_name()["weights"].state == "ok"

    def corrupted(name):
        raise InvalidInput(f"{name}: its weights cannot be loaded")

    monkeypatch.setattr(doctor, "load", corrupted)
    found = by_name()["weights"]
    assert found.state == "broken"
    assert "cannot be loaded" in found.found


def test_shipped_weights_of_motion_are_loaded(monkeypatch):
    assert by_name()["motion weights"].state == "ok"

    def corrupted():
        raise InvalidInput("its weights cannot be loaded")

    monkeypatch.setattr(doctor, "load_motion", corrupted)
    assert by_name()["motion weights"].state == "broken"


def test_the_command_fails_where_something_is_broken(monkeypatch):
    monkeypatch.setitem(doctor.EXTRAS, "crf", ("no_such_module",))
    fine = CliRunner().invoke(app, ["doctor"])
    assert fine.exit_code == 0
    assert "-- extra crf" in fine.output
    broken = CliRunner().invoke(app, ["doctor", "crf"])
    assert broken.exit_code == 1
    assert "!! extra crf" in broken.output
