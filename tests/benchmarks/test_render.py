"""The result pages and the README's table are those that the raw figures give."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import render
from targets import Target


def test_pages_are_as_rendered(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["render.py", "--check"])
    render.main()
    assert "up to date" in capsys.readouterr().out


def test_a_figure_typed_by_hand_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["render.py", "--check"])
    for file, text in render.pages():
        copy = tmp_path / file.relative_to(render.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
    monkeypatch.setattr(render, "ROOT", tmp_path)
    monkeypatch.setattr(render, "RESULTS", tmp_path / "docs" / "results")
    render.main()
    page = tmp_path / "docs" / "results" / "occluders.md"
    page.write_text(page.read_text(encoding="utf-8").replace("81.6", "91.6"), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"occluders\.md"):
        render.main()


@pytest.mark.parametrize(("rule", "met"), [("at least", True), ("at most", True), ("more than", False)])
def test_a_figure_at_the_bound(rule, met):
    target = Target("set", "method", "figure", 2.0, rule, 2)
    assert target.met is met
    assert target.row()[-1] == ("met" if met else "**not met**")
