"""Several processes train as one does with their joint batch."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from segmend.labels import InvalidInput
from segmend.training.options import Optimisation
from segmend.training.processes import SyncedBatchNorm, check_processes, gathered, synced_batch_norm

RECIPE = """
task: segmenter
data: {{root: {root}, train: train}}
network: segmend.segmenters.faces.FaceParser
augmentation: {{crop: 48, scale: [1, 1], colour: 0}}
optimisation: {{steps: 3, batch: 4, optimiser: sgd, lr: 0.05, workers: 0, precision: "32", average: 0.5}}
validation: {{split: val, every: 2}}
"""


def test_two_processes_end_with_the_weights_of_one(synthetic, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(root=synthetic))
    command = ["-m", "segmend", "train", str(recipe), "--quiet", "--out"]
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    on_cpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    for name, launcher in (("one", []), ("two", together)):
        whole = [sys.executable, *launcher, *command, str(tmp_path / name)]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=300, env=on_cpu)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Trained:") == 1
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert torch.allclose(values, two[name], rtol=1e-4, atol=1e-5), name
    assert any("running_mean" in name for name in one)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [list(line) for line in logs[0]] == [list(line) for line in logs[1]]
    assert [line["step"] for line in logs[1]] == [2, 3, 3]
    for mine, theirs in zip(*logs, strict=True):
        assert mine.get("mean_accuracy") == pytest.approx(theirs.get("mean_accuracy"), abs=2e-3)


@pytest.fixture
def alone(tmp_path):
    """A group of one process."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("shape", [(6, 3, 5, 4), (8, 3)])
def test_synced_batch_norm_is_batch_norm(alone, shape):
    torch.manual_seed(0)
    x = (5 + 3 * torch.randn(shape)).requires_grad_()
    layer, other = (nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3) for _ in "ab")
    for one in (layer, other):
        nn.init.uniform_(one.weight, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(one.bias, generator=torch.Generator().manual_seed(2))
    expected = layer(x)
    with SyncedBatchNorm():
        found = other(x)
    assert torch.allclose(found, expected, atol=1e-5)
    for name, value in layer.state_dict().items():
        assert torch.allclose(other.state_dict()[name].float(), value.float(), atol=1e-6), name
    upstream = torch.randn_like(expected)
    grads = [
        torch.autograd.grad(y, (x, one.weight, one.bias), upstream)
        for y, one in ((found, other), (expected, layer))
    ]
    for mine, theirs in zip(*grads, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)
    still = layer.eval()(x)
    with SyncedBatchNorm():
        assert torch.equal(layer(x), still)
    plain = synced_batch_norm(x, None, None)
    assert torch.allclose(plain.transpose(0, 1).flatten(1).std(dim=1, correction=0), torch.ones(3), atol=1e-3)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InvalidInput, match="3 processes cannot share 4 samples evenly"):
        check_processes(Optimisation(steps=1, batch=4))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("segmend.training.processes.pick_device", lambda: torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InvalidInput, match=r"2 processes.* 1 GPU"):
        check_processes(Optimisation(steps=1, batch=4))


def test_messages_come_once():
    assert gathered(["a", "b", "a"]) == ["a", "b"]
