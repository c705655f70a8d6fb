"""The code of the how-to pages, that of the methods, and the commands of the tutorial run as they stand there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.dataset import open_dataset
from segmend.data.synthetic import generate_dataset
from segmend.jobs.demo import corrupt

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted({*DOCS.glob("how_to/*.md"), *DOCS.glob("methods/*.md")} - {DOCS / "methods" / "index.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names, missing = {}, []
    for block in blocks:
        try:
            exec(compile(block, str(page), "exec"), names)
        except ModuleNotFoundError as error:  # a library that the block is about; the other blocks run without it
            if error.name is None or error.name.startswith("segmend"):
                raise
            missing.append(error.name)
    if page.stem == "spread_colours":
        # The colour of the nearest stroke, which needs no edges, has a larger error.
        from scipy import ndimage

        strokes = names["strokes"][0, 0].numpy() > 0
        rows, columns = ndimage.distance_transform_edt(~strokes, return_distances=False, return_indices=True)
        nearest = (names["colours"][:, :, rows, columns] - names["colours"]).abs().mean() * 255
        assert names["error"] < 0.9 * nearest
    if missing:
        pytest.skip(f"blocks left out without {', '.join(missing)}; the others ran")


def test_the_commands_of_the_tutorial_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generate_dataset(Path("demo/data"), train=4, val=2)  # what the first command makes, with fewer images
    for split in ("train", "val"):
        corrupt(open_dataset("demo/data", split), Path("demo/coarse") / split, seed=0, quiet=True)
    blocks = re.findall(r"```bash\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL)
    first, *commands = [shlex.split(line)[1:] for line in "".join(blocks).splitlines()]
    assert first == ["demo", "--out", "demo"]
    short = ("optimisation.steps=2", "optimisation.batch=2", "optimisation.workers=0")
    for command in commands:
        options = [option for option in command if not option.startswith("optimisation.steps")]
        result = CliRunner().invoke(app, [*options, *short] if options[0] == "train" else options)
        assert result.exit_code == 0, result.output
    assert Path("tutorial/universal.html").is_file()
    assert Path("tutorial/trained.html").is_file()
