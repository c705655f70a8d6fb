"""``python -m segmend.cli`` is ``python -m segmend``."""

import runpy

runpy.run_module("segmend", run_name="__main__")
