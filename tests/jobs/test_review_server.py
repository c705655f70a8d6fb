"""The server of the page: what it gives, and to whom."""

import hmac
import http.client
import json
import re
import socket
import threading
from importlib.resources import files

import pytest

from segmend.jobs.review import LOG, open_review
from segmend.jobs.review_log import DecisionLog
from segmend.jobs.review_server import PAGES, ReviewServer
from segmend.jobs.review_session import Session


@pytest.fixture
def server(write_review, tmp_path):
    folders = write_review(tmp_path)
    log = DecisionLog(tmp_path / "out" / LOG)
    log.open(*folders)
    server = ReviewServer(Session(open_review(*folders, tmp_path / "out"), log))
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


@pytest.fixture
def ask(server):
    """A function that sends a request, by default with the token before its path."""

    def asked(path, method="GET", body=None, token=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection._encode_request = lambda request: request.encode()  # what a browser would never send, too
        whole = path if token == "" else f"/{server.token if token is None else token}/{path}"
        connection.putrequest(method, whole, skip_host="Host" in headers, skip_accept_encoding=True)
        content = None if body is None else json.dumps(body).encode()
        if content is not None and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        answer.content = answer.read()
        connection.close()
        return answer

    return asked


def test_the_page_and_what_it_asks_for_are_given(server, ask):
    for path, (_, kind) in PAGES.items():
        answer = ask(path)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == kind
    assert json.loads(ask("list").content)["ids"] == ["00", "01", "02", "03"]
    about = json.loads(ask("images/1/about").content)
    assert about["id"] == "01"
    assert ask("images/1/photo?side=40").headers["Content-Type"] == "image/jpeg"
    assert ask("images/1/maps").headers["Content-Encoding"] == "deflate"
    body = {"inputs": about["inputs"], "regions": 2, "accepted": [1], "kept": [2]}
    answer = ask("images/1/decision", "POST", body, Origin=f"http://127.0.0.1:{server.server_port}")
    assert json.loads(answer.content) == {"state": "mixed"}
    assert DecisionLog(server.session.log.path).decisions["01"].decision.accepted == (1,)


@pytest.mark.parametrize("path", ["", "list", "images/0/photo", "review.js"])
def test_without_the_token_nothing_is_given(server, ask, path):
    other = ("A" if server.token[0] != "A" else "B") + server.token[1:]
    for token in (other, server.token[:-1], server.token + "x", "", "%00", "é"):
        answer = ask(path if token else f"/{path}", token=token)
        assert answer.status == 403
        assert server.token.encode() not in answer.content


def test_the_token_is_compared_in_constant_time_and_is_another_one_each_time(server, monkeypatch, ask):
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append((a, b)), compare(a, b))[1])
    assert ask("list", token="wrong").status == 403
    assert compared == [(b"wrong", server.token.encode())]
    assert len(server.token) >= 32
    other = ReviewServer(server.session)
    other.server_close()
    assert other.token != server.token


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example:1", "", "127.0.0.1:x"],
)
def test_requests_for_another_host_are_refused(ask, host):
    assert ask("list", Host=host).status == 403


def test_a_forwarded_port_is_allowed_and_requests_of_other_sites_are_refused(server, ask):
    assert ask("list", Host="localhost:9000").status == 200
    own = f"127.0.0.1:{server.server_port}"
    for origin in ("http://evil.example", "null", "https://" + own):
        assert ask("images/0/decision", "POST", {}, Host=own, Origin=origin).status == 403


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "images/../../../etc/passwd/photo",
        "images/-1/photo",
        "images/99/photo",
        "images/00/../../x",
        "images/0/labels",
        "images/0",
        "review.html",
        "templates/report.css",
        "%2e%2e/out/decisions.jsonl",
        "events/-1",
        "images/²/about",
    ],
)
def test_other_paths_give_nothing(ask, path):
    answer = ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.content


@pytest.mark.parametrize("side", ["0", "-5", "x", ""])
def test_sizes_that_cannot_be_meant_are_refused(ask, side):
    assert ask(f"images/0/photo?side={side}").status in ((400,) if side else (200,))


def test_every_answer_forbids_other_sources_and_other_sites(ask):
    for answer in (ask(""), ask("list"), ask("none"), ask("list", token="wrong"), ask("list", "DELETE")):
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert {v for k, v in policy.items() if k != "default-src"} <= {"'self'", "'none'"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_holds_no_inline_script_or_style_and_no_outside_address():
    templates = files("segmend.report").joinpath("templates")
    page = templates.joinpath("review.html").read_text()
    assert re.findall(r"<script[^>]*>", page) == ['<script src="review.js" defer>']
    assert "<style" not in page
    assert not re.search(r"\s(style|on\w+)=", page)
    for name, _ in PAGES.values():
        text = templates.joinpath(name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"(^|\s)//.*", "", text), name
        assert "innerHTML" not in text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"inputs": "h", "regions": 2, "accepted": [3], "kept": []}, 400),
        ({"inputs": "h", "regions": 2, "accepted": ["1"], "kept": []}, 400),
        ({"inputs": "h", "regions": 2, "accepted": [1], "kept": [], "more": 1}, 400),
        ({"inputs": "h", "regions": 2, "accepted": [1], "kept": []}, 409),
    ],
)
def test_decisions_that_cannot_be_meant_are_refused_and_not_saved(server, ask, body, status):
    before = server.session.log.path.read_bytes()
    assert ask("images/1/decision", "POST", body).status == status
    assert server.session.log.path.read_bytes() == before


def test_large_bodies_and_bodies_without_a_length_are_refused(ask):
    assert ask("images/1/decision", "POST", **{"Content-Length": str(10**9)}).status == 413
    assert ask("images/1/decision", "POST", **{"Content-Length": "x"}).status == 413
    assert ask("images/9/decision", "POST", {"inputs": "", "regions": 0, "accepted": [], "kept": []}).status == 404


def test_a_file_that_cannot_be_read_is_named(server, ask, tmp_path):
    (tmp_path / "images/03.png").write_bytes(b"no image")
    answer = ask("images/3/about")
    assert answer.status == 422
    assert "03.png: not an image" in json.loads(answer.content)["error"]


def test_it_listens_on_this_computer_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    found = socket.gethostbyname_ex(socket.gethostname())[2]
    for address in (a for a in found if not a.startswith("127.")):
        with pytest.raises(OSError), socket.create_connection((address, server.server_port), timeout=1):
            pass


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(Exception, match=f"port {server.server_port} of 127.0.0.1 cannot be used"):
        ReviewServer(server.session, server.server_port)
