"""A review as a person makes it: by keys in a browser, over restarts and kills, until the labels are written."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import numpy as np
import pytest

from segmend.data.masks import read_mask
from segmend.jobs.review import LOG, open_review
from segmend.jobs.review_log import DecisionLog
from segmend.jobs.review_server import ReviewServer
from segmend.jobs.review_session import Session

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
SWITCHES = (
    "no-sandbox",
    "disable-gpu",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
)


@contextmanager
def _served(folders, out):
    log = DecisionLog(out / LOG)
    log.open(*folders)
    server = ReviewServer(Session(open_review(*folders, out), log))
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs a browser: no chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{s}" for s in SWITCHES])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """A function that opens an address; what goes wrong on the page, or leaves it, fails the test."""
    wrong = []
    context = browser.new_context(viewport={"width": 1280, "height": 800})

    def opened(address):
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: request.url.startswith(address) or wrong.append(request.url))
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    yield opened
    context.close()
    assert wrong == []


def _press(page, key, image=None):
    """Press a key; wait until an image is shown."""
    page.keyboard.press(key)
    if image is not None:
        page.wait_for_selector(f'body[data-image="{image}"]')


def _wait_until_saved(page):
    page.wait_for_selector("#saved:text-is('saved')")


def test_twenty_images_are_reviewed_by_keys_alone_and_written(write_review, tmp_path, open_page, segmend_):
    folders, out = write_review(tmp_path, count=20, size=(60, 110)), tmp_path / "out"
    order = [f"{index:02}" for index in range(18, -1, -1)]  # most squares first; 19 has none
    accepted = {}
    with _served(folders, out) as server:
        page = open_page(server.address)
        assert page.inner_text("#count") == "0 of 19 decided"
        assert page.get_attribute("body", "data-image") == order[0]
        for position, identity in enumerate(order[:10]):
            way = position % 5
            count = int(identity) + 1
            following = order[position + 1]
            if way == 0:
                _press(page, "a", following)
                accepted[identity] = range(1, count + 1)
            elif way == 1:
                _press(page, "k", following)
                accepted[identity] = ()
            elif way == 2:  # the second region, and the last, by going back from the first
                for key in ("n", "n", "Space", "p", "p", "Space", "2", "3", "4", "1", "+", "-"):
                    _press(page, key)
                _press(page, "Enter", following)
                accepted[identity] = (2, count)
            elif way == 3:  # accepted, taken back, and kept in the first region alone
                _press(page, "a", following)
                _press(page, "z", identity)
                assert page.get_attribute("#regions .toggle", "aria-label").startswith("Region 1, undecided")
                for key in ("ArrowDown", "Space", "Space"):
                    _press(page, key)
                assert page.get_attribute("#regions .toggle", "aria-label").startswith("Region 1, coarse map kept")
                _press(page, "l", following)
                _press(page, "j", identity)
                _press(page, "ArrowRight", following)
            else:
                _press(page, "?")
                assert page.is_visible("#help")
                _press(page, "a")  # nothing, while the help is open
                _press(page, "?")
                _press(page, "a", following)
                accepted[identity] = range(1, count + 1)
        _wait_until_saved(page)
        page.close()
    with _served(folders, out) as server:  # another day
        page = open_page(server.address)
        assert page.inner_text("#count") == "8 of 19 decided"
        assert page.get_attribute("body", "data-image") == order[3]  # the worst that is not decided
        for _ in range(11):
            shown = page.get_attribute("body", "data-image")
            accepted[shown] = range(1, int(shown) + 2)
            _press(page, "a")
            if len(accepted) < 19:
                page.wait_for_selector(f'body:not([data-image="{shown}"])')
        page.wait_for_selector("#message:visible")
        assert page.inner_text("#count") == "19 of 19 decided"
        assert f"segmend review --apply --out {out}" in page.inner_text("#message")
        _wait_until_saved(page)
        page.close()
    code, printed, _ = segmend_("review", "--apply", "--out", out, "--quiet")
    assert code == 0
    assert "20 images: 19 decided, 1 undecided or without a difference" in printed
    review = open_review(*folders, out)
    assert sorted(accepted) == sorted(order)
    for identity in review.ids:
        coarse, refined, found = review.differences(identity)
        taken = np.isin(found.numbers, list(accepted.get(identity, ())))
        expected = np.where(taken, refined, coarse)
        assert np.array_equal(read_mask(out / "labels" / f"{identity}.png").ids, expected), identity


def test_buttons_regions_and_the_list_work_by_mouse_also_on_a_narrow_screen(write_review, tmp_path, open_page):
    folders = write_review(tmp_path)
    with _served(folders, tmp_path / "out") as server:
        page = open_page(server.address)
        page.click("#regions li:nth-child(2) .toggle")
        assert page.locator("#regions .mark.accepted").count() == 1
        page.click(".row:nth-child(2)")
        page.wait_for_selector('body[data-image="01"]')
        box = page.locator("#stage").bounding_box()
        scale = min(box["width"] / 80, box["height"] / 60)
        x0, y0 = (box["x"] + (box["width"] - 80 * scale) / 2, box["y"] + (box["height"] - 60 * scale) / 2)
        for _ in range(2):  # chosen, then accepted
            page.mouse.click(x0 + 8 * scale, y0 + 8 * scale)
        assert page.get_attribute("#regions .current .toggle", "aria-label").startswith("Region 1, accepted")
        page.keyboard.press("Space")  # acts on the region, not on what was clicked
        assert page.get_attribute("#regions .current .toggle", "aria-label").startswith(
            "Region 1, coarse map kept"
        )
        page.focus("#regions li:nth-child(1) .toggle")
        page.keyboard.press("Space")  # acts on what has the focus, which stays there
        page.keyboard.press("Space")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
            "Region 1, coarse map"
        )
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.click("#accept")
        page.wait_for_selector('body[data-image="00"]')
        page.click("#undo")
        page.wait_for_selector('body[data-image="01"]')
        _wait_until_saved(page)
    found = DecisionLog(tmp_path / "out" / LOG).decisions
    assert (found["02"].decision.accepted, found["02"].decision.kept) == ((2,), ())
    assert (found["01"].decision.accepted, found["01"].decision.kept) == ((), (1,))


def test_a_decision_that_cannot_be_saved_is_said_and_saved_later(write_review, tmp_path, browser):
    folders = write_review(tmp_path)
    with _served(folders, tmp_path / "out") as server:
        page = browser.new_page()
        page.goto(server.address)
        page.wait_for_selector("body[data-ready]")
        add, failed = server.session.log.add, []

        def full(*given):
            failed.append(given)
            raise OSError(28, "No space left on device", "decisions.jsonl")

        server.session.log.add = full
        page.keyboard.press("a")
        page.wait_for_selector("#problem:visible")
        assert "No space left" in page.inner_text("#problem")
        server.session.log.add = add
        page.wait_for_selector("#problem", state="hidden")
        _wait_until_saved(page)
        page.close()
    assert failed
    assert DecisionLog(tmp_path / "out" / LOG).decisions["02"].decision.state == "accepted"


def test_decisions_survive_a_kill_and_the_command_resumes(write_review, tmp_path, segmend_):
    images, coarse, refined = write_review(tmp_path, count=20, size=(60, 110))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "segmend", "review", "--out", out]
    folders = ["--images", images, "--coarse", coarse, "--refined", refined]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*command, *folders], stdout=subprocess.PIPE, text=True, env=environment)
    address = urlsplit(next(line.strip() for line in process.stdout if line.startswith("http://")))
    acknowledged = {}
    killer = threading.Timer(0.25, process.kill)

    def ask(method, path, body=None):
        connection.request(method, address.path + path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200
        return json.loads(content)

    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    abouts = [ask("GET", f"images/{index}/about") for index in range(19)]
    killer.start()
    with suppress(OSError, http.client.HTTPException):
        for turn in range(10**6):
            index, about = turn % 19, abouts[turn % 19]
            number = turn // 19 % len(about["regions"]) + 1
            body = {"inputs": about["inputs"], "regions": len(about["regions"]), "accepted": [number], "kept": []}
            ask("POST", f"images/{index}/decision", body)
            acknowledged[about["id"]] = (number, turn)
    assert process.wait() == -signal.SIGKILL
    assert acknowledged
    log = DecisionLog(out / LOG)
    last = max(turn for _, turn in acknowledged.values())
    for identity, (number, turn) in acknowledged.items():
        found = log.decisions[identity].decision.accepted
        assert found == (number,) or turn + 19 == last + 1  # the one that was being sent may be on disk, too
    with (out / LOG).open("ab") as file:
        file.write(b'{"kind":"decided","id":"0')  # as a power cut would leave it
    code, printed, _ = segmend_("review", "--apply", "--out", out, "--quiet")
    assert code == 0
    assert "its last line was not written to its end" in printed.replace("\n", " ")
    assert re.search(r"\d+ pixels of \d+ images changed", printed)


def test_an_interrupt_ends_the_command_and_says_what_to_do(write_review, tmp_path, segmend_, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ReviewServer, "serve_forever", interrupted)
    images, coarse, refined = write_review(tmp_path)
    folders = ("--images", images, "--coarse", coarse, "--refined", refined)
    code, printed, _ = segmend_("review", "--out", tmp_path / "out", *folders)
    assert code == 0
    assert re.search(r"^http://127\.0\.0\.1:\d+/[\w-]{32}/$", printed, re.MULTILINE)
    assert f"Write the labels: segmend review --apply --out {tmp_path / 'out'}" in printed
    again, printed, _ = segmend_("review", "--out", tmp_path / "out")  # the folders are known
    assert again == 0
    assert "4 images, 0 decided before" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--apply",), "holds no review yet: give --images, --coarse, --refined"),
        (("--in-place",), "--in-place: only with --apply"),
    ],
)
def test_a_wrong_use_says_what_is_missing(segmend_, tmp_path, options, message):
    code, _, said = segmend_("review", "--out", tmp_path / "out", *options)
    assert code == 2
    assert message in said
