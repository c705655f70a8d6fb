"""The backend as a running Label Studio uses it.

Runs where the variable LABEL_STUDIO names the executable, or `label-studio` is on the path; skipped elsewhere:

    python -m venv /tmp/ls && /tmp/ls/bin/pip install label-studio
    LABEL_STUDIO=/tmp/ls/bin/label-studio python -m pytest tests/plugins/label_studio/test_real_server.py

It starts Label Studio on loopback with a database of its own, which takes a minute or two.
"""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest

from segmend.plugins.label_studio import Backend, ImageSource, server_of
from segmend.plugins.label_studio.regions import mask_of
from segmend.refiners import ObjectRefiner, load

EXECUTABLE = os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
TOKEN = uuid.uuid4().hex
USER, PASSWORD = "someone@example.com", "a-password-of-a-test"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXECUTABLE, reason="set LABEL_STUDIO to the executable of Label Studio"),
]


class Server:
    """A running Label Studio."""

    def __init__(self, url):
        self.url = url

    def call(self, path, content=None, method=None, content_type="application/json"):
        as_json = content_type == "application/json" and content is not None
        body = json.dumps(content).encode() if as_json else content
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": content_type}
        request = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read()[:2000]!r}") from None

    def upload(self, project, name, content):
        """The id of the task that an uploaded image makes."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        body = head.encode() + b"Content-Type: image/png\r\n\r\n" + content + f"\r\n--{mark}--\r\n".encode()
        before = {task["id"] for task in self.tasks(project)}
        self.call(f"/api/projects/{project}/import", body, content_type=f"multipart/form-data; boundary={mark}")
        (new,) = {task["id"] for task in self.tasks(project)} - before
        return new

    def tasks(self, project):
        return self.call(f"/api/tasks?project={project}&fields=all")["tasks"]


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label_studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [EXECUTABLE, "start", "--no-browser", "--data-dir", folder, "--internal-host", "127.0.0.1"]
    command += ["--port", str(port), "--username", USER, "--password", PASSWORD]
    command += ["--user-token", TOKEN, "--enable-legacy-api-token"]
    settings = dict.fromkeys(("COLLECT_ANALYTICS", "CHECK_FOR_UPDATES"), "false")
    settings |= dict.fromkeys(("SENTRY_DSN", "FRONTEND_SENTRY_DSN"), "")
    # Label Studio refuses backends at addresses of its own machine, and the webhooks that it makes for them.
    settings |= dict.fromkeys(("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"), "false")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | settings
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([*map(str, command)], env=environment, stdout=log, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}")
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{server.url}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log.txt").read_text()[-2000:]
                time.sleep(1)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def project(label_studio, photo, config, disc, region, png):
    """A project with an uploaded image, whose task has a brush and a polygon that are too small; and a backend."""
    images = ImageSource(label_studio.url, TOKEN, (), 10**6)
    with server_of(Backend(ObjectRefiner(load("universal")), images.read), port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = label_studio.call("/api/projects", {"title": "Discs", "label_config": config})["id"]
        task = label_studio.upload(made, "disc.png", png(photo))
        given = [
            region(disc(34)),
            region(disc(34), "polygonlabels", id="Cd4"),
            {
                "id": "Ef5",
                "type": "choices",
                "from_name": "quality",
                "to_name": "img",
                "value": {"choices": ["no"]},
            },
        ]
        label_studio.call("/api/predictions", {"task": task, "result": given, "model_version": "a rough model"})
        backend = label_studio.call(
            "/api/ml",
            {"url": f"http://127.0.0.1:{server.server_port}", "project": made, "is_interactive": True},
        )
        yield {"project": made, "task": task, "backend": backend["id"], "given": given}
        server.shutdown()


def test_label_studio_connects(label_studio, project):
    (found,) = label_studio.call(f"/api/ml?project={project['project']}")
    assert found["readable_state"] == "Connected"
    assert found["model_version"].startswith("segmend ")


@pytest.mark.parametrize("number", [0, 1], ids=["brush", "polygon"])
def test_a_region_that_was_drawn_comes_back_refined(label_studio, project, disc, iou, number):
    given = project["given"][number]
    found = label_studio.call(
        f"/api/ml/{project['backend']}/interactive-annotating",
        {"task": project["task"], "context": {"result": [given]}},
    )
    (refined,) = found["data"]["result"]
    assert {k: refined[k] for k in ("id", "type", "from_name")} == {
        k: given[k] for k in ("id", "type", "from_name")
    }
    assert refined["value"][given["type"]] == ["Cell"]
    mask = mask_of(refined, 120, 160)
    assert iou(mask, disc(40)) > 0.97 > 0.8 > iou(mask_of(given, 120, 160), disc(40))


def test_what_is_wrong_reaches_the_annotator(label_studio, project, disc, region):
    wrong = region(disc(10, (30, 30), (60, 60)))
    found = label_studio.call(
        f"/api/ml/{project['backend']}/interactive-annotating",
        {"task": project["task"], "context": {"result": [wrong]}},
    )
    assert "expected a region of 160 x 120 px, as the image, found 60 x 60" in found["errors"][0]


def test_predictions_for_all_tasks(label_studio, project, disc, iou):
    label_studio.call(
        f"/api/dm/actions?id=retrieve_tasks_predictions&project={project['project']}",
        {"selectedItems": {"all": True, "excluded": []}, "project": project["project"]},
    )
    task = label_studio.call(f"/api/tasks/{project['task']}")
    (own,) = [one for one in task["predictions"] if one["model_version"].startswith("segmend ")]
    assert [item["id"] for item in own["result"]] == ["Ab3", "Cd4", "Ef5"]
    for item in own["result"][:2]:
        assert iou(mask_of(item, 120, 160), disc(40)) > 0.97
    assert own["result"][2]["value"] == {"choices": ["no"]}
    assert 0.8 < own["score"] <= 1
