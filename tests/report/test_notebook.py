"""What results show of themselves in a notebook."""

import re
from html import unescape

from segmend.report.results import (
    Evaluation,
    Inspection,
    MeasuredBorders,
    Propagation,
    Quality,
    Run,
    Skipped,
    Tried,
    Tuning,
    read_results,
)
from segmend.report.wording import MINUS, NONE


def cells(html):
    """The cells of each row of the table, as a reader sees them."""
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)] for row in rows]


def sentences(html):
    return [unescape(one) for one in re.findall(r"<li>(.*?)</li>", html)]


def test_an_evaluation_shows_scores_before_and_after_and_names_are_escaped(folder):
    results = read_results(folder / "results.json")
    assert isinstance(results, Evaluation)
    html = results._repr_html_()
    head, *rows = cells(html)
    assert head == ["", "coarse, %", "refined, %", "gain"]
    found = {name: figures for name, *figures in rows}
    before, after = results.coarse_scores.mean_iou, results.scores.mean_iou
    assert found["mIoU"] == [f"{100 * before:.1f}", f"{100 * after:.1f}", f"{100 * (after - before):+.1f}"]
    assert found["IoU of grass & <b>$x$</b>"] == [NONE] * 3
    assert "<b>" not in html
    assert sentences(html)[0] == "4 images scored: 50% improved, 25% degraded"
    alone = results.model_copy(update={"coarse_scores": None, "improved": None, "degraded": None})
    assert cells(alone._repr_html_())[1] == ["mIoU", f"{100 * after:.1f}"]


def test_other_results_show_what_their_commands_print():
    skipped = [Skipped(file=f"{i}.png", reason="empty") for i in range(7)]
    borders = MeasuredBorders(
        images=0,
        largest="sky",
        distances=[],
        offset=None,
        on_border=0.0,
        border_error_px=0.0,
        are_of_other_images=False,
    )
    inspection = Inspection(version="1", images=7, borders=borders, classes={}, void=0, sizes={}, files={})
    assert "no borders were measured" in sentences(inspection._repr_html_())[0]
    run = Run(
        version="1",
        command="refine",
        model="universal",
        classes=["a"],
        done=3,
        seconds={},
        images_per_second=1,
        changed=0.0123,
        skipped=skipped,
    )
    shown = sentences(run._repr_html_())
    assert shown[:3] == ["refine: 3 images written by universal", "1.2 % of pixels changed", "0.png: empty"]
    assert shown[-1] == "and 2 more"
    propagation = Propagation(
        version="1",
        method="flow",
        mode="lp",
        model="",
        name="flow",
        classes=["a"],
        palette=[(0, 0, 0)],
        steps=5,
        split="train",
        labelled=2,
        done=8,
        quality=[Quality(distance=3, images=4, mean_iou=0.812, pixel_accuracy=None, kept=0.9)],
        seconds={},
        frames_per_second=1,
    )
    assert cells(propagation._repr_html_())[1] == ["3", "4", "81.2", "90.0"]
    assert sentences(propagation._repr_html_()) == ["8 images made from 2 labelled"]
    tuning = Tuning(
        version="1",
        images=5,
        chosen="none",
        mean_iou=0.5,
        expected_gain=0,
        low=0,
        high=0,
        tried=[Tried(name="none", gain=0, unlucky=0), Tried(name="crf, 1", gain=0.02, unlucky=-0.01)],
    )
    assert cells(tuning._repr_html_())[1:] == [["none", "0.0", "0.0"], ["crf, 1", "+2.0", f"{MINUS}1.0"]]
