"""The training loop: stages one after another, each of steps over batches, with checkpoints inside every stage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Subset

from segmend.data.sampling import Sample, collate, seed_of
from segmend.devices import available_cores, to_device
from segmend.training.checkpoint import load_checkpoint, save_checkpoint
from segmend.training.options import Optimisation
from segmend.training.processes import SyncedBatchNorm, check_processes, gathered, launch
from segmend.training.reporting import StageLog

CHECKPOINT_SECONDS = 120.0
GRADIENT_NORM = 5.0

Loss = Callable[[nn.Module, Sample, float], Tensor]
"""Of a network, a batch, and the share of the stage's steps that are done, 0..1."""


class Scores(NamedTuple):
    """What a validation finds.

    Attributes:
        figures: by name; higher is better in the first one, which the schedule ``plateau`` follows.
        broken: messages about files that could not be read.
    """

    figures: dict[str, float]
    broken: list[str]


@dataclass(frozen=True)
class Scoring:
    """Validation of the model to keep, after every `every` steps and after the last one."""

    every: int
    score: Callable[[nn.Module, Fabric], Scores]


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Attributes:
        model: what is trained, in place; stages may share it. The model of the last stage is the result.
        samples: as many as `optimisation.samples`.
        loss: of the model on a batch. A loss may also infer its own targets, with any part of the model.
        data: what the stage learns from, in words, for the model card.
        trained: names of the trained parameters, by their beginnings. The other parameters keep their values, and
            their layers are in evaluation mode.
        pretrained: names of the parameters with the learning rate `encoder_lr`, by their beginnings.
        teacher: a copy of the model that gets the model's weights when the stage begins, for the loss to use.
    """

    model: nn.Module
    samples: Dataset[Sample]
    loss: Loss
    optimisation: Optimisation
    data: str = ""
    trained: tuple[str, ...] = ("",)
    pretrained: tuple[str, ...] = ()
    validation: Scoring | None = None
    teacher: nn.Module | None = None


Log = Callable[[int], AbstractContextManager[StageLog]]
"""The log of a stage, by its number from 0."""


def train(stages: list[Stage], run: Path, log: Log) -> tuple[nn.Module, list[str]]:
    """Train stage after stage, and give back the model of the last one.

    A stage ends with its averaged weights, if it averages. Under ``torchrun`` each process takes its part of every
    batch: gradients and the statistics of batch norm are those of the whole batch, if its parts have equally many
    valid pixels. The first process writes.

    Args:
        run: folder of the checkpoint; a training that was stopped resumes, inside the stage where it was.

    Returns:
        The model in evaluation mode, and messages about files that could not be read.

    Raises:
        InvalidInput: a batch that the processes cannot share, or no image that can be read.
    """
    for stage in stages:
        check_processes(stage.optimisation)
    everyone = [model for stage in stages for model in (stage.model, stage.teacher) if model is not None]
    models = list({id(model): model for model in everyone}.values())
    state = load_checkpoint(run)
    first = 0
    if state is not None:
        first = state["stage"]
        for model, weights in zip(models, state["models"], strict=True):
            model.load_state_dict(weights)
    broken: dict[str, None] = {}
    for index in range(first, len(stages)):

        def save(progress: dict[str, Any], index: int = index) -> None:
            save_checkpoint(run, {"stage": index, "models": [m.state_dict() for m in models], **progress})

        teacher = stages[index].teacher
        if teacher is not None and state is None:
            teacher.load_state_dict(stages[index].model.state_dict())
        with log(index) as report:
            broken |= dict.fromkeys(_fit(stages[index], state, save, report))
        state = None
    return stages[-1].model, gathered(list(broken))


def _fit(
    stage: Stage, state: dict[str, Any] | None, save: Callable[[dict[str, Any]], None], report: StageLog
) -> list[str]:
    """Train one stage, from a checkpoint's state if there is one; messages about files that could not be read."""
    options = stage.optimisation
    fabric = launch(options)
    model = to_device(stage.model, fabric.device)
    if stage.teacher is not None:
        to_device(stage.teacher, fabric.device).eval().requires_grad_(False)
    with _only(model, stage.trained) as set_training:
        optimiser = make_optimiser(model, options, stage.pretrained)
        network, optimiser = fabric.setup(model, optimiser)
        average = None
        if options.average > 0:
            average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.average), use_buffers=True)
        kept: nn.Module = model if average is None else average.module
        plateau = make_plateau(optimiser, options)
        done = 0
        if state is not None:
            done = state["step"]
            optimiser.load_state_dict(state["optimiser"])
            plateau.load_state_dict(state["plateau"])
            if average is not None:
                average.load_state_dict(state["average"])
        stage.samples[0]  # raises here if no image can be read; in a worker process it would be a traceback
        broken: dict[str, None] = {}
        saved = time.monotonic()
        set_training(network)
        loader = _batches(stage.samples, options, done, fabric)
        batches: Any = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
        for batch in batches:
            broken |= dict.fromkeys(batch["broken"])
            set_learning_rate(optimiser, options, done)
            torch.manual_seed(seed_of(options.seed, done, fabric.global_rank))  # dropout depends on the step alone
            with SyncedBatchNorm() if fabric.world_size > 1 else nullcontext():
                loss = stage.loss(network, batch, done / options.steps)
            optimiser.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(network, optimiser, max_norm=GRADIENT_NORM)
            optimiser.step()
            if average is not None:
                average.update_parameters(model)
            done += 1
            report.stepped(done, loss.item(), learning_rate(optimiser, options))
            last = done == options.steps
            if stage.validation is not None and (last or done % stage.validation.every == 0):
                figures, unread = stage.validation.score(kept.eval(), fabric)
                set_training(network)
                broken |= dict.fromkeys(unread)
                report.scored(done, figures)
                if options.schedule == "plateau" and done > options.warmup:
                    plateau.step(next(iter(figures.values())))
            if fabric.is_global_zero and (last or time.monotonic() - saved > CHECKPOINT_SECONDS):
                save(
                    {
                        "step": done,
                        "average": None if average is None else average.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "plateau": plateau.state_dict(),
                    }
                )
                saved = time.monotonic()
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    model.eval()
    return list(broken)


