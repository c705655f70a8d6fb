"""The HTTP server: its addresses, and what it refuses."""

import json
import socket
import threading
from http.client import HTTPConnection

import pytest
from typer.testing import CliRunner

from segmend.cli import app
from segmend.labels import InvalidInput
from segmend.plugins.label_studio import Backend, server, server_of
from segmend.refiners import GuidedFilter, ObjectRefiner


@pytest.fixture(scope="module")
def running(photo):
    backend = Backend(ObjectRefiner(GuidedFilter()), lambda address: photo, "guided")
    with server_of(backend, port=0) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def ask(running):
    """A function: status, reason and JSON of an answer."""

    def call(method, path, body=None, **headers):
        connection = HTTPConnection("127.0.0.1", running.server_port, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        assert answer.getheader("Content-Type") == "application/json"
        found = answer.status, answer.reason, json.loads(answer.read())
        connection.close()
        return found

    return call


def post(ask, path, content):
    return ask("POST", path, json.dumps(content), Content_Type="application/json")


def test_it_says_that_it_is_up_and_which_version(ask):
    assert ask("GET", "/health")[2] == ask("GET", "/")[2] == {"status": "UP", "model_class": "GuidedFilter"}
    version = post(ask, "/setup", {"project": "1.1", "schema": "<View/>", "access_token": "x"})[2]["model_version"]
    assert version.startswith("segmend ")
    assert version.endswith(" guided")
    assert ask("GET", "/versions?project=1")[2] == {"versions": [version]}
    assert post(ask, "/webhook", {"action": "ANNOTATION_CREATED"})[:1] == (200,)


def test_it_predicts(ask, config, region, disc):
    context = {"result": [region(disc(34))]}
    task = {"id": 1, "data": {"photo": "/a.png"}}
    request = {"tasks": [task], "label_config": config, "params": {"context": context}}
    status, _, found = post(ask, "/predict", request)
    assert status == 200
    assert found["results"][0]["result"][0]["id"] == "Ab3"


def test_errors_are_json_and_stand_in_the_status_line(ask):
    """Label Studio shows the status line alone."""
    status, reason, found = post(ask, "/predict", {"tasks": "Bäume\nund"})
    assert status == 400
    assert found["error"] == reason == "expected `tasks`, a list of tasks of Label Studio"
    assert ask("GET", "/etc/passwd")[:2] == (404, "nothing at /etc/passwd")
    assert post(ask, "/nothing", {})[0] == 404
    assert ask("POST", "/predict", "{", Content_Type="application/json")[0] == 400
    assert ask("POST", "/predict", "[1]", Content_Type="application/json")[2] == {
        "error": "expected a JSON object"
    }
    assert ask("POST", "/predict", "[" * 100_000, Content_Type="application/json")[0] == 400


def test_pages_of_other_sites_cannot_ask(ask):
    """A browser sends such types without asking the server first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert ask("POST", "/predict", "{}", Content_Type=kind)[0] == 415


def test_large_requests_are_refused_unread(ask, monkeypatch):
    monkeypatch.setattr(server, "MAX_BODY", 10)
    status, _, found = post(ask, "/predict", {"tasks": list(range(100))})
    assert status == 413
    assert "send fewer tasks" in found["error"]


def test_requests_of_unknown_size_are_refused(running):
    with socket.create_connection(("127.0.0.1", running.server_port), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n")
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 411 expected Content-Length")


def test_a_fault_of_the_program_does_not_end_the_server(ask, monkeypatch):
    monkeypatch.setattr(Backend, "predict", lambda self, request: 1 / 0)
    status, _, found = post(ask, "/predict", {})
    assert status == 500
    assert found["error"] == "ZeroDivisionError: division by zero"
    monkeypatch.undo()
    assert ask("GET", "/health")[0] == 200


def test_a_port_in_use_is_said(running):
    with pytest.raises(InvalidInput, match=f"cannot listen at 127.0.0.1:{running.server_port}.*another --port"):
        server_of(None, port=running.server_port)


def test_the_command_says_what_is_wrong(running, monkeypatch):
    def run(*options):
        return CliRunner().invoke(app, ["serve", "label-studio", *options])

    assert isinstance(run("--port", str(running.server_port), "--refiner", "guided").exception, InvalidInput)
    assert "address of Label Studio" in str(run("--label-studio-url", "nothing").exception)
    assert "serve label-studio" in CliRunner().invoke(app, ["serve", "label-studio", "--help"]).output


def test_the_command_listens_on_loopback(monkeypatch):
    asked = []

    def serve(self):
        asked.append(self.server_address)
        with socket.create_connection(self.server_address):
            raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", serve)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    found = CliRunner().invoke(app, ["serve", "label-studio", "--port", "0", "--refiner", "guided"])
    assert found.exit_code == 0, found.output
    assert asked[0][0] == "127.0.0.1"
    assert f"Listening at http://127.0.0.1:{asked[0][1]} for Label Studio at http://localhost:8080" in found.output
    assert "LABEL_STUDIO_API_KEY is not set" in found.output
    assert "Stopped." in found.output
