"""The page of a review, served on this computer alone: ``http://127.0.0.1:PORT/TOKEN/``.

Whoever lacks the secret token of the address sees nothing. Requests for a host of another name are refused, so
that no web site reads the page through a name of its own that leads here (DNS rebinding).
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, ValidationError

from segmend.jobs.review_session import SIDE, Session
from segmend.labels import InvalidInput
from segmend.review import Decision

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
"""The names that a request may have for this computer, with any port: SSH forwards under another one."""

MOST_BYTES = 64 * 1024
"""Largest body of a request."""

PAGES = {
    "": ("review.html", "text/html; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
    "colours.css": ("colours.css", "text/css; charset=utf-8"),
    "review.svg": ("review.svg", "image/svg+xml"),
    "review.js": ("review.js", "text/javascript; charset=utf-8"),
}
"""What is served from the package: by path, the file and its type."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer says: the page loads its own files alone, stands in no other one, and is not stored."""


class _Posted(BaseModel):
    """A decision as the page sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: str
    regions: int
    accepted: list[int]
    kept: list[int]


class ReviewServer(ThreadingHTTPServer):
    """Serves a review on this computer.

    Args:
        session: the review; its log is open.
        port: where to listen; 0 for a free one.

    Attributes:
        token: the secret part of the address.
        address: what to open in a browser.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise InvalidInput(
                f"port {port} of {ADDRESS} cannot be used ({error.strerror}): give another --port"
            ) from None
        self.address = f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def serve(self) -> None:
        """Serve until `shutdown` or an interrupt, and look at the images in the background."""
        threading.Thread(target=self.session.look_ahead, daemon=True).start()
        try:
            self.serve_forever(poll_interval=0.1)
        finally:
            self.server_close()
            self.session.end()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers end connections at will: that is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "segmend", ""
    timeout = 300

    def do_GET(self) -> None:
        """Pages, the list of images, and what is shown of one."""
        path = self._path()
        if path is None:
            return
        session = self.server.session
        if path in PAGES:
            name, kind = PAGES[path]
            self._answer(files("segmend.report").joinpath("templates", name).read_bytes(), kind)
            return
        match path.split("/"):
            case ["list"]:
                self._json(session.listing())
            case ["events", count] if count.isdecimal():
                self._json(session.since(int(count)))
            case ["images", index, what] if index.isdecimal() and what in ("about", "photo", "maps"):
                self._image(int(index), what)
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def _image(self, index: int, what: str) -> None:
        side = parse_qs(self.path.partition("?")[2]).get("side", [str(SIDE)])[0]
        if not side.isdecimal() or int(side) < 1:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        session = self.server.session
        try:
            view, about = session.view(index, int(side)), session.about(index, int(side))
        except IndexError:
            self.send_error(HTTPStatus.NOT_FOUND)
        except (InvalidInput, OSError) as error:
            self._json({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
        else:
            if what == "about":
                self._json(about)
            elif what == "photo":
                self._answer(view.photo, "image/jpeg")
            else:
                self._answer(view.maps, "application/octet-stream", {"Content-Encoding": "deflate"})

    def do_POST(self) -> None:
        """A decision."""
        path = self._path()
        if path is None:
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        match path.split("/"):
            case ["images", index, "decision"] if index.isdecimal():
                self._decide(int(index), body)
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def _decide(self, index: int, body: bytes) -> None:
        try:
            posted = _Posted.model_validate_json(body)
            decision = Decision(posted.regions, tuple(posted.accepted), tuple(posted.kept))
        except (ValidationError, InvalidInput):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        try:
            state = self.server.session.decide(index, posted.inputs, decision)
        except IndexError:
            self.send_error(HTTPStatus.NOT_FOUND)
        except InvalidInput as error:
            self._json({"error": str(error)}, HTTPStatus.CONFLICT)
        except OSError as error:
            reason = f"{error.filename or self.server.session.log.path}: {error.strerror}"
            self._json({"error": reason}, HTTPStatus.INSUFFICIENT_STORAGE)
        else:
            self._json({"state": state})

    def _path(self) -> str | None:
        """The path behind the token; None where the request was refused."""
        host, _, port = self.headers.get("Host", "").partition(":")
        origin = self.headers.get("Origin")
        allowed = host in HOSTS and (not port or port.isdecimal())
        if not allowed or origin not in (None, f"http://{self.headers['Host']}"):
            self._refuse()
            return None
        token, _, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(errors="replace"), self.server.token.encode()):
            self._refuse()
            return None
        return path

    def _refuse(self) -> None:
        self.close_connection = True  # what its body may hold is not read
        self.send_error(HTTPStatus.FORBIDDEN)

    def _json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        self._answer(content, "application/json", status=status)

    def _answer(
        self, content: bytes, kind: str, headers: dict[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        """Every answer, errors too, has the headers that keep the page to itself."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed: their address holds the token."""