@contextmanager
def _only(model: nn.Module, trained: tuple[str, ...]) -> Iterator[Callable[[nn.Module], None]]:
    """A context in which only parameters whose names begin with `trained` get gradients.

    It gives the function that sets training mode: layers without such parameters stay in evaluation mode.
    """
    frozen = [p for name, p in model.named_parameters() if p.requires_grad and not name.startswith(trained)]
    still = []
    for path, module in model.named_modules():
        own = [*module.named_parameters(path, recurse=False), *module.named_buffers(path, recurse=False)]
        if own and not any(name.startswith(trained) for name, _ in own):
            still.append(module)

    def set_training(network: nn.Module) -> None:
        network.train()
        for module in still:
            module.training = False  # not `eval()`, which reaches trained layers inside

    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield set_training
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def make_optimiser(
    model: nn.Module, options: Optimisation, pretrained: tuple[str, ...] = ()
) -> torch.optim.Optimizer:
    """The optimiser of all parameters that need gradients. Norms and biases have no weight decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lr = options.encoder_lr if options.encoder_lr and name.startswith(pretrained) else options.lr
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


def make_plateau(optimiser: torch.optim.Optimizer, options: Optimisation) -> ReduceLROnPlateau:
    """The schedule ``plateau``: a tenth after `patience` scores that are not the best so far, at most twice."""
    return ReduceLROnPlateau(
        optimiser,
        mode="max",
        factor=0.1,
        patience=options.patience - 1,  # theirs counts the scores that are tolerated
        threshold=0,
        min_lr=[group["full_lr"] / 100 for group in optimiser.param_groups],
        eps=0,
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, options: Optimisation, step: int) -> None:
    """Set the learning rates of a step, from 0. After the warmup, those of ``plateau`` are `make_plateau`'s."""
    if options.schedule == "plateau" and step > options.warmup:
        return
    for group in optimiser.param_groups:
        group["lr"] = group["full_lr"] * schedule(options, step)


def learning_rate(optimiser: torch.optim.Optimizer, options: Optimisation) -> float:
    """The learning rate of the last step, of the parameters whose full one is `Optimisation.lr`."""
    group = optimiser.param_groups[0]
    return float(options.lr * group["lr"] / group["full_lr"])


def schedule(options: Optimisation, step: int) -> float:
    """Factor of the learning rate at a step, from 0."""
    if step < options.warmup:
        return (step + 1) / options.warmup
    progress = (step - options.warmup) / max(1, options.steps - options.warmup)
    if options.schedule == "poly":
        return float((1 - progress) ** options.power)
    if options.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0


def _batches(samples: Dataset[Sample], options: Optimisation, done: int, fabric: Fabric) -> DataLoader[Sample]:
    """This process's part of every batch."""
    share = options.batch // fabric.world_size
    firsts = range(done * options.batch + fabric.global_rank * share, options.samples, options.batch)
    return DataLoader(
        Subset(samples, [first + i for first in firsts for i in range(share)]),
        share,
        shuffle=False,
        num_workers=min(options.workers, available_cores()),
        collate_fn=collate,
        persistent_workers=False,
        prefetch_factor=4 if options.workers else None,
    )
