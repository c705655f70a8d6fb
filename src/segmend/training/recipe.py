"""Recipes as YAML files: those that come with the package, reading, overrides, and messages about mistakes."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from segmend.data.files import InvalidFile
from segmend.labels import InvalidInput
from segmend.training.options import Recipe
from segmend.training.tasks import TASKS

SHIPPED = Path(__file__).parents[1] / "recipes"
"""Folder of the recipes that come with the package."""


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find_recipe(name: Path | str) -> Path:
    """The file of a recipe: a path, or the name of a recipe that comes with the package.

    Raises:
        InvalidInput: neither; the message lists the names.
    """
    path, names = Path(name), shipped_recipes()
    if path.is_file():
        return path
    if str(name) in names:
        return SHIPPED / f"{name}.yaml"
    near = [path.stem] if path.stem in names else difflib.get_close_matches(path.stem, names, n=3)
    meant = f"; did you mean {' or '.join(near)}? There" if near else "; there"
    raise InvalidInput(
        f"{name}: no such file, and no recipe of that name comes with segmend{meant} are {', '.join(names)}"
    )


def read_recipe(name: Path | str, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """The recipe in a YAML file, with ``key=value`` overrides (``optimisation.steps=100``).

    Paths in it are relative to the working directory.

    Args:
        name: a file, or the name of a recipe that comes with the package (see `find_recipe`).

    Raises:
        InvalidInput: no such recipe; not YAML; or a key or value that does not fit, with the nearest valid key.
    """
    path = find_recipe(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(path, f"not readable as YAML ({error})") from None
    if not isinstance(content, dict):
        raise InvalidFile(path, "expected keys such as `task`, `data`, `optimisation`")
    for override in overrides:
        _set(content, override)
    task = TASKS.get(str(content.get("task")))
    if task is None:
        found = f"found {content['task']!r}" if "task" in content else "found none"
        raise InvalidFile(path, f"task: expected {', '.join(TASKS)}; {found}")
    try:
        recipe: Recipe = task.recipe.model_validate(content)
    except ValidationError as error:
        raise InvalidFile(path, _explain(error, task.recipe)) from None
    return recipe


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise InvalidInput(f"expected key=value, found {override!r}")
    *parents, last = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise InvalidInput(f"{override!r}: {parent} holds no keys")
    content[last] = yaml.safe_load(value)


def _explain(error: ValidationError, recipe: type[Recipe]) -> str:
    """What is wrong with a recipe: for each fault the key, and for unknown keys the nearest valid one."""
    lines = []
    for fault in error.errors():
        where = [str(part) for part in fault["loc"]]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(where[-1], _keys_beside(recipe, fault["loc"]), n=1)
            message = "no such key" + (f"; did you mean {near[0]!r}?" if near else "")
        lines.append(f"{'.'.join(where) or 'recipe'}: {message}")
    return "; ".join(lines)


def _keys_beside(recipe: type[Recipe], place: tuple[int | str, ...]) -> list[str]:
    """The keys that a recipe may have at a place, which is a path of keys and of positions in lists."""
    part: type[BaseModel] = recipe
    for parent in (name for name in place[:-1] if isinstance(name, str)):
        inside = part.model_fields[parent].annotation
        part = next(kind for kind in (inside, *get_args(inside)) if isinstance(kind, type(BaseModel)))
    return list(part.model_fields)
