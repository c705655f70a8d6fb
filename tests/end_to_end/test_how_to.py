"""The how-to pages' code runs as it stands there."""

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs" / "how_to").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    if page.stem == "spread_colours":
        # The nearest stroke's colour, which needs no edges, is farther off.
        from scipy import ndimage

        known = names["strokes"][0, 0].numpy() > 0
        rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
        nearest = (names["colours"][:, :, rows, columns] - names["colours"]).abs().mean() * 255
        assert names["error"] < 0.9 * nearest
