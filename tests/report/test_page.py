"""The page: one file that holds all it needs, whatever is missing, and whose script runs in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from segmend.data.files import InvalidFile
from segmend.report.html import MOST_SKIPPED
from segmend.report.page import write_report
from segmend.report.results import Evaluation, ObjectRun, Review, Skipped, Tuning, read_results, write_results

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


class Page(HTMLParser):
    """The tags of a page with their attributes, and whether they are closed in order."""

    EMPTY = frozenset({"img", "meta", "input", "br", "path", "use"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def change(folder: Path, **changes: Any) -> Path:
    evaluation = read_results(folder / "results.json")
    assert isinstance(evaluation, Evaluation)
    write_results(folder / "results.json", evaluation.model_copy(update=changes))
    return folder


def without_coarse(folder: Path) -> Path:
    images = read_results(folder / "results.json").per_image  # type: ignore[union-attr]
    alone = {"coarse_mean_iou": None, "coarse_pixel_accuracy": None}
    images = [image.model_copy(update=alone) for image in images]
    return change(folder, coarse=None, coarse_scores=None, per_image=images, improved=None, degraded=None)


def without_images(folder: Path) -> Path:
    return change(folder, images=None)


def moved(folder: Path) -> Path:
    for name in ("truth", "coarse", "images", "out"):
        (folder / name).rename(folder / f"moved-{name}")
    return folder


def as_it_is(folder: Path) -> Path:
    return folder


VARIANTS = [as_it_is, without_coarse, without_images, moved]


def content_of(folder: Path) -> str:
    return write_report(folder / "results.json").read_text(encoding="utf-8")


def test_report_is_written_beside_the_results_by_default(folder: Path) -> None:
    assert write_report(folder / "results.json") == folder / "report.html"
    elsewhere = folder / "new" / "page.html"
    assert write_report(folder / "results.json", elsewhere) == elsewhere
    assert elsewhere.read_bytes() == (folder / "report.html").read_bytes()


@pytest.mark.parametrize("variant", VARIANTS)
def test_page_is_well_formed_and_needs_nothing_else(folder: Path, variant: Any) -> None:
    content = content_of(variant(folder))
    page = Page(content)
    assert page.open == []
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert not page.all("link")
    assert not re.search(r"@import|https?://|url\((?!#)", content)
    assert all(image.get("alt") is not None for image in page.all("img"))
    assert len(page.all("h1")) == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_figures_are_there_whatever_is_missing(folder: Path, variant: Any) -> None:
    content = content_of(variant(folder))
    assert "79.4" in content
    assert "Boundary IoU" in content
    assert "e.jpg" in content
    assert "the file is empty" in content
    assert ("72.6" in content) == (variant is not without_coarse)


def test_headline_table_and_cases_are_shown(folder: Path) -> None:
    content = content_of(folder)
    assert "mIoU 72.6 → 79.4 (+6.8)" in content
    assert "2 of 4 images improved, 1 degraded" in content
    assert [content.count(f"<h3>{name}") for name in ("a", "b", "d", "sub/c")] == [1, 1, 1, 0]
    for words in (
        "Changes",
        "3.0 pixels are corrected for each pixel that is\n      degraded",
        "Displacement",
        "rim of the wheel: 5 px",
        "ground truth: 3",
        "Fusion mask",
        "Confidence",
        "Entropy",
    ):
        assert words in content
    assert "universal" in content
    assert "Time of each part" in content


def test_confidence_is_shown_where_the_run_wrote_it(folder: Path) -> None:
    content = content_of(folder)
    assert "(expected calibration error) is\n      3.4 points" in content
    assert "Accuracy of the labels by confidence, in percent" in content
    assert re.search(r"0\.55 <small>highest mIoU</small></th>\s*<td>79.7</td>\s*<td>0.0 %</td>", content)
    assert "calibration error" not in content_of(change(folder, confidence=None))


def test_images_come_with_a_slider_only_where_there_are_two_maps(folder: Path) -> None:
    (folder / "coarse" / "a.png").unlink()
    ranges = [i for i in Page(content_of(folder)).all("input") if "aria-label" in i]
    assert len(ranges) == 2
    shutil.rmtree(folder / "out")
    assert not [i for i in Page(content_of(folder)).all("input") if "aria-label" in i]


def test_folder_that_moved_leaves_a_note(folder: Path) -> None:
    content = content_of(moved(folder))
    assert "The folder of the ground truth (truth) cannot be used: no such folder." in content
    assert str(folder) not in content


def test_names_are_escaped(folder: Path) -> None:
    content = content_of(folder)
    assert "grass &amp; &lt;b&gt;$x$&lt;/b&gt;" in content
    assert "no truth &lt;for&gt; it" in content
    assert "<b>$x$" not in content


def test_long_lists_of_skipped_inputs_are_cut(folder: Path) -> None:
    skipped = [Skipped(file=f"{i}.png", reason="empty") for i in range(MOST_SKIPPED + 10)]
    content = content_of(change(folder, skipped=skipped))
    assert "And 11 more" in content


def test_empty_evaluation_makes_a_page(folder: Path) -> None:
    content = content_of(change(folder, per_image=[], run=None, skipped=[]))
    assert "0 images scored" in content


def test_what_the_refiner_saw_of_the_folder_is_shown(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text())
    offset = {"pixels": 5.9, "low": 5.5, "high": 6.1, "is_evident": True, "curve": [0.0, 1.0]}
    borders = {"images": 24, "largest": "a", "distances": [-0.5, 0.5], "offset": offset, "on_border": 0.6}
    borders |= {"border_error_px": 0.5, "are_of_other_images": False}
    run = results.get("run") or {"version": "0", "command": "refine", "model": "universal", "classes": ["a"]}
    run |= {"done": 24, "seconds": {"total": 1.0}, "images_per_second": 24.0, "far_uncertainty": 0.06}
    results["run"] = run | {"look": {"borders": borders, "moved": "borders are moved", "is_left": False}}
    (folder / "results.json").write_text(json.dumps(results))
    page = write_report(folder / "results.json").read_text()
    for words in ("masks are about 5.9 px too small", "borders are moved", "6.0 % uncertain far from borders"):
        assert words in page


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (ObjectRun(version="0", model="m", done=1, objects=2, changed=1, expected_iou=0.5, seconds={}), "objects"),
        (
            Tuning(version="0", images=3, chosen="c", mean_iou=0.5, expected_gain=0, low=0, high=0, tried=[]),
            "segmend tune",
        ),
        (
            Review(
                version="0",
                images=3,
                decided=1,
                partly=0,
                changed=1,
                accepted_regions=1,
                kept_regions=0,
                changed_pixels=9,
            ),
            "segmend review",
        ),
    ],
)
def test_other_results_are_refused(tmp_path: Path, results: Any, words: str) -> None:
    write_results(tmp_path / "results.json", results)
    with pytest.raises(InvalidFile, match=words):
        write_report(tmp_path / "results.json")


def test_run_is_refused_with_a_hint(folder: Path) -> None:
    run = read_results(folder / "results.json").run  # type: ignore[union-attr]
    assert run is not None
    write_results(folder / "run.json", run)
    with pytest.raises(InvalidFile, match="segmend evaluate"):
        write_report(folder / "run.json")
    assert not (folder / "report.html").exists()


PROBE = """
<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message || event.target.outerHTML)), true);
addEventListener("load", () => {
  const clips = () => [...document.querySelectorAll(".layer")].map((l) => getComputedStyle(l).clipPath);
  const before = clips();
  for (const range of document.querySelectorAll("input[type=range]")) {
    range.value = 20;
    range.dispatchEvent(new Event("input"));
  }
  parent.postMessage(JSON.stringify({
    name: window.name,
    errors,
    ready: document.documentElement.dataset.ready,
    images: document.images.length,
    broken: [...document.images].filter((image) => image.naturalWidth === 0).length,
    before,
    after: clips(),
    opacity: getComputedStyle(document.documentElement).getPropertyValue("--opacity").trim(),
    overflow: document.documentElement.scrollWidth - innerWidth,
    charts: [...document.querySelectorAll("svg.chart")].filter((svg) => svg.clientWidth).length,
  }), "*");
});
</script>
"""

WRAPPER = """<!doctype html><title>wrapper</title><pre></pre><script>
addEventListener("message", (event) => { document.querySelector("pre").append(event.data + "\\n"); });
</script>"""


def browse(folder: Path, pages: dict[str, tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """What a probe in each page (content, width) reports from a browser, all in one wrapper."""
    wrapper = WRAPPER
    for name, (content, width) in pages.items():
        (folder / f"{name}.html").write_text(content.replace("<head>", "<head>" + PROBE), encoding="utf-8")
        wrapper += f'<iframe name="{name}" src="{name}.html" style="width: {width}px; height: 800px"></iframe>'
    (folder / "wrapper.html").write_text(wrapper, encoding="utf-8")
    switches = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        "disable-component-update disable-sync virtual-time-budget=20000 dump-dom "
        f"user-data-dir={folder / 'profile'}"
    )
    command = [
        str(CHROMIUM),
        *(f"--{switch}" for switch in switches.split(" ")),
        (folder / "wrapper.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    lines = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert lines, done.stderr
    reports = [json.loads(line) for line in lines[1].splitlines() if line]
    return {report["name"]: report for report in reports}


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: no chromium on the PATH")
def test_page_works_in_a_browser(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = content_of(folder)
    pages = {"wide": (whole, 1200), "narrow": (whole, 360)}
    pages["plain"] = (content_of(without_coarse(folder)), 360)
    reports = browse(tmp_path_factory.mktemp("browser"), pages)
    assert set(reports) == set(pages)
    for report in reports.values():
        assert report["errors"] == []
        assert report["ready"] == "true"
        assert report["images"] > 0
        assert report["broken"] == 0
        assert report["overflow"] <= 0
        assert report["opacity"] == "20%"
    for name in ("wide", "narrow"):
        before, after = reports[name]["before"], reports[name]["after"]
        assert len(before) == 2 * 3
        assert all(old != new and "20%" in new for old, new in zip(before[1::2], after[1::2], strict=True))
        assert all(old != new for old, new in zip(before[::2], after[::2], strict=True))
        assert reports[name]["charts"] == 4
    assert set(reports["plain"]["after"]) == {"none"}
