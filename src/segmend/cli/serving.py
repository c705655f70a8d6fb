"""The command `serve label-studio`."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer
from rich.markup import escape

from segmend.cli.app import app, console, errors
from segmend.cli.options import MaxPixels

serve_app = typer.Typer(no_args_is_help=True, help="Refinement inside annotation tools.")
app.add_typer(serve_app, name="serve")

TOKEN = "LABEL_STUDIO_API_KEY"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@serve_app.command("label-studio")
def label_studio(
    label_studio_url: Annotated[
        str, typer.Option(envvar="LABEL_STUDIO_URL", help="Address of Label Studio, which images are read from.")
    ] = "http://localhost:8080",
    image_host: Annotated[
        list[str] | None,
        typer.Option(help="Another host that images may be read from, as HOST or HOST:PORT; several times."),
    ] = None,
    refiner: Annotated[
        str, typer.Option(help="universal, offset, crf, guided, or a folder that train or tune wrote.")
    ] = "universal",
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for other machines too.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at (0: any that is free).")] = 9090,
    max_pixels: MaxPixels = None,
) -> None:
    """Refine brush and polygon regions in Label Studio: run its machine-learning backend until Ctrl-C.

    A user's token of Label Studio, by which images are read, is taken from the variable LABEL_STUDIO_API_KEY.
    """
    from segmend.data.files import MAX_PIXELS
    from segmend.plugins import object_refiner
    from segmend.plugins.label_studio import Backend, ImageSource, server_of

    token = os.environ.get(TOKEN, "")
    images = ImageSource(label_studio_url, token, tuple(image_host or ()), max_pixels or MAX_PIXELS)
    backend = Backend(object_refiner(refiner), images.read, refiner)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    with server_of(backend, host, port) as server:
        address = f"http://{host}:{server.server_port}"
        console.print(escape(f"Listening at {address} for Label Studio at {label_studio_url}; Ctrl-C stops"))
        if not token:
            errors.print(f"[yellow]note:[/yellow] {TOKEN} is not set: images that need a login cannot be read")
        if host not in LOOPBACK:
            errors.print("[yellow]note:[/yellow] whoever reaches this port can ask for masks of your images")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("Stopped.")
