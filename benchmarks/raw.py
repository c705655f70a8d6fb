"""Raw figures of benchmarks with their provenance: the one schema of the JSON files in the folders here.

A file holds runs, the newest last. A run is its provenance and its figures by row. A row of a table shows the
newest run that has it; runs of which no row is shown any more are dropped.
"""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from segmend.data.files import write_json

ROOT = Path(__file__).parents[1]
UNKNOWN = "unknown"
LIBRARIES = ("segmend", "torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy")
FEATURES = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX"}
"""Flags of ``/proc/cpuinfo`` that change speed or rounding, and their usual names."""


PLACES = ("--data", "--runs", "--probs")
"""Options of benchmarks that are followed by a place on the machine."""


class Provenance(BaseModel):
    """What made figures, and where.

    Attributes:
        command: what was run, from the repository's root, without `PLACES`.
        commit: of the code, with ``+ changes`` where files differed; ``unknown`` for old figures.
        machine: cores, processor features and GPU, in words.
        versions: of the libraries, by name; empty where unknown.
        seeds: of the trainings; empty where nothing has a seed.
        note: what else must be known, such as figures that were transcribed from an older table.
    """

    model_config = ConfigDict(extra="forbid")

    command: str
    commit: str
    machine: str
    versions: dict[str, str] = {}
    seeds: list[int] = []
    note: str = ""

    @classmethod
    def now(cls, seeds: Iterable[int] = ()) -> Provenance:
        """The provenance of figures that the running program makes."""
        return cls(
            command=_command(), commit=_commit(), machine=_machine(), versions=_versions(), seeds=list(seeds)
        )


class Raw(BaseModel):
    """Figures of one run by row; each benchmark has figures of its own (see its function in `tables`)."""

    model_config = ConfigDict(extra="forbid")

    provenance: Provenance
    figures: dict[str, Any]


class RawFile(BaseModel):
    """All runs behind a table, and the order of its rows."""

    model_config = ConfigDict(extra="forbid")

    order: list[str]
    runs: list[Raw]

    @classmethod
    def read(cls, path: Path) -> RawFile:
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def run_of(self, row: str) -> Raw:
        """The newest run that has a row."""
        return next(run for run in reversed(self.runs) if row in run.figures)

    def rows(self) -> dict[str, Any]:
        """Figures of every row, in order, each of the newest run that has it."""
        return {row: self.run_of(row).figures[row] for row in self.order}

    def shown(self, run: Raw) -> list[str]:
        """The rows whose newest figures are those of a run."""
        return [row for row in self.order if self.run_of(row) is run]


def write_raw(
    path: Path, figures: Mapping[str, Any], seeds: Iterable[int] = (), order: Sequence[str] = ()
) -> RawFile:
    """Add the figures of the running program to a file; rows that are not among them stay as they are.

    Args:
        order: order of the rows in the table (default: that of `figures`).
    """
    runs = RawFile.read(path).runs if path.is_file() else []
    runs = [*runs, Raw(provenance=Provenance.now(seeds), figures=dict(figures))]
    present = list(dict.fromkeys(row for run in runs for row in run.figures))
    known = [row for row in order if row in present]
    file = RawFile(order=[*known, *(row for row in present if row not in known)], runs=runs)
    file.runs = [run for run in runs if file.shown(run)]
    write_json(path, file.model_dump(mode="json"))
    return file


def _command() -> str:
    script = Path(sys.argv[0]).resolve()
    name = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script.name
    arguments = iter(sys.argv[1:])
    # Where data and runs lie is a matter of the machine.
    kept = [one for one in arguments if one not in PLACES or next(arguments, None) is None]
    return shlex.join(["python", str(name), *kept])


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" + changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def _machine() -> str:
    import torch

    from segmend.devices import available_cores

    file = Path("/proc/cpuinfo")
    flags = set(file.read_text(encoding="utf-8").split()) if file.is_file() else set()
    features = [name for flag, name in FEATURES.items() if flag in flags] or [platform.machine()]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cores = available_cores()
    return f"{cores} core{'s' if cores > 1 else ''} with {', '.join(features)}; {gpu}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
