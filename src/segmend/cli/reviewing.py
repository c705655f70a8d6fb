"""The command `review`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console, errors
from segmend.cli.messages import check_folder, counted, finish, reported
from segmend.cli.options import MaxPixels, Out, PaletteFile, Quiet
from segmend.invalid import InvalidInput

if TYPE_CHECKING:
    from segmend.jobs.painted import Painted
    from segmend.jobs.review import Review
    from segmend.jobs.review_log import DecisionLog
    from segmend.report.results import Review as Results


@app.command()
def review(
    out: Out,
    images: Annotated[Path | None, typer.Option(help="Folder of images (default: as before).")] = None,
    coarse: Annotated[
        Path | None, typer.Option(help="Coarse label maps, a folder, or annotations (default: as before).")
    ] = None,
    refined: Annotated[
        Path | None,
        typer.Option(help="What refine or check wrote, or other label maps or annotations (default: as before)."),
    ] = None,
    palette: PaletteFile = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page (default: a free one).")] = 0,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the decided label maps to OUT/labels, without a page.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="With --apply: over the coarse maps; OUT/backup keeps them.")
    ] = False,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
) -> None:
    """Decide on a local page which refinements or suggestions to accept; then write the labels."""
    from segmend.jobs.painted import painted
    from segmend.jobs.review import LOG, open_review
    from segmend.jobs.review import apply as apply_decisions
    from segmend.jobs.review_log import DecisionLog

    if in_place and not apply:
        raise InvalidInput("--in-place: only with --apply")
    check_folder(out)
    log = DecisionLog(out / LOG)
    given = {"images": images, "coarse": coarse, "refined": refined, "palette": palette}
    before = log.opened.paths if log.opened else {}
    paths = before | {name: path for name, path in given.items() if path is not None}
    if missing := [f"--{name}" for name in ("images", "coarse", "refined") if name not in paths]:
        raise InvalidInput(f"{out} holds no review yet: give {', '.join(missing)}")
    maps = reported(
        painted({name: paths[name] for name in ("coarse", "refined")}, out / "label_maps", paths["images"])
    )
    if maps.annotations and in_place:
        raise InvalidInput(f"--in-place: for label maps; annotations are written to {out}: leave it out")
    opened = open_review(**paths | maps.folders, out=out, max_pixels=max_pixels)
    for finding in (*opened.findings, *log.notes):
        console.print(escape(finding))
    if apply:
        done = apply_decisions(opened, in_place, quiet)
        if "coarse" in maps.annotations:
            _apply_to_annotations(paths, maps, out)
        _print_applied(done, out, in_place)
    else:
        _serve(opened, paths, log, out, port)


def _apply_to_annotations(paths: dict[str, Path], maps: Painted, out: Path) -> None:
    from segmend.jobs.reviewed_annotations import apply_to_annotations

    if "refined" not in maps.annotations:
        console.print(
            f"{paths['coarse']} stays as it is, as the refined maps are no annotations: label maps alone"
        )
        return
    written, count = apply_to_annotations(
        paths["coarse"], paths["refined"], paths["images"], maps.folders["coarse"], out
    )
    console.print(escape(f"{count} objects with another mask in {written}"))


def _print_applied(done: Results, out: Path, in_place: bool) -> None:
    parts = [f"{done.decided} decided", f"{done.undecided} undecided or without a difference"]
    if done.partly:
        parts.insert(1, f"{done.partly} partly decided")
    if done.without_refined:
        parts.append(f"{done.without_refined} more without a refined map")
    console.print(f"{counted(done.images)}: {', '.join(parts)}; what is undecided keeps the coarse map")
    where = (
        f"over the coarse maps, their first versions to {out / 'backup'}" if in_place else f"to {out / 'labels'}"
    )
    finish(
        f"{done.accepted_regions} regions accepted, {done.kept_regions} kept: {done.changed_pixels} pixels of "
        f"{counted(done.changed)} changed; written {where}; what was decided: {out / 'confirmed'}",
        [f"{s.file}: {s.reason}" for s in done.skipped],
    )


def _serve(opened: Review, paths: dict[str, Path], log: DecisionLog, out: Path, port: int) -> None:
    from segmend.jobs.review_server import ReviewServer
    from segmend.jobs.review_session import Session

    if opened.unpaired:
        first = opened.unpaired[0]
        errors.print(escape(f"{len(opened.unpaired)} skipped, the first: {first.file}: {first.reason}"))
    log.open(**paths)
    session = Session(opened, log)
    server = ReviewServer(session, port)
    with suppress(KeyboardInterrupt):
        console.print(f"{counted(len(opened.ids))}, {len(log.decisions)} decided before. Open in a browser:")
        console.print(escape(server.address))
        console.print("Decisions are saved as they are made. Ctrl-C ends.")
        server.serve()
    console.print(
        f"{len(log.decisions)} of {counted(len(opened.ids))} with decisions, saved in {escape(str(log.path))}"
    )
    console.print(f"Write the labels: segmend review --apply --out {escape(str(out))}")
