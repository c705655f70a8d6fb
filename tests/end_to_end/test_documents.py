"""Documents: links lead somewhere, and pages that must stay short do."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*/log.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchor(heading):
    """The name by which a page's heading is linked."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if not link.startswith(("http://", "https://")):
            path, _, name = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            if name:
                headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert name in map(anchor, headings), link


def test_the_architecture_fits_on_a_screen_or_two():
    assert len((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()) <= 80


def test_a_decision_is_short_and_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    for page in folder.glob("0*.md"):
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 25
        assert f"({page.name})" in index
