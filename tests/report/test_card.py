"""The model card of a folder: a head that the hub reads, and the scores of an evaluation."""

import pytest
import yaml
from huggingface_hub import ModelCard

from segmend.report.card import dataset_of, model_card
from segmend.report.results import read_results


@pytest.fixture
def evaluation(folder):
    return read_results(folder / "results.json")


def head(text):
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_a_folder_without_a_card_gets_one_without_a_licence():
    text = model_card("", "corrector")
    assert head(text) == {
        "library_name": "segmend",
        "pipeline_tag": "image-segmentation",
        "tags": ["image-segmentation"],
    }
    assert "# corrector" in text


def test_what_a_card_says_stays():
    text = model_card("---\nlicense: mit\ntags:\n- faces\nextra: 3\n---\n\n# Mine\n\nWords.\n", "corrector")
    assert head(text)["license"] == "mit"
    assert head(text)["extra"] == 3
    assert head(text)["tags"] == ["faces", "image-segmentation"]
    assert "# Mine\n\nWords." in text
    assert model_card(text, "corrector") == text


def test_scores_are_in_the_head_and_in_a_table(evaluation):
    evaluation.truth = "/home/someone/cells/labels/val"
    text = model_card("# Mine\n\nWords.\n", "corrector", evaluation)
    results = ModelCard(text).data.eval_results
    assert {one.metric_type: one.metric_value for one in results}["mean_iou"] == round(
        evaluation.scores.mean_iou, 4
    )
    assert {(one.dataset_name, one.dataset_split, one.task_type) for one in results} == {
        ("cells", "val", "image-segmentation")
    }
    assert head(text)["model-index"][0]["name"] == "corrector"
    assert "someone" not in text
    assert "| IoU of cow |" in text
    assert "| IoU of grass &amp; &lt;b&gt;$x$&lt;/b&gt; | \N{EN DASH} |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert f"{100 * evaluation.scores.mean_iou:.1f}" in next(line for line in rows if "| mIoU |" in line)


def test_new_scores_replace_earlier_ones(evaluation):
    once = model_card("# Mine\n\nWords.\n", "corrector", evaluation)
    assert model_card(once, "corrector", evaluation) == once
    evaluation.scores.mean_iou = 0.1234
    twice = model_card(f"{once}\nMore words.\n", "corrector", evaluation)
    assert twice.count("## Evaluation") == 1
    assert "| 12.3 |" in twice
    assert "More words." in twice
    values = [one.metric_value for one in ModelCard(twice).data.eval_results if one.metric_type == "mean_iou"]
    assert values == [0.1234]


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ("data/labels/val", ("data", "val")),
        ("data/labels", ("data", None)),
        ("../x/labels/val/day", ("x", "val/day")),
        ("masks", ("masks", None)),
        ("labels/val", ("val", None)),
    ],
)
def test_the_data_set_is_named_by_its_folder(truth, expected, evaluation):
    evaluation.truth = truth
    assert dataset_of(evaluation) == expected
