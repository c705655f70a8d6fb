"""Work over a folder on many machines: Ray Data hands groups of items to actors, which have a pipeline each."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from segmend import __version__
from segmend.data.files import InvalidFile, atomic_write, exists, remove
from segmend.devices import available_cores, pick_device
from segmend.jobs.pipeline import Outcome, Pipeline, Worker
from segmend.jobs.progress import Progress, Silent
from segmend.labels import InvalidInput
from segmend.process import keep_memory

T = TypeVar("T")

CORES = 4
"""Cores of an actor on machines without GPUs, where the number of actors is not given."""

LARGEST_GROUP = 64
"""Most items that an actor is handed at a time. Within a group, files are read and written beside the network."""

GROUPS = 8
"""Groups for each actor, at least, where there are enough items: so that all end at about the same time."""

RETRIES = 3
"""How often a group is handed out again after its actor died, before the run stops."""


class Machine(NamedTuple):
    """What one machine of a cluster has."""

    cores: int
    gpus: int


class Actors(NamedTuple):
    """How many actors there are, and what each of them has."""

    number: int
    cores: int
    gpus: int


def actors_on(machines: Sequence[Machine], number: int | None = None) -> Actors:
    """Share the machines out among actors: one for each GPU, or else for each group of cores.

    Args:
        number: of actors (None: as many as there are GPUs, or groups of `CORES`). Each gets as many cores as fit
            so many times into the machines.

    Raises:
        InvalidInput: more actors than there are GPUs, or cores.

    Example:
        >>> actors_on([Machine(16, 0), Machine(6, 0)])
        Actors(number=5, cores=4, gpus=0)
        >>> actors_on([Machine(16, 2), Machine(16, 4)])
        Actors(number=6, cores=4, gpus=1)
    """
    gpus = sum(machine.gpus for machine in machines)
    most_cores = max((machine.cores for machine in machines), default=0)

    def fitting(cores: int) -> int:
        places = (machine.cores // cores for machine in machines)
        limits = (machine.gpus if gpus else machine.cores for machine in machines)
        return sum(map(min, places, limits))

    if number is None:
        number = gpus or fitting(max(1, min(CORES, most_cores)))
    cores = next((cores for cores in range(most_cores, 0, -1) if fitting(cores) >= number), 0)
    if not number or not cores:
        has = f"{gpus} GPUs" if gpus else f"{sum(machine.cores for machine in machines)} cores"
        raise InvalidInput(f"{number} workers do not fit the cluster, which has {has}: give fewer (--workers)")
    return Actors(number, cores, 1 if gpus else 0)


@dataclass(frozen=True)
class RayEngine:
    """Items on the machines of the Ray cluster at ``RAY_ADDRESS``; without it, in processes of this machine.

    The worker is sent to every actor once, and the items in groups. Files are the same as those of `LocalEngine`.
    All machines must have this version of segmend, and see the same files.

    Attributes:
        workers: the number of actors (see `actors_on`).
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        _import_ray()
        if self.workers is not None and self.workers < 1:
            raise InvalidInput(f"expected 1 worker or more, found {self.workers}")

    def run(self, worker: Worker[T, Any, Any], items: Sequence[T], progress: Progress) -> Outcome:
        """See `Engine`."""
        outcome = Outcome()
        if not items:
            return outcome
        start = time.perf_counter()
        with _cluster(), _marked(worker.out) as marker:
            found: dict[int, Outcome] = {}
            for number, made in _outcomes(worker, items, marker, self.workers):
                if isinstance(made, InvalidInput):
                    raise made
                for _ in range(made.done + len(made.skipped)):
                    progress.advance()
                progress.found(made.kept)
                found[number] = made
        for number in sorted(found):
            outcome.add(found[number])
        outcome.seconds["total"] = time.perf_counter() - start
        return outcome


