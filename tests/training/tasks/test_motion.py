"""Training motion: its samples need no labels, its loss is that of the paper, and it resumes."""

import numpy as np
import pytest
import torch

from segmend.data.images import write_image
from segmend.data.sampling import collate
from segmend.jobs.progress import bar
from segmend.jobs.train import train
from segmend.labels import InvalidInput
from segmend.training.checkpoint import load_checkpoint
from segmend.training.options import Optimisation
from segmend.training.recipe import read_recipe
from segmend.training.tasks import motion
from segmend.training.tasks.motion import MotionOptions, MotionRecipe, stages
from segmend.video import DISFlow, load_motion
from segmend.video.loss import motion_loss


def silent(title, total):
    return bar(title, total, quiet=True)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A folder of six frames of noise that moves by a pixel."""
    folder = tmp_path_factory.mktemp("video") / "clip"
    noise = np.random.default_rng(0).integers(0, 256, (12, 18, 3)).astype(np.uint8)
    whole = noise.repeat(4, axis=0).repeat(4, axis=1)
    for index in range(6):
        write_image(folder / f"{index}.png", whole[:40, index : index + 56])
    return folder


def recipe_of(frames, mode="reconstruction", steps=2, **changed):
    return MotionRecipe(
        frames=[frames],
        motion=MotionOptions(mode=mode, widths=(8, 12, 16)),
        finest_scale=1,
        crop=(32, 40),
        optimisation=Optimisation(steps=steps, batch=2, workers=0, lr=1e-3, precision="32", **changed),
    )


def weights(folder):
    return torch.cat([value.flatten() for value in load_motion(folder).state_dict().values()])


def test_one_stage_learns_from_frames_without_labels(frames):
    (stage,) = stages(recipe_of(frames), silent)
    assert len(stage.samples) == 4
    assert stage.samples.flow == DISFlow(1)
    assert stage.data == "clip: 1 video, 6 frames"
    assert stage.validation is None
    assert stage.samples[0]["frames"].shape == (3, 3, 32, 40)


@pytest.mark.parametrize("mode", ["reconstruction", "prediction"])
def test_the_loss_compares_the_moved_last_frame_with_the_next(frames, mode):
    (stage,) = stages(recipe_of(frames, mode), silent)
    batch = collate([stage.samples[i] for i in range(2)])
    seen = batch["frames"], batch["flows"]
    if mode == "prediction":
        seen = seen[0][:, :, :2], seen[1][:, :, :1]
    found = stage.loss(stage.model, batch, 0.0)
    frames_ = batch["frames"]
    expected = motion_loss(stage.model(*seen), frames_[:, :, 1], frames_[:, :, 2], batch["visible"])
    assert found.item() == pytest.approx(expected.item())
    found.backward()
    assert all(parameter.grad.isfinite().all() for parameter in stage.model.parameters())


def test_training_gives_a_folder_that_moves_frames(frames, tmp_path):
    assert train(recipe_of(frames), tmp_path, quiet=True) == []
    network = load_motion(tmp_path)
    assert network.mode == "reconstruction"
    found = network(torch.rand(1, 3, 3, 16, 16), torch.zeros(1, 2, 2, 16, 16))
    assert found.shape == (1, 2, 16, 16)
    assert "# Motion between video frames trained with segmend" in (tmp_path / "README.md").read_text()
    before = weights(tmp_path)
    assert train(recipe_of(frames), tmp_path, quiet=True) == []  # it is finished
    assert torch.equal(weights(tmp_path), before)


def test_the_seed_decides_everything_and_a_stopped_training_resumes(frames, tmp_path, monkeypatch):
    torch.manual_seed(1)
    train(recipe_of(frames, steps=3), tmp_path / "whole", quiet=True)
    torch.manual_seed(2)
    monkeypatch.setattr("segmend.training.loop.CHECKPOINT_SECONDS", 0.0)
    calls = []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return motion_loss(*arguments)

    monkeypatch.setattr(motion, "motion_loss", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(recipe_of(frames, steps=3), tmp_path / "halves", quiet=True)
    assert load_checkpoint(tmp_path / "halves")["step"] == 2
    train(recipe_of(frames, steps=3), tmp_path / "halves", quiet=True)
    assert len(calls) == 4
    rounding = 1e-3 if torch.cuda.is_available() else 0.0  # a GPU adds in any order
    assert torch.allclose(weights(tmp_path / "halves"), weights(tmp_path / "whole"), rtol=0, atol=rounding)
    train(recipe_of(frames, steps=3, seed=1), tmp_path / "other", quiet=True)
    assert not torch.allclose(weights(tmp_path / "other"), weights(tmp_path / "whole"), atol=1e-3)


def test_what_was_found_in_the_frames_is_reported(frames, caplog):
    caplog.set_level("INFO", "segmend.training.options")
    stages(recipe_of(frames), silent)
    assert caplog.messages == [f"{frames}: 6 frames"]


def test_broken_frames_are_named(frames, tmp_path):
    folder = tmp_path / "clip"
    for index in range(6):
        write_image(folder / f"{index}.png", np.full((40, 56, 3), index, np.uint8))
    whole = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(whole[: len(whole) // 2])
    broken = train(recipe_of(folder, steps=4), tmp_path / "run", quiet=True)
    assert len(broken) == 1
    assert "0.png" in broken[0]


def test_the_recipe_of_the_package(frames):
    recipe = read_recipe("motion", [f"frames=[{frames}]", "motion.mode=prediction", "motion.past=3"])
    assert isinstance(recipe, MotionRecipe)
    assert (recipe.motion.mode, recipe.motion.past, recipe.crop) == ("prediction", 3, (192, 256))
    (stage,) = stages(recipe, silent)
    assert stage.samples[0]["frames"].shape == (3, 4, 40, 56)  # as large as the frames are


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimisation.schedule=plateau"], "the schedule `plateau` is for segmenters and correctors"),
        (["frames=[]"], "frames"),
        (["crop=[0, 64]"], "crop"),
        (["motion.mode=past"], "motion"),
        (["motion.past=0"], "motion.past"),
    ],
)
def test_recipes_that_cannot_be_are_refused(overrides, message):
    with pytest.raises(InvalidInput, match=message):
        read_recipe("motion", overrides)


def test_videos_that_are_too_short_are_refused(tmp_path):
    for index in range(2):
        write_image(tmp_path / f"{index}.png", np.zeros((40, 56, 3), np.uint8))
    with pytest.raises(InvalidInput, match="motion needs 3 frames one after the other"):
        stages(recipe_of(tmp_path), silent)
