"""Work on a Ray cluster: the same files, the same list of what was skipped, and it resumes."""

import errno
import random
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from segmend.cli import app
from segmend.data.dataset import open_dataset
from segmend.data.files import InvalidFile
from segmend.data.pairs import open_pairs
from segmend.jobs import ray_engine
from segmend.jobs.pipeline import OutOfSpace
from segmend.jobs.predict import PredictOptions, predict
from segmend.jobs.progress import Silent
from segmend.jobs.ray_engine import Actors, Machine, RayEngine, actors_on
from segmend.jobs.refine import RefineOptions, refine
from segmend.labels import Classes, InvalidInput
from segmend.model_folder import save_model
from segmend.refiners import load
from segmend.segmenters import Segmenter


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this machine, with two cores."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """A folder of a model of 3 classes."""
    torch.manual_seed(0)
    arguments = {"in_channels": 3, "out_channels": 3, "kernel_size": 1}
    folder = tmp_path_factory.mktemp("segmenter")
    save_model(Segmenter(Classes.numbered(3), "torch.nn.Conv2d", arguments), folder)
    return folder


def files_in(folder):
    """Content by name, without results.json, which holds times."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name != "results.json"}


class Counting:
    """A worker that writes the number that it is handed."""

    def __init__(self, out, fails_at=-1):
        self.out, self.fails_at = out, fails_at

    def to(self, device):
        self.device = device.type

    def name(self, item):
        return f"item {item}"

    def read(self, item):
        if item % 5 == 4:
            raise InvalidInput("is a fifth")
        return None if item % 5 == 3 else item

    def work(self, item, read):
        return read + 100

    def write(self, item, made):
        if item == self.fails_at:
            raise OSError(errno.ENOSPC, "No space left on device", f"{item}.txt")
        (self.out / f"{item}.txt").write_text(f"{made} {self.device} {torch.get_num_threads()}")

    def counts(self, made):
        return {"sum": made}


def test_refined_files_are_those_of_the_local_engine_and_a_rerun_resumes(
    cluster, tmp_path, write_scene, shrunk, monkeypatch
):
    for seed in range(6):
        write_scene(tmp_path, f"{seed}", seed, shrunk if seed % 2 else lambda labels: labels)
    broken = tmp_path / "images" / "3.png"
    broken.write_bytes(broken.read_bytes()[:3000])
    (tmp_path / "masks" / "4.png").write_bytes(b"")
    images, masks, refiner = tmp_path / "images", tmp_path / "masks", load("universal")
    pairs = open_pairs(images, masks).dataset
    options = RefineOptions(probs=True, details=True, precision="32", quiet=True)
    local = refine(refiner, pairs, tmp_path / "local", options)
    # the command, in a folder to which its paths are relative
    monkeypatch.chdir(tmp_path)
    command = (
        "refine --images images --coarse masks --out ray --probs --details --precision 32 --quiet --engine ray"
    )
    result = CliRunner().invoke(app, [*command.split(), "--workers", "2"])
    assert result.exit_code == 1, result.output
    assert "4 images written to ray" in result.output
    assert "images/3.png: broken or cut short" in result.output
    assert "masks/4.png: the file is empty" in result.output
    assert len(files_in(tmp_path / "local")) == 12
    assert files_in(tmp_path / "ray") == files_in(tmp_path / "local")

    for name in ("labels/0.png", "probs/5.npz"):
        (tmp_path / "ray" / name).unlink()
    again = refine(refiner, pairs, tmp_path / "ray", options, engine=RayEngine(1))
    assert (again.done, again.kept, again.remade) == (2, 2, 1)
    assert [one.reason for one in again.skipped] == [one.reason for one in local.skipped]
    assert files_in(tmp_path / "ray") == files_in(tmp_path / "local")


def test_images_and_maps_may_lie_at_addresses(cluster, segmenter, tmp_path, write_scene):
    for seed in range(3):
        write_scene(tmp_path, f"in/{seed}", seed)
    options = PredictOptions(probs=True, precision="32", quiet=True)
    predict(segmenter, open_dataset(tmp_path / "images"), tmp_path / "local", options)
    there = open_dataset(f"file://{tmp_path}/images")
    run = predict(segmenter, there, Path(f"file://{tmp_path}/ray"), options, engine=RayEngine(1))
    assert (run.done, run.skipped) == (3, [])
    assert len(files_in(tmp_path / "ray")) == 6
    assert files_in(tmp_path / "ray") == files_in(tmp_path / "local")


