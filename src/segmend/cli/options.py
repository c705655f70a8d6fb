"""Options that several commands share, and how their text is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from segmend.invalid import InvalidInput

if TYPE_CHECKING:
    from segmend.devices import Precision
    from segmend.jobs.pipeline import Engine
    from segmend.labels import Classes

Choice = TypeVar("Choice", bound=str)

Out = Annotated[Path, typer.Option(help="Folder to write to.")]
Images = Annotated[Path, typer.Option(help="Folder of images.")]
StoredIds = Annotated[
    str | None,
    typer.Option("--ids", help="The id in the masks of each class, as 0,85,170 (default: as they hold)."),
]
PaletteFile = Annotated[
    Path | None, typer.Option("--palette", help="Read masks by colour: a file with lines `name: r,g,b`.")
]
Bands = Annotated[
    str | None, typer.Option("--bands", help="Bands that are red, green and blue, from 1 (default: 1,2,3).")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make everything again; files that others wrote are never replaced.")
]
MaxPixels = Annotated[int | None, typer.Option(help="Refuse images with more pixels.")]
Probs = Annotated[bool, typer.Option("--probs", help="Also write probability maps (.npz).")]
Quantised = Annotated[bool, typer.Option("--quantised", help="Probabilities as 0..255: half the size.")]
Tidied = Annotated[
    str | None,
    typer.Option(
        "--tidy",
        metavar="SIZES",
        help="Tidy the label maps, sizes in pixels: islands=50,holes=50,smooth=2; of one class: car:islands=20.",
    ),
]
PrecisionOption = Annotated[str, typer.Option(help="32, bf16, or auto: bf16 where the hardware is fast at it.")]
Tolerance = Annotated[
    float,
    typer.Option(min=0, help="What polygons of refined or converted masks leave out, in pixels; 0: each step."),
]
RightAngles = Annotated[
    bool, typer.Option("--right-angles", help="Polygons turn by right angles alone, as those of buildings.")
]
EngineName = Annotated[
    str,
    typer.Option("--engine", help="local, or ray: on the machines of a Ray cluster."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="With --engine ray: processes (default: one for each GPU, or 4 cores)."),
]
Tile = Annotated[int, typer.Option(min=64, help="Images with a larger side are cut into tiles.")]


def classes_of(text: str | None) -> Classes | int | None:
    """A number of classes, or classes by their names."""
    from segmend.labels import Classes

    if text is None:
        return None
    if text.strip().lstrip("+-").isdigit():
        if int(text) < 1:
            raise InvalidInput(f"--classes {text}: expected a number of at least 1, or names: sky,road,car")
        return int(text)
    return Classes(tuple(name.strip() for name in text.split(",") if name.strip()))


def bands_of(text: str | None) -> tuple[int, int, int] | None:
    from segmend.pixels import parse_bands

    return None if text is None else parse_bands(text)


def groups_of(option: str, texts: list[str] | None) -> dict[str, tuple[str, ...]]:
    groups = {}
    for text in texts or []:
        name, equals, members = text.partition("=")
        if not (name and equals and members):
            raise InvalidInput(f"--{option} {text}: expected a name and the classes it joins, as lips=upper,lower")
        groups[name] = tuple(members.split(","))
    return groups


def numbers_of(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) <= 0:
        raise InvalidInput(f"--scales {text}: expected positive numbers with commas between, as 0.5,1,2")
    return numbers


def counts_of(option: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidInput(f"--{option} {text}: expected whole numbers from 0 on with commas between, as 0,10,30")
    return tuple(int(part) for part in parts)


def ids_of(option: str, text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise InvalidInput(f"--{option} {text}: expected ids with commas between, as 1,2,3")
    return tuple(int(part) for part in parts)


def one_of(option: str, value: str, *allowed: Choice) -> Choice:
    for choice in allowed:
        if value == choice:
            return choice
    raise InvalidInput(f"--{option} {value}: expected {', '.join(allowed[:-1])} or {allowed[-1]}")


def engine_of(name: str, workers: int | None) -> Engine:
    one_of("engine", name, "local", "ray")
    if name == "ray":
        from segmend.jobs.ray_engine import RayEngine

        return RayEngine(workers)
    from segmend.jobs.pipeline import LOCAL

    if workers is not None:
        raise InvalidInput(f"--workers {workers}: for --engine ray: leave it out")
    return LOCAL


def precision_of(name: str) -> Precision:
    return one_of("precision", name, "auto", "32", "bf16")
