"""What end-to-end tests share: running a command in this process."""

import sys

import pytest

from segmend.cli import main


@pytest.fixture
def segmend_(monkeypatch, capsys):
    """Runs a command; gives its exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["segmend", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
