"""Images of Label Studio's tasks: from its server, with its token, or from allowed hosts. Never local files."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any

import numpy as np

from segmend.data.files import InvalidFile
from segmend.data.images import read_image
from segmend.labels import InvalidInput

SECONDS = 30
"""How long a server may take to answer."""

MAX_BYTES = 256 << 20
"""Largest file of an image."""

KEPT = 2
"""Images that are kept in memory, as people work on one image for a while."""


class ImageSource:
    """Reads the images that tasks name.

    Args:
        server: address of Label Studio. What tasks name without a host is read from there.
        token: of a user of Label Studio: a personal access token or a legacy token. Sent to the server alone.
        hosts: other hosts that images may be read from, such as ``images.example.com`` or ``localhost:8000``.
        max_pixels: larger images are refused.
    """

    def __init__(self, server: str, token: str, hosts: tuple[str, ...], max_pixels: int) -> None:
        self.server = server.rstrip("/")
        parts = urllib.parse.urlsplit(self.server)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InvalidInput(f"expected the address of Label Studio as http://localhost:8080, found {server}")
        self.token, self.max_pixels = token, max_pixels
        self.own_host = parts.netloc.lower()
        self.hosts = {self.own_host, *(host.lower() for host in hosts)}
        self._opener = urllib.request.build_opener(_Redirects(self))
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()

    def read(self, reference: Any) -> np.ndarray:
        """The image ``uint8 [H, W, 3]`` that a task names: a URL, a path on the server, or a data URL.

        Raises:
            InvalidInput: a host that is not allowed, no answer, no image, or one that is too large.
        """
        if not isinstance(reference, str) or not reference:
            raise InvalidInput(f"expected the address of an image in the task, found {reference!s:.80}")
        if reference in self._kept:
            self._kept.move_to_end(reference)
            return self._kept[reference]
        content = _of_data_url(reference) if reference.startswith("data:") else self._fetched(reference)
        image = self._decoded(content, reference)
        self._kept[reference] = image
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return image

    def check_allowed(self, url: str) -> None:
        """Raise `InvalidInput` unless an image may be read from a URL."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise InvalidInput(f"{url:.200}: images are read by http and https alone: serve it by Label Studio")
        if parts.netloc.lower() not in self.hosts:
            raise InvalidInput(
                f"{url:.200}: images are read from {', '.join(sorted(self.hosts))} alone: "
                f"allow this host with --image-host {parts.netloc}"
            )

    def _fetched(self, reference: str) -> bytes:
        url = f"{self.server}{reference}" if reference.startswith("/") else reference
        self.check_allowed(url)
        headers = {}
        if self.token and urllib.parse.urlsplit(url).netloc.lower() == self.own_host:
            headers["Authorization"] = self._authorization()
        return self._bytes_of(urllib.request.Request(url, headers=headers))

    def _authorization(self) -> str:
        """A personal access token (with dots in it) is exchanged for a short one, a legacy one sent as it is."""
        if self.token.count(".") != 2:
            return f"Token {self.token}"
        request = urllib.request.Request(
            f"{self.server}/api/token/refresh",
            data=json.dumps({"refresh": self.token}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            return f"Bearer {json.loads(self._bytes_of(request))['access']}"
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(f"{request.full_url}: the answer holds no access token") from None

    def _bytes_of(self, request: urllib.request.Request) -> bytes:
        url = request.full_url
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                content: bytes = answer.read(MAX_BYTES + 1)
        except InvalidInput:
            raise
        except urllib.error.HTTPError as error:
            advice = ": check the token in LABEL_STUDIO_API_KEY" if error.code in (401, 403) else ""
            raise InvalidInput(f"{url:.200}: the server answered {error.code} {error.reason}{advice}") from None
        except (OSError, ValueError) as error:  # no such host, refused, timed out; no URL
            reason = getattr(error, "reason", error)
            raise InvalidInput(f"{url:.200}: not reached ({reason}): check --label-studio-url") from None
        if len(content) > MAX_BYTES:
            raise InvalidInput(f"{url:.200}: larger than {MAX_BYTES >> 20} MiB")
        return content

    def _decoded(self, content: bytes, reference: str) -> np.ndarray:
        with tempfile.TemporaryDirectory(prefix="segmend-") as folder:
            path = Path(folder, "image")
            path.write_bytes(content)
            try:
                return read_image(path, self.max_pixels)
            except InvalidFile as error:
                raise InvalidInput(f"{reference:.200}: {error.reason}") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, as to cloud storage, to allowed hosts alone, and without the token to other hosts."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        self.source.check_allowed(newurl)
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and urllib.parse.urlsplit(newurl).netloc.lower() != self.source.own_host:
            found.remove_header("Authorization")
        return found


def _of_data_url(url: str) -> bytes:
    head, comma, content = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise InvalidInput("expected a data URL as data:image/png;base64,...")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("the data URL of an image is not base64") from None