def _outcomes(
    worker: Worker[T, Any, Any], items: Sequence[T], marker: Path, workers: int | None
) -> Iterator[tuple[int, Outcome | InvalidInput]]:
    """The outcome of each group of items, by its number, as they come."""
    ray = _import_ray()
    machines = [_machine(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    actors = actors_on(machines, workers)
    size = max(1, min(LARGEST_GROUP, len(items) // (GROUPS * actors.number)))
    groups = [items[at : at + size] for at in range(0, len(items), size)]
    rows = [{"number": number, "items": pickle.dumps(group)} for number, group in enumerate(groups)]
    worker.to(torch.device("cpu"))  # other machines may have other devices
    sent = ray.put(ray.cloudpickle.dumps(worker))  # as bytes: arrays that Ray shares could not be written to
    with warnings.catch_warnings():  # that the retries will have another name, some day
        warnings.simplefilter("ignore", DeprecationWarning)
        mapped = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,
            fn_constructor_args=(sent, marker, Path.cwd(), __version__),
            compute=ray.data.ActorPoolStrategy(size=min(actors.number, len(groups))),
            num_cpus=actors.cores,
            num_gpus=actors.gpus,
            max_task_retries=RETRIES,
        )
    try:
        for row in mapped.iter_rows():
            yield row["number"], pickle.loads(row["outcome"])
    except ray.exceptions.RayActorError as error:
        raise InvalidInput(
            f"workers died, up to {1 + RETRIES} times on the same images ({error}): check that segmend is "
            "installed on every machine, and use fewer workers (--workers) where memory is short; what is "
            "finished is kept, and the same command resumes"
        ) from error


def _machine(resources: dict[str, float]) -> Machine:
    return Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


class _Actor:
    """Holds the worker in a process of the cluster, and runs a pipeline over each group of items."""

    def __init__(self, sent: Any, marker: Path, directory: Path, version: str) -> None:
        keep_memory()
        with suppress(OSError):  # paths may be relative to it; without it they are listed as missing
            os.chdir(directory)
        self.problem = _problem(marker, version)
        if self.problem is None:
            self.worker = pickle.loads(_import_ray().get(sent))
            self.worker.to(pick_device())

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome: Outcome | InvalidInput
        try:
            outcome = self.problem or Pipeline.of(self.worker).run(pickle.loads(row["items"]), Silent())
        except InvalidInput as error:
            outcome = error
        return {"number": row["number"], "outcome": pickle.dumps(outcome)}


def _problem(marker: Path, version: str) -> InvalidInput | None:
    """Why this machine cannot take part; None where it can."""
    name = os.uname().nodename
    if __version__ != version:
        return InvalidInput(f"{name} has segmend {__version__}, expected {version}: install the same everywhere")
    if not exists(marker):
        return InvalidFile(
            marker.parent, f"not the same folder on {name}: use a shared one, or an address such as s3://..."
        )
    return None


@contextmanager
def _marked(folder: Path) -> Iterator[Path]:
    """A file in the folder, by which other machines see that theirs is the same."""
    marker = folder / f".segmend-{uuid.uuid4().hex}"
    atomic_write(marker, b"")
    try:
        yield marker
    finally:
        remove(marker)


@contextmanager
def _cluster() -> Iterator[None]:
    """A connection to the cluster, or a cluster of this machine alone; one that is there already stays."""
    ray = _import_ray()
    is_connected = ray.is_initialized()
    if not is_connected:
        _connect(ray)
    try:
        with _silent(ray):
            yield
    finally:
        if not is_connected:
            ray.shutdown()


def _connect(ray: Any) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of what Ray Data does
    # Not Ray's own choice where no address is given: it waits for the last cluster here, even if it is gone.
    address = os.environ.get("RAY_ADDRESS") or "local"
    here = {"num_cpus": available_cores()} if address == "local" else {}
    try:
        with _no_standard_error():  # where that level is announced
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InvalidInput(
            f"no connection to the Ray cluster ({error}): check RAY_ADDRESS, and that "
            "RAY_AUTH_MODE and the token of ray get-auth-token are the same on all machines"
        ) from error


@contextmanager
def _no_standard_error() -> Iterator[None]:
    """Nothing that native code writes to standard error is shown."""
    sys.stderr.flush()
    shown = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(shown, 2)
        os.close(shown)


@contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """No messages and progress bars of Ray Data: the run has its own."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with ray.data.DataContext.current(context):
            yield
    finally:
        logger.setLevel(before)


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InvalidInput(f"--engine ray needs a package ({error.name}): pip install 'segmend[ray]'") from None
    return ray
