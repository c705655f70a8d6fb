"""Charts take their text, colours and fonts from the page."""

import re

import pytest

from segmend.report.cases import Pair
from segmend.report.charts import MOST_CLASSES, WIDTHS, class_chart, gains_chart, trimap_chart
from segmend.report.collect import ClassScore

NONE = Pair(None, None)


def text_of(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def class_scores(count: int) -> list[ClassScore]:
    return [ClassScore(f"<{i}> $a_{i}$", (0, 0, 0), Pair(0.5, 0.5 - i / 1000), NONE) for i in range(count)]


CHARTS = {
    "trimap": trimap_chart([0.5, 0.6, 0.7], [0.6, 0.7, 0.8]),
    "one width": trimap_chart([0.5], [0.6]),
    "after only": trimap_chart(None, [0.6, 0.7, 0.8]),
    "classes": class_chart(class_scores(4), compared=True),
    "no class": class_chart([], compared=True),
    "gains": gains_chart([0.2, 0.0, -0.1]),
    "no gain": gains_chart([0.0]),
}


@pytest.mark.parametrize("svg", CHARTS.values(), ids=CHARTS)
def test_chart_belongs_to_the_page(svg: str) -> None:
    assert svg.count("<svg ") == svg.count("</svg>") == len(WIDTHS)
    assert "<text" in svg
    for foreign in ("<?xml", "<!DOCTYPE", "<metadata", "<style", "http", "DejaVu", "#ffffff", "#0101"):
        assert foreign not in svg
    assert "var(--" in svg


def test_charts_of_a_page_do_not_share_identities() -> None:
    identities = re.findall(r' id="([^"]+)"', "".join(CHARTS[name] for name in ("trimap", "classes", "gains")))
    assert identities
    assert len(set(identities)) == len(identities)


def test_curves_are_named_at_their_ends() -> None:
    assert {"Coarse 70.0", "Refined 80.0"} <= set(text_of(CHARTS["trimap"]))


def test_class_names_are_text_not_formulas_or_tags() -> None:
    assert "&lt;1&gt; $a_1$" in text_of(CHARTS["classes"])


def test_long_lists_of_classes_keep_both_ends() -> None:
    words = text_of(class_chart(class_scores(150), compared=True))
    assert len([word for word in words if "$" in word]) == MOST_CLASSES * len(WIDTHS)
    assert {"&lt;0&gt; $a_0$", "&lt;149&gt; $a_149$"} <= set(words)


def test_class_without_score_is_left_out() -> None:
    rows = [*class_scores(1), ClassScore("nowhere", (0, 0, 0), NONE, NONE)]
    assert "nowhere" not in text_of(class_chart(rows, compared=True))


def test_charts_are_the_same_every_time() -> None:
    assert trimap_chart([0.5, 0.6, 0.7], [0.6, 0.7, 0.8]) == CHARTS["trimap"]
