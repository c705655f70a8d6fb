"""The model card of a folder (``README.md``): its front matter for the hub, and the table of an evaluation."""

from __future__ import annotations

import html
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from segmend.report.results import Evaluation, Scores
from segmend.report.wording import percent

LIBRARY, TASK = "segmend", "image-segmentation"

START, END = "<!-- evaluation -->", "<!-- end of evaluation -->"
"""Between them stands what `model_card` writes, and what it replaces."""

METRICS = {
    "mean_iou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "boundary_iou": "boundary IoU",
    "boundary_f": "boundary F",
}
"""Fields of `Scores` in the table and in the front matter, and their names."""


def model_card(text: str, name: str, evaluation: Evaluation | None = None) -> str:
    """A model card that the hub can read.

    Args:
        text: the card as it is; empty where there is none. What its front matter says stays, its licence too:
            where it names none, none is named.
        name: of the model.
        evaluation: whose scores become a table, and the ``model-index`` of the front matter. Those of an earlier
            call are replaced.
    """
    card = ModelCard(text if text.strip() else f"# {name}\n", ignore_metadata_errors=False)
    data = card.data
    assert isinstance(data, ModelCardData)
    data.library_name = LIBRARY
    data.pipeline_tag = data.pipeline_tag or TASK
    data.tags = list(dict.fromkeys([*(data.tags or []), TASK]))
    if evaluation is not None:
        data.model_name = name
        data.eval_results = _results(evaluation)
        # Functions, as the text of a replacement would read names with backslashes as groups.
        table = f"{START}\n## Evaluation\n\n{_table(evaluation)}\n{END}"
        pattern = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
        body, count = pattern.subn(lambda _: table, card.text)
        card.text = body if count else f"{card.text.rstrip()}\n\n{table}\n"
    return str(card)


def dataset_of(evaluation: Evaluation) -> tuple[str, str | None]:
    """Name and split of the data set of an evaluation, by the folder of its ground truth; no path of a machine."""
    parts = Path(evaluation.truth).parts
    if "labels" in parts[1:]:
        index = len(parts) - 1 - parts[::-1].index("labels")
        return parts[index - 1], "/".join(parts[index + 1 :]) or None
    return parts[-1] if parts else "data", None


def _results(evaluation: Evaluation) -> list[EvalResult]:
    name, split = dataset_of(evaluation)
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=re.sub(r"[^\w.-]+", "-", name),
            dataset_name=name,
            dataset_split=split,
            metric_type=metric,
            metric_name=title,
            metric_value=round(getattr(evaluation.scores, metric), 4),
        )
        for metric, title in METRICS.items()
    ]


def _table(evaluation: Evaluation) -> str:
    name, split = dataset_of(evaluation)
    scores: list[tuple[str, Scores]] = [("this model", evaluation.scores)]
    if evaluation.coarse_scores is not None:
        scores = [("coarse maps", evaluation.coarse_scores), ("refined maps", evaluation.scores)]
    rows = [(title, [getattr(one, metric) for _, one in scores]) for metric, title in METRICS.items()]
    rows += [(f"IoU of {title}", [one.iou.get(title) for _, one in scores]) for title in evaluation.scores.iou]
    header = [" | ".join(["| in %", *(title for title, _ in scores)]) + " |", "|---" * (1 + len(scores)) + "|"]
    lines = [f"| {_escaped(title)} | {' | '.join(percent(value) for value in values)} |" for title, values in rows]
    images = len(evaluation.per_image)
    of_split = f", split `{split}`" if split else ""
    return "\n".join([f"On {images} images of `{name}`{of_split}:", "", *header, *lines])


def _escaped(title: str) -> str:
    return html.escape(title, quote=False).replace("|", r"\|")
