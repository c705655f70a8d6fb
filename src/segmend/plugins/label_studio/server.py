"""The HTTP server that Label Studio connects to as a machine-learning backend.

Label Studio's own package for such servers pins versions of Flask and Jinja2 that exclude this package's; what it
speaks is five addresses with JSON.
"""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from segmend.labels import InvalidInput
from segmend.plugins.label_studio.backend import Backend

MAX_BODY = 256 << 20
"""Bytes of a request: run lengths of many regions are written as numbers in decimals."""

SECONDS = 60
"""How long a client may take to send its request."""

REASON = 300
"""Characters of an error that stand in the status line: Label Studio shows these alone."""

logger = logging.getLogger(__name__)


def server_of(backend: Backend, host: str = "127.0.0.1", port: int = 9090) -> ThreadingHTTPServer:
    """A server that listens; `serve_forever` answers.

    Raises:
        InvalidInput: the address cannot be used, as where another program listens.
    """
    handler = type("Handler", (_Handler,), {"backend": backend, "one_at_a_time": threading.Lock()})
    try:
        return ThreadingHTTPServer((host, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"cannot listen at {host}:{port} ({reason}): choose another --port") from None


class _Refused(Exception):
    """A request that is not read."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """JSON in, JSON out; errors are JSON with `error`."""

    backend: Backend
    one_at_a_time: threading.Lock
    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in ("/", "/health"):
            self._send(200, {"status": "UP", "model_class": type(self.backend.refiner.refiner).__name__})
        elif path == "/versions":
            self._send(200, {"versions": [self.backend.model_version]})
        else:
            self._fail(404, f"nothing at {path:.80}")

    def do_POST(self) -> None:
        try:
            found = self._answer(self.path.partition("?")[0], self._request())
        except _Refused as error:
            self.close_connection = True  # what was not read would be taken for the next request
            self._fail(error.status, str(error))
        except InvalidInput as error:
            self._fail(400, str(error))
        except Exception as error:  # a fault of the program: the annotator's request fails, the server stays
            logger.exception("request to %s failed", self.path)
            self._fail(500, f"{type(error).__name__}: {error}")
        else:
            for task, message in found.get("errors", {}).items():
                logger.warning("task %s: %s", task, message)
            self._send(200, found)

    def _answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if path == "/predict":
            with self.one_at_a_time:
                return self.backend.predict(request)
        if path == "/setup":
            return {"model_version": self.backend.model_version}
        if path in ("/webhook", "/train"):  # what annotators did: nothing is trained
            return {}
        raise _Refused(404, f"nothing at {path:.80}")

    def _request(self) -> dict[str, Any]:
        # Pages of other sites cannot send this type without being asked first, so that they cannot use the server.
        if self.headers.get_content_type() != "application/json":
            raise _Refused(415, "expected Content-Type: application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise _Refused(411, "expected Content-Length")
        if int(length) > MAX_BODY:
            raise _Refused(413, f"the request is larger than {MAX_BODY >> 20} MiB: send fewer tasks at once")
        try:
            request = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"the request is not readable as JSON ({error})") from None
        if not isinstance(request, dict):
            raise InvalidInput("expected a JSON object")
        return request

    def _fail(self, status: int, message: str) -> None:
        logger.warning("%s: %s", self.path, message)
        line = " ".join(message.split()).encode("ascii", "replace").decode()
        self._send(status, {"error": message}, line[:REASON])

    def _send(self, status: int, content: dict[str, Any], reason: str | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status, reason)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # Label Studio waits for a time that it was given
            self.close_connection = True
            logger.warning("%s: who asked has not waited for the answer: send fewer tasks at once", self.path)

    def log_message(self, format: str, *args: Any) -> None:
        logger.info(format, *args)
