"""The page of a propagation: quality by distance, and frames that a script steps through."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.files import InvalidFile
from segmend.data.images import write_image
from segmend.data.manifest import Entry, Source, append_entry
from segmend.data.masks import write_labels
from segmend.data.probabilities import write_arrays
from segmend.labels import InvalidInput
from segmend.report.cases import Change
from segmend.report.charts import quality_chart, series_key
from segmend.report.frames import MAP_SIDE, MOST_FRAMES, SIDE, WHOLE, choose_frames, errors_in, read_frames
from segmend.report.page import write_report
from segmend.report.propagation import MOST_BYTES, _within, view_frames
from segmend.report.results import Propagation, Quality, Run, Skipped, read_results, write_results

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)

CLASSES = ["road", "car & <b>van</b>"]
SIZE = (30, 40)


def given(frame: str) -> Entry:
    return Entry(frame, "train", frame)


def copied(frame: str, *sources: tuple[str, int]) -> Entry:
    return Entry(
        frame,
        "train",
        frame,
        tuple(Source(*source) for source in sources),
        method="copy",
        model="copy",
        confidence=0.84,
        kept={"road": (800, 1000), CLASSES[1]: (100, 200)},
    )


def labels_of(shift: int) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[10:20, 5 + shift : 15 + shift] = 1
    return labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A propagation of frames 0 and 4 of the sequence ``a`` to those between, with ground truth of frame 2."""
    out = tmp_path / "out"
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for i in range(5):
        frame = f"a/{i:05}"
        write_image(out / "images" / "train" / f"{frame}.png", photo)
        labels = labels_of(i)
        if i in (0, 4):
            append_entry(out, given(frame))
        else:
            labels[:, :2] = 255
            confidence = np.full(SIZE, 214, np.uint8)
            write_labels(out / "confidence" / "train" / f"{frame}.png", confidence)
            append_entry(out, copied(frame, ("a/00000", i), ("a/00004", i - 4)))
        write_labels(out / "labels" / "train" / f"{frame}.png", labels)
    field = np.stack([np.full(SIZE, 3.0), np.full(SIZE, -4.0)]).astype(np.float16)
    write_arrays(out / "details" / "train" / "a" / "00001.npz", displacement=field)
    truth = np.where(labels_of(3) == 1, 7, 3).astype(np.uint8)  # its classes are stored as 3 and 7
    write_labels(tmp_path / "truth" / "a" / "00002.png", truth)
    write_results(out / "results.json", results_of("copy", "Method <1>", [0.91, 0.82]))
    return tmp_path


def results_of(method: Any, name: str, mean_ious: list[float]) -> Propagation:
    return Propagation(
        version="0.1.0",
        method=method,
        mode="lp",
        model=f"{method} 1f2e",
        name=name,
        classes=CLASSES,
        palette=[(128, 64, 128), (0, 0, 142)],
        steps=4,
        split="train",
        truth="../truth",
        ids=(3, 7),
        labelled=2,
        done=2,
        kept=1,
        kept_share={"road": 0.8, CLASSES[1]: 0.5},
        quality=[
            Quality(distance=i, images=2, mean_iou=value, pixel_accuracy=0.97, kept=0.75)
            for i, value in enumerate(mean_ious, 1)
        ],
        seconds={"motion": 1.5, "total": 2.0},
        frames_per_second=1.0,
        skipped=[Skipped(file="frames/b.png", reason="the file is empty")],
        notes=["frames have <2> sizes"],
    )


def change(folder: Path, **changes: Any) -> Path:
    path = folder / "out" / "results.json"
    write_results(path, read_results(path).model_copy(update=changes))
    return path


def page_of(folder: Path) -> str:
    return write_report(folder / "out" / "results.json").read_text(encoding="utf-8")


