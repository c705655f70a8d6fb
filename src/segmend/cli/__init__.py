"""The command line: one function a command, only parsing and messages.

`app` holds the command line itself, `options` what commands share, `messages` what they print; the other modules
hold the commands.
"""

# Commands are listed in the order of these imports.
from segmend.cli import start, training, refining, checking, reviewing, tidying, exporting  # noqa: F401, I001
from segmend.cli import faces, video, evaluating, tags, serving, doctor  # noqa: F401
from segmend.cli.app import app, main

__all__ = ["app", "main"]
