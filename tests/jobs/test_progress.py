"""The progress bar."""

from rich.progress import Progress

from segmend.jobs import progress as progress_
from segmend.jobs.progress import _Pace, bar


def test_steps_found_done_are_shown_and_have_no_part_in_the_rate():
    now = 0.0
    pace = _Pace()
    progress = Progress(get_time=lambda: now)
    task = progress.add_task("train", total=100, found=0)
    progress.update(task, advance=60, found=60)
    assert pace.render(progress.tasks[task]).plain == "0:00:00"
    now = 20.0
    progress.update(task, advance=10)
    assert pace.render(progress.tasks[task]).plain == "0.5/s 0:00:20, 0:01:00 left"


def test_the_bar_counts_all_steps(capsys):
    with bar("train", 5) as progress:
        progress.found(3)
        progress.advance("loss 1.0")
        progress.advance("loss 0.5")
    shown = capsys.readouterr().err
    assert "5/5" in shown
    assert "loss 0.5" in shown


def test_a_file_gets_a_line_now_and_then(capsys, monkeypatch):
    def lines() -> list[str]:
        with bar("train", 3) as progress:
            for loss in (3, 2, 1):
                progress.advance(f"loss {loss}")
        return [line for line in capsys.readouterr().err.splitlines() if line.strip()]

    assert [line.split()[2] for line in lines()] == ["3/3"]  # soon done
    monkeypatch.setattr(progress_, "SILENCE", 0.0)
    assert [line.split()[2] for line in lines()] == ["1/3", "2/3", "3/3"]


def test_a_quiet_job_says_nothing(capsys):
    with bar("train", 5, quiet=True) as progress:
        progress.found()
        progress.advance("loss 1.0")
    assert capsys.readouterr() == ("", "")
