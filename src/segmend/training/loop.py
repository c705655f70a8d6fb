"""The training loop: steps over batches, a schedule, averaged weights, checkpoints."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Subset

from segmend.data.sampling import Sample, collate, seed_of
from segmend.devices import available_cores, pick_device, to_device, uses_bfloat16
from segmend.labels import InvalidInput
from segmend.training.checkpoint import load_checkpoint, save_checkpoint
from segmend.training.processes import SyncedBatchNorm, gathered, on_this_machine, rank, world
from segmend.training.recipe import Optimisation

logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it tells its precision at each start
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

CHECKPOINT_SECONDS = 120.0
GRADIENT_NORM = 5.0

Loss = Callable[[nn.Module, Sample, float], Tensor]
"""Of a network, a batch, and the share of the steps that are done."""

OnStep = Callable[[int, float], None]


@dataclass(frozen=True)
class Check:
    """A score, higher is better, of the model to keep after every so many steps and after the last one."""

    every: int
    score: Callable[[nn.Module, int], float]


@dataclass
class Plateau:
    """Divides the learning rate by ten, at most twice, when a score has not risen `patience` times in a row."""

    patience: int
    best: float = -math.inf
    stalled: int = 0
    factor: float = 1.0

    def update(self, score: float) -> None:
        """Take another score into account."""
        self.stalled = 0 if score > self.best else self.stalled + 1
        self.best = max(self.best, score)
        if self.stalled == self.patience:
            self.factor, self.stalled = max(self.factor / 10, 0.01), 0


def fit(
    model: nn.Module,
    samples: Dataset[Sample],
    loss: Loss,
    options: Optimisation,
    run: Path,
    pretrained: Callable[[str], bool] = lambda name: False,
    on_step: OnStep = lambda step, loss: None,
    check: Check | None = None,
) -> tuple[nn.Module, list[str]]:
    """Train `model` in place and give back the model to keep (the averaged one where asked for).

    Under ``torchrun`` each process takes its part of every batch: gradients and the statistics of batch norm are
    those of the whole batch, where its parts have as many known pixels. The first process writes.

    Args:
        samples: as many as ``steps * batch``.
        loss: of the model on a batch (see `Loss`).
        run: folder of the checkpoint; a training that was stopped there goes on.
        pretrained: whether a parameter of this name gets `encoder_lr`.
        on_step: called with the step's number and loss.
        check: what the schedule `plateau` depends on.

    Returns:
        The model, and messages about files that could not be read.

    Raises:
        InvalidInput: a batch that the processes cannot share, or no image that can be read.
    """
    fabric = _fabric(options)
    model = to_device(model, fabric.device)
    optimiser = make_optimiser(model, options, pretrained)
    wrapped, optimiser = fabric.setup(model, optimiser)
    average = None
    if options.average > 0:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.average), use_buffers=True)
    kept: nn.Module = model if average is None else average.module
    plateau = Plateau(options.patience)
    done = _restore(load_checkpoint(run), model, average, optimiser, plateau)
    samples[0]  # where no image can be read this says so, and a worker would with a traceback
    broken: dict[str, None] = {}
    saved = time.monotonic()
    wrapped.train()
    batches: Any = fabric.setup_dataloaders(_batches(samples, options, done), use_distributed_sampler=False)
    for batch in batches:
        broken |= dict.fromkeys(batch["broken"])
        for group in optimiser.param_groups:
            group["lr"] = group["full_lr"] * schedule(options, done) * plateau.factor
        torch.manual_seed(seed_of(options.seed, done, rank()))  # dropout: of this step, whatever came before
        with SyncedBatchNorm() if world() > 1 else nullcontext():
            value = loss(wrapped, batch, done / options.steps)
        optimiser.zero_grad()
        fabric.backward(value)
        fabric.clip_gradients(wrapped, optimiser, max_norm=GRADIENT_NORM)
        optimiser.step()
        if average is not None:
            average.update_parameters(model)
        done += 1
        on_step(done, value.item())
        if check is not None and (done % check.every == 0 or done == options.steps):
            score = check.score(kept.eval(), done)
            wrapped.train()
            if options.schedule == "plateau":
                plateau.update(score)
        if rank() == 0 and (done == options.steps or time.monotonic() - saved > CHECKPOINT_SECONDS):
            _save(run, done, model, average, optimiser, plateau)
            saved = time.monotonic()
    return kept.eval(), gathered(list(broken))


def _fabric(options: Optimisation) -> Fabric:
    if options.batch % world():
        raise InvalidInput(f"optimisation.batch: {world()} processes cannot share {options.batch} samples evenly")
    device, here = pick_device(), on_this_machine()
    if device.type == "cuda" and here > torch.cuda.device_count():
        raise InvalidInput(
            f"{here} processes on this machine, but {torch.cuda.device_count()} GPU(s): start one process "
            "for each, or set CUDA_VISIBLE_DEVICES= (to nothing) to train on the CPU"
        )
    bfloat16 = uses_bfloat16(device, options.precision)
    fabric = Fabric(
        accelerator="auto",
        strategy="ddp" if world() > 1 else "auto",
        devices=here,
        num_nodes=world() // here,
        precision="bf16-mixed" if bfloat16 else "32-true",
    )
    fabric.launch()
    return fabric


def make_optimiser(
    model: nn.Module, options: Optimisation, pretrained: Callable[[str], bool]
) -> torch.optim.Optimizer:
    """The optimiser over all trained parameters; norms and biases are not decayed."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lr = options.encoder_lr if options.encoder_lr and pretrained(name) else options.lr
            decay = options.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((lr, decay), []).append(parameter)
    settings: list[dict[str, Any]] = [
        {"params": parameters, "lr": lr, "full_lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]
    if options.optimiser == "sgd":
        return torch.optim.SGD(settings, lr=options.lr, momentum=0.9, fused=True)
    kind = torch.optim.Adam if options.optimiser == "adam" else torch.optim.AdamW
    return kind(settings, lr=options.lr, betas=(0.9, 0.999), fused=True)


def schedule(options: Optimisation, step: int) -> float:
    """Factor of the learning rate at a step (from 0)."""
    if step < options.warmup:
        return (step + 1) / options.warmup
    progress = (step - options.warmup) / max(1, options.steps - options.warmup)
    if options.schedule == "poly":
        return (1 - progress) ** options.power
    if options.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0


def _batches(samples: Dataset[Sample], options: Optimisation, done: int) -> DataLoader[Sample]:
    """This process's part of every batch."""
    share = options.batch // world()
    firsts = range(done * options.batch + rank() * share, options.steps * options.batch, options.batch)
    return DataLoader(
        Subset(samples, [first + i for first in firsts for i in range(share)]),
        share,
        shuffle=False,
        num_workers=min(options.workers, available_cores()),
        collate_fn=collate,
        persistent_workers=False,
        prefetch_factor=4 if options.workers else None,
    )


def _save(
    run: Path,
    done: int,
    model: nn.Module,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
    plateau: Plateau,
) -> None:
    save_checkpoint(
        run,
        {
            "step": done,
            "model": model.state_dict(),
            "average": None if average is None else average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "plateau": asdict(plateau),
        },
    )


def _restore(
    state: dict[str, Any] | None,
    model: nn.Module,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
    plateau: Plateau,
) -> int:
    if state is None:
        return 0
    model.load_state_dict(state["model"])
    if average is not None and state["average"] is not None:
        average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    for name, value in state["plateau"].items():
        setattr(plateau, name, value)
    return int(state["step"])