def test_outcomes_are_summed_and_a_full_disk_stops_the_run(cluster, tmp_path):
    cluster.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    outcome = RayEngine(1).run(Counting(tmp_path), range(20), Silent())
    assert (outcome.done, outcome.kept) == (12, 4)
    assert [one.file for one in outcome.skipped] == ["item 4", "item 9", "item 14", "item 19"]
    done = [item for item in range(20) if item % 5 < 3]
    assert outcome.counts == {"sum": sum(done) + 100 * len(done)}
    assert files_in(tmp_path) == {f"{item}.txt": f"{item + 100} cpu 1".encode() for item in done}
    assert outcome.seconds["total"] > 0
    with pytest.raises(OutOfSpace, match=r"11\.txt: no space left"):
        RayEngine(1).run(Counting(tmp_path, fails_at=11), range(20), Silent())
    with pytest.raises(InvalidInput, match="9 workers do not fit the cluster, which has 2 cores"):
        RayEngine(9).run(Counting(tmp_path), range(20), Silent())


def test_no_items_need_no_cluster(tmp_path):
    pytest.importorskip("ray.data")
    assert RayEngine().run(Counting(tmp_path), [], Silent()).done == 0


@pytest.mark.parametrize(
    ("machines", "number", "expected"),
    [
        ([Machine(2, 0)], None, Actors(1, 2, 0)),
        ([Machine(2, 0)], 2, Actors(2, 1, 0)),
        ([Machine(16, 0), Machine(6, 0)], None, Actors(5, 4, 0)),
        ([Machine(0, 0), Machine(8, 0)], 3, Actors(3, 2, 0)),
        ([Machine(16, 2), Machine(32, 4)], None, Actors(6, 8, 1)),
        ([Machine(16, 2), Machine(64, 0)], None, Actors(2, 8, 1)),
    ],
)
def test_machines_are_shared_out(machines, number, expected):
    assert actors_on(machines, number) == expected


def test_actors_fit_and_could_not_have_more_cores():
    rng = random.Random(0)
    for _ in range(200):
        machines = [Machine(rng.randint(0, 40), rng.choice((0, 0, 2))) for _ in range(rng.randint(1, 5))]
        number = rng.randint(1, 12)
        with_gpus = any(machine.gpus for machine in machines)

        def fit(cores, machines=machines, with_gpus=with_gpus):
            """How many actors fit, placed one after another."""
            placed = 0
            for left, gpus in machines:
                while left >= cores and (gpus or not with_gpus):
                    left, gpus, placed = left - cores, gpus - 1, placed + 1
            return placed

        try:
            found = actors_on(machines, number)
        except InvalidInput:
            assert fit(1) < number
        else:
            assert found.number == number <= fit(found.cores)
            assert fit(found.cores + 1) < number


def test_machines_that_cannot_take_part_say_why(tmp_path):
    (tmp_path / "marker").touch()
    assert ray_engine._problem(tmp_path / "marker", ray_engine.__version__) is None
    other = ray_engine._problem(tmp_path / "marker", "0.0.1")
    assert "expected 0.0.1: install the same everywhere" in str(other)
    elsewhere = ray_engine._problem(tmp_path / "nowhere" / "marker", ray_engine.__version__)
    assert isinstance(elsewhere, InvalidFile)
    assert "not the same folder on" in str(elsewhere)


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput, match=r"pip install 'segmend\[ray\]'"):
        RayEngine()


def test_options_that_do_not_fit_are_refused(tmp_path):
    command = ["refine", "--images", str(tmp_path), "--coarse", str(tmp_path), "--out", str(tmp_path / "out")]
    for options, words in (
        (("--workers", "2"), "--workers 2: for --engine ray"),
        (("--engine", "spark"), "--engine spark: expected local or ray"),
    ):
        result = CliRunner().invoke(app, [*command, *options])
        assert words in str(result.exception)
    assert not (tmp_path / "out").exists()