class Page(HTMLParser):
    """The images of a page's frames by the frame's label, and every address in it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.frames: dict[str, list[str]] = {}
        self.addresses: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.addresses += [found[name] for name in ("src", "href", "srcset", "action", "data") if name in found]
        if found.get("class") == "frame":
            self.frames[found["aria-label"]] = []
        elif tag == "img":
            list(self.frames.values())[-1].append(found["alt"])


def test_distances_at_which_nothing_was_kept_have_a_dash(folder: Path) -> None:
    nothing = Quality(distance=3, images=2, mean_iou=None, pixel_accuracy=None, kept=0)
    change(folder, quality=[*results_of("copy", "copy", [0.91, 0.82]).quality, nothing])
    row = re.search(r'<th scope="row">3</th>(.*?)</tr>', page_of(folder), re.DOTALL)
    assert row is not None
    assert re.findall("<td>(.*?)</td>", row[1]) == ["\N{EN DASH}", "\N{EN DASH}", "0.0"]


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    results = results_of("flow", "flow", [0.9])
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_page_shows_headline_quality_and_what_was_kept(folder: Path) -> None:
    content = page_of(folder)
    assert "3 frames labelled from 2 <span>Method &lt;1&gt;: 75.0 % of the propagated labels kept" in content
    assert re.search(r"<td>91.0</td><td>97.0</td><td>75.0</td>", content)
    for words in (
        "Note: frames have &lt;2&gt; sizes.",
        "car &amp; &lt;b&gt;van&lt;/b&gt;",
        "frames/b.png",
        "the file is empty",
        "at most 4",
        "2 done, 1 kept from an earlier run",
        "1.5 s",
    ):
        assert words in content
    assert "<b>van" not in content


def test_page_needs_nothing_else(folder: Path) -> None:
    content = page_of(folder)
    assert all(address.startswith(("data:", "#")) for address in Page(content).addresses)
    assert not re.search(r"@import|https?://|url\((?!#)", content)
    assert str(folder) not in content


def test_each_frame_is_shown_with_its_maps(folder: Path) -> None:
    frames = Page(page_of(folder)).frames
    assert frames["a/00000, labelled frame"] == ["", "Labels of a/00000"]
    assert frames["a/00001, 1 frame after 00000 and 3 before 00004"] == [
        "",
        "Labels of a/00001",
        "Confidence map",
        "Displacement field, colours for up to 5 pixels",
        "Colour wheel of directions",
    ]
    # 2 columns of 10 pixels are wrong, none of them in the 2 columns that are void
    wrong = f"Errors: wrong {100 * 20 / (30 * 38):.1f} %"
    assert frames["a/00002, 2 frames after 00000 and 2 before 00004"][2:] == [wrong, "Confidence map"]


def test_void_counts_neither_as_right_nor_as_wrong() -> None:
    labels = np.array([[0, 1, 255, 0]], np.uint8)
    truth = np.array([[0, 0, 1, 65535]], np.int32)
    expected = [Change.RIGHT, Change.MISSED, Change.VOID, Change.VOID]
    assert errors_in(labels, truth).tolist() == [expected]


def test_without_ground_truth_there_is_no_quality(folder: Path) -> None:
    change(folder, truth=None, ids=None, quality=[])
    content = page_of(folder)
    assert "Quality by distance" not in content
    assert ">Errors<" not in content


def test_ground_truth_in_a_data_set_may_have_another_void(folder: Path) -> None:
    root = folder / "set"
    truth = labels_of(2)
    truth[25:] = 9
    write_labels(root / "labels" / "val" / "a" / "00002.png", truth)
    (root / "dataset.yaml").write_text("name: set\nclasses: [road, car]\nvoid: 9\n", encoding="utf-8")
    change(folder, truth="../set/labels/val", ids=None)
    assert "Errors: wrong 0.0 %" in page_of(folder)


def missing_manifest(folder: Path) -> str:
    (folder / "out" / "manifest.jsonl").unlink()
    return "The frames are not shown: manifest.jsonl in the folder of the data set is missing."


def broken_manifest(folder: Path) -> str:
    (folder / "out" / "manifest.jsonl").write_text("[1]\n", encoding="utf-8")
    return "The frames are not shown: manifest.jsonl: line 1 is not an entry"


def other_split(folder: Path) -> str:
    change(folder, split="val")
    return "The frames are not shown: manifest.jsonl in the folder of the data set names no frame."


def missing_images(folder: Path) -> str:
    shutil.rmtree(folder / "out" / "images")
    return "The image of 5 frames is not shown, such as that of a/00000: the file is missing."


def broken_labels(folder: Path) -> str:
    (folder / "out" / "labels" / "train" / "a" / "00003.png").write_bytes(b"no image")
    return "The label map of a/00003 is not shown: "


def other_size(folder: Path) -> str:
    write_labels(folder / "out" / "confidence" / "train" / "a" / "00003.png", np.zeros((4, 6), np.uint8))
    return "The confidence map of a/00003 is not shown: 6 x 4 pixels, its label map has 40 x 30."


def missing_truth(folder: Path) -> str:
    shutil.rmtree(folder / "truth")
    return "The folder of the ground truth (../truth) cannot be used: no such folder."


def foreign_truth(folder: Path) -> str:
    (folder / "truth" / "a" / "00002.png").rename(folder / "truth" / "other.png")
    return (
        "The folder of the ground truth (../truth) cannot be used: none of its label maps is named like a frame."
    )


def empty_details(folder: Path) -> str:
    write_arrays(folder / "out" / "details" / "train" / "a" / "00001.npz", other=np.zeros(SIZE))
    return (
        "The displacement field of a/00001 is not shown: expected an array `displacement` [2, H, W], found none."
    )


def nothing_else(folder: Path) -> str:
    for path in (folder / "out").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    return "The label map of 5 frames is not shown"


FAULTS = [
    missing_manifest,
    broken_manifest,
    other_split,
    missing_images,
    broken_labels,
    other_size,
    missing_truth,
    foreign_truth,
    empty_details,
    nothing_else,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_missing_files_are_notes(folder: Path, fault: Any) -> None:
    note = fault(folder)
    content = page_of(folder)
    assert f"<p>{note}" in content
    assert "91.0" in content
    assert str(folder) not in content


def test_propagations_are_compared(folder: Path) -> None:
    for name, mean_iou in (("flow", [0.95]), ("learned", [])):
        (folder / name).mkdir()
        write_results(folder / name / "results.json", results_of(name, "Method <1>", mean_iou))
    files = [folder / name / "results.json" for name in ("out", "flow", "learned")]
    assert write_report(files) == folder / "out" / "report.html"
    content = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "Method &lt;1&gt; (flow)" in content
    assert "Method &lt;1&gt; (learned): not compared, its quality was not measured." in content
    row = re.search(r'<th scope="row">2</th>(.*?)</tr>', content, re.DOTALL)
    assert row
    assert re.findall(r"<td>(.*?)</td>", row[1]) == ["82.0", "97.0", "75.0", *["&ndash;"] * 3]
    assert len(Page(content).frames) == 5


def test_results_that_cannot_be_compared_are_refused(folder: Path) -> None:
    first = folder / "out" / "results.json"
    run = Run(
        version="0.1.0", command="refine", model="m", classes=["a"], done=1, seconds={}, images_per_second=1.0
    )
    write_results(folder / "run.json", run)
    other = results_of("flow", "flow", [0.9]).model_copy(update={"classes": ["sea", "ship"]})
    write_results(folder / "other.json", other)
    with pytest.raises(InvalidFile, match=r"run\.json: .*segmend refine"):
        write_report([first, folder / "run.json"])
    with pytest.raises(InvalidFile, match=r"other\.json: expected the classes of .*found sea, ship"):
        write_report([first, folder / "other.json"])
    with pytest.raises(InvalidInput, match="found none"):
        write_report([])
    assert not (folder / "out" / "report.html").exists()


def test_command_takes_several_results(folder: Path) -> None:
    shutil.copytree(folder / "out", folder / "again")
    files = [str(folder / name / "results.json") for name in ("out", "again")]
    done = CliRunner().invoke(app, ["report", *files, "--out", str(folder / "both.html")])
    assert done.exit_code == 0, done.output
    assert "Method &lt;1&gt; (again)" in (folder / "both.html").read_text(encoding="utf-8")


def lp_sequence(name: str, frames: int, every: int) -> list[Entry]:
    ids = [f"{name}/{i}" for i in range(frames)]  # without leading zeros: order is by number
    return [
        given(frame) if i % every == 0 else copied(frame, (ids[i // every * every], i % every))
        for i, frame in enumerate(ids)
    ]


def test_all_frames_are_shown_where_they_are_few() -> None:
    entries = lp_sequence("a", 20, 5)
    assert choose_frames(reversed(entries), "lp") == entries


def test_whole_runs_are_chosen_from_all_sequences() -> None:
    entries = [entry for name in "abc" for entry in lp_sequence(name, 101, 10)]
    chosen = choose_frames(entries, "lp")
    assert len(chosen) <= MOST_FRAMES
    for name in "abc":
        numbers = [int(e.frame[2:]) for e in chosen if e.frame.startswith(name)]
        assert numbers == list(range(len(numbers)))
        assert numbers[-1] % 10 == 0
        assert len(numbers) >= 11


def test_long_runs_are_thinned_and_many_sequences_spread() -> None:
    chosen = choose_frames(lp_sequence("a", 500, 1000), "lp")
    numbers = [int(entry.frame[2:]) for entry in chosen]
    assert len(numbers) == MOST_FRAMES
    assert (numbers[0], numbers[-1]) == (0, 499)
    assert set(np.diff(numbers)) <= {10, 11}
    many = [entry for i in range(30) for entry in lp_sequence(f"s{i:02}", 100, 100)]
    found = [entry.frame.split("/")[0] for entry in choose_frames(many, "lp")]
    assert found == ["s00"] * WHOLE + ["s29"] * WHOLE


def test_frames_of_one_source_belong_together_where_frames_are_propagated_too() -> None:
    entries = [given("a/2"), given("a/4")]
    for source in (2, 4):
        for i in (source - 1, source + 1):
            entry = copied(f"a/{i}", (f"a/{source}", i - source))
            entries.append(Entry(**{**entry.__dict__, "id": f"a/{i}_from_{source}", "mode": "jp"}))
    ids = [entry.id for entry in choose_frames(entries, "jp")]
    assert ids == ["a/1_from_2", "a/2", "a/3_from_2", "a/3_from_4", "a/4", "a/5_from_4"]


def test_nothing_is_chosen_where_nothing_was_propagated() -> None:
    assert choose_frames([], "lp") == []
    assert choose_frames([given("a"), given("b")], "lp") == []


def test_frames_are_shrunk_and_their_maps_more(folder: Path) -> None:
    out = folder / "out"
    for kind in ("images", "labels", "confidence"):
        values = np.zeros((300, 1200, 3) if kind == "images" else (300, 1200), np.uint8)
        write = write_image if kind == "images" else write_labels
        write(out / kind / "train" / "b.png", values)
    results = read_results(out / "results.json")
    assert isinstance(results, Propagation)
    (frame,) = read_frames(results, out, [copied("b", ("a", 1))], [copied("b", ("a", 1))], [])
    assert frame.image is not None
    assert frame.confidence is not None
    assert frame.image.shape == (SIDE // 4, SIDE, 3)
    assert frame.size == (SIDE // 4, SIDE)
    assert frame.confidence.shape == (MAP_SIDE // 4, MAP_SIDE)
    (view,) = view_frames([frame], results_classes(results))
    assert (view.name, view.origin) == ("b", "1 frame after a")


def results_classes(results: Propagation) -> Any:
    from segmend.labels import Classes

    return Classes(tuple(results.classes), tuple(results.palette))


def test_page_stays_small(folder: Path) -> None:
    class View:
        characters = MOST_BYTES // 3

    assert len(_within(MOST_BYTES, [View()] * 8)) == 3  # type: ignore[list-item]
    assert len(_within(1, [View()] * 8)) == 1  # type: ignore[list-item]
    assert _within(1, []) == []
    assert (folder / "out" / "results.json").stat().st_size < len(page_of(folder)) < 300_000


def test_curves_differ_by_more_than_their_colour() -> None:
    keys = [series_key(i) for i in range(6)]
    colours = [re.findall(r"--series-\d", key) for key in keys]
    shapes = [re.findall(r'path d="(.*?)"|dasharray="(.*?)"', key) for key in keys]
    assert len({str(colour) for colour in colours}) == len({str(shape) for shape in shapes}) == 6
    svg = quality_chart([("one", [(1, 0.9), (3, 0.8)]), ("two", [(1, 0.9), (3, 0.8)])])
    heights = re.findall(r'<text[^>]*y="([\d.]+)"[^>]*>(?:one|two)</text>', svg)
    assert len(heights) == 4
    assert len(set(heights)) > 1
    assert "var(--series-1)" in svg
    assert "var(--series-2)" in svg


@pytest.mark.parametrize("points", [[(4, 0.5)], [(1, float("nan")), (2, 0.5)], [(1, float("nan"))], []])
def test_chart_of_few_points(points: list[tuple[int, float]]) -> None:
    assert quality_chart([("one", points)]).count("</svg>") == 2


PROBE = """
<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)), true);
addEventListener("load", () => {
  const shown = () => [...document.querySelectorAll(".frame")]
    .filter((frame) => getComputedStyle(frame).visibility === "visible")
    .map((frame) => frame.querySelector("h3").firstChild.textContent.trim());
  const seen = [shown()];
  const press = (key) => {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    seen.push(shown());
  };
  press("ArrowRight");
  press("ArrowLeft");
  press("ArrowLeft");
  press("ArrowLeft");
  const range = document.querySelector(".timeline input");
  range.value = 2;
  range.dispatchEvent(new Event("input"));
  seen.push(shown());
  document.querySelector("[data-step='1']").click();
  seen.push(shown());
  parent.postMessage(JSON.stringify({
    errors,
    seen,
    place: document.querySelector("output").value,
    overflow: document.documentElement.scrollWidth - innerWidth,
  }), "*");
});
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: no chromium on the PATH")
def test_script_steps_through_the_frames(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("browser")
    content = page_of(folder)
    (place / "page.html").write_text(content.replace("<head>", "<head>" + PROBE), encoding="utf-8")
    (place / "wrapper.html").write_text(
        "<!doctype html><pre></pre><script>"
        'addEventListener("message", (event) => { document.querySelector("pre").append(event.data); });'
        '</script><iframe src="page.html" style="width: 360px; height: 800px"></iframe>',
        encoding="utf-8",
    )
    switches = "headless no-sandbox disable-gpu no-first-run virtual-time-budget=20000 dump-dom"
    command = [str(CHROMIUM), *(f"--{switch}" for switch in switches.split(" "))]
    command += [f"--user-data-dir={place / 'profile'}", (place / "wrapper.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert found, done.stderr
    report = json.loads(found[1])
    assert report["errors"] == []
    assert report["seen"] == [[f"a/{i:05}"] for i in (1, 2, 1, 0, 4, 2, 3)]
    assert report["place"] == "4 / 5"
    assert report["overflow"] <= 0
