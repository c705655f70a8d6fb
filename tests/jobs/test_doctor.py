"""The doctor finds what is there, and says what to do about what is not."""

from segmend.jobs import doctor
from segmend.ops import native


def by_name():
    return {finding.what: finding for finding in doctor.examine()}


def test_it_names_the_backend_in_use_and_why(monkeypatch):
    found = by_name()
    assert found["scan on cpu"].found == ("native" if native.library() else "reference")
    monkeypatch.setenv(native.REFERENCE, "1")
    found = by_name()
    assert found["native library"].found == f"{native.REFERENCE} is set"
    assert not found["scan on cpu"].good
    assert "gcc" in found["scan on cpu"].advice


def test_a_missing_extra_comes_with_its_command(monkeypatch):
    monkeypatch.setitem(doctor.EXTRAS, "moon", ("no_such_module",))
    found = by_name()["extra moon"]
    assert not found.good
    assert found.advice == "pip install 'segmend[moon]'"
