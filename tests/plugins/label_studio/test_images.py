"""Images of tasks are read from Label Studio and allowed hosts alone, with the token for Label Studio alone."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from segmend.labels import InvalidInput
from segmend.plugins.label_studio import ImageSource, images


class Recorder(BaseHTTPRequestHandler):
    """Answers by path, and notes what was asked with which authorization."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.pages.get(self.path, (404, {}, b"nothing"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, json.loads(body)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"access": "short"}).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    """A function that starts a server with pages; it has `url`, `host` and what was `asked`."""
    running = []

    def start(**pages):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        server.pages = {f"/{name}": page for name, page in pages.items()}
        server.asked = []
        server.host = f"127.0.0.1:{server.server_port}"
        server.url = f"http://{server.host}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def source_of(site, token="secret", hosts=()):
    return ImageSource(site.url, token, hosts, 10**6)


def test_a_path_is_read_from_label_studio_with_the_token_once(site, photo, png):
    studio = site(image=(200, {}, png(photo)))
    source = source_of(studio)
    assert (source.read("/image") == photo).all()
    assert (source.read("/image") == photo).all()
    assert studio.asked == [("/image", "Token secret")]
    assert (source.read(f"{studio.url}/image") == photo).all()


def test_a_personal_token_is_exchanged(site, photo, png):
    studio = site(image=(200, {}, png(photo)))
    source_of(studio, "a.b.c").read("/image")
    assert studio.asked == [("/api/token/refresh", {"refresh": "a.b.c"}), ("/image", "Bearer short")]


def test_other_hosts_are_refused_unless_allowed_and_never_get_the_token(site, photo, png):
    studio, other = site(), site(image=(200, {}, png(photo)))
    with pytest.raises(InvalidInput, match=f"allow this host with --image-host {other.host}"):
        source_of(studio).read(f"{other.url}/image")
    assert other.asked == []
    assert (source_of(studio, hosts=(other.host,)).read(f"{other.url}/image") == photo).all()
    assert other.asked == [("/image", None)]


def test_redirects_obey_the_same_rules(site, photo, png):
    other = site(image=(200, {}, png(photo)))
    studio = site(image=(302, {"Location": f"{other.url}/image"}, b""))
    with pytest.raises(InvalidInput, match="--image-host"):
        source_of(studio).read("/image")
    assert other.asked == []
    assert (source_of(studio, hosts=(other.host,)).read("/image") == photo).all()
    assert other.asked == [("/image", None)]
    to_a_file = site(image=(302, {"Location": "file:///etc/passwd"}, b""))
    with pytest.raises(InvalidInput):
        source_of(to_a_file).read("/image")


def test_a_data_url_needs_no_server(site, photo, data_url):
    assert (source_of(site()).read(data_url(photo)) == photo).all()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("file:///etc/passwd", "http and https alone"),
        ("ftp://127.0.0.1/a.png", "http and https alone"),
        ("../../etc/passwd", "http and https alone"),
        ("s3://bucket/a.png", "http and https alone"),
        ("/missing", "answered 404"),
        ("/secret", "answered 401.*check the token in LABEL_STUDIO_API_KEY"),
        ("/text", "not an image"),
        ("//example.com/a.png", "answered 404"),
        ("data:image/png;base64,###", "not base64"),
        ("data:image/png,abc", "expected a data URL"),
        ("", "address of an image"),
        (None, "address of an image"),
        ({"image": 1}, "address of an image"),
    ],
)
def test_what_is_no_image_is_said(site, reference, message):
    studio = site(text=(200, {}, b"hello"), secret=(401, {}, b""))
    with pytest.raises(InvalidInput, match=message):
        source_of(studio).read(reference)


def test_large_files_and_images_are_refused(site, photo, png, monkeypatch):
    studio = site(image=(200, {}, png(photo)))
    with pytest.raises(InvalidInput, match="expected at most 100 pixels"):
        ImageSource(studio.url, "", (), 100).read("/image")
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    with pytest.raises(InvalidInput, match="larger than"):
        source_of(studio).read("/image")


def test_a_server_that_is_not_there_is_said():
    with pytest.raises(InvalidInput, match=r"not reached.*--label-studio-url"):
        ImageSource("http://127.0.0.1:1", "", (), 100).read("/image")
    for address in ("localhost:8080", "file:///tmp", "http://"):
        with pytest.raises(InvalidInput, match="expected the address of Label Studio"):
            ImageSource(address, "", (), 100)
