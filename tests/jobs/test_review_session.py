"""What a page shows of an image, the order of images, and what is kept in memory."""

import io
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from segmend.data.files import InvalidFile
from segmend.data.masks import write_labels
from segmend.jobs.review import LOG, Review, Suspected, open_review
from segmend.jobs.review_log import DecisionLog
from segmend.jobs.review_session import Session
from segmend.labels import InvalidInput
from segmend.review import Decision, change_weight


@pytest.fixture
def open_session(tmp_path):
    """A function that opens a session of the folders of a review, with changed fields of the review."""
    sessions = []

    def opened(folders, **changed):
        review = open_review(*folders, tmp_path / "out")
        review = Review(**{**{f: getattr(review, f) for f in review.__dataclass_fields__}, **changed})
        log = DecisionLog(tmp_path / "out" / LOG)
        log.open(*folders)
        sessions.append(Session(review, log))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.end()


@pytest.fixture
def session(write_review, open_session, tmp_path):
    return open_session(write_review(tmp_path))


def test_a_view_holds_the_image_the_maps_and_the_regions(session):
    view = session.view(1)
    coarse, refined, found = session.review.differences("01")
    maps = np.frombuffer(zlib.decompress(view.maps), np.uint8).reshape(3, 60, 80)
    ids = np.array([c["id"] for c in view.about["classes"]])
    assert np.array_equal(ids[maps[0]], coarse)
    assert np.array_equal(ids[maps[1]], refined)
    assert np.array_equal(maps[2], found.numbers)
    assert [c["colour"] for c in view.about["classes"]][:2] == [(20, 20, 20), (200, 60, 40)]  # of the palette
    photo = np.asarray(Image.open(io.BytesIO(view.photo))).astype(int)
    assert photo.shape == (60, 80, 3)
    assert [c["name"] for c in view.about["classes"]][-1] == "void"
    assert [(r["pixels"], r["box"]) for r in view.about["regions"]] == [(r.pixels, r.box) for r in found.regions]
    before, after, pixels = view.about["regions"][0]["changes"][0]
    change = found.regions[0].changes[0]
    assert (ids[before], ids[after], pixels) == (change.before, change.after, change.pixels)


def test_0_and_255_alone_are_two_classes(write_review, open_session, tmp_path):
    folders = write_review(tmp_path, count=1)
    labels = np.zeros((60, 80), np.uint8)
    write_labels(folders[1] / "00.png", labels)
    labels[:20] = 255
    write_labels(folders[2] / "00.png", labels)
    classes = open_session(folders).view(0).about["classes"]
    assert [(c["name"], c["void"]) for c in classes] == [("class 0", False), ("class 255", False)]


def test_large_images_are_reduced_until_they_are_asked_for_as_they_are(session):
    assert session.view(0, 40).about["shown"] == (40, 30)
    assert Image.open(io.BytesIO(session.view(0, 40).photo)).size == (40, 30)
    assert session.view(0, 10**9).about["shown"] == (80, 60)


def test_what_was_shown_last_is_kept_up_to_a_number_of_bytes(session, monkeypatch):
    read = []
    image = Review.image
    monkeypatch.setattr(Review, "image", lambda self, identity: (read.append(identity), image(self, identity))[1])
    size = max(len(v.photo) + len(v.maps) for v in map(session.view, range(4)))
    session._cache._most = 2 * size
    session.view(0, 79)
    read.clear()
    for index in (3, 0, 3, 1, 1, 3, 0, 3):  # what was asked for last stays: 1 makes 0 go, not 3
        session.view(index)
    assert read == ["00", "01", "00"]
    assert len(session._cache._found) == 2


def test_an_image_that_several_ask_for_is_read_once(session, monkeypatch):
    read, image = [], Review.image
    monkeypatch.setattr(Review, "image", lambda self, identity: (read.append(identity), image(self, identity))[1])
    threads = [threading.Thread(target=session.view, args=(2,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == ["02"]


def test_looking_ahead_finds_the_scores_of_all_images(session):
    assert session.listing()["scores"] == [None] * 4
    session.look_ahead()
    found = session.since(0)
    expected = {k: change_weight(*session.review.maps(i)) for k, i in enumerate(session.review.ids)}
    assert {image: score for image, score, _ in found["events"]} == expected
    assert found["complete"]
    assert session.since(3)["events"] == found["events"][3:]


def test_scores_of_a_check_are_taken_and_its_kinds_shown(write_review, open_session, tmp_path):
    box, other = Suspected((5, 5, 12, 13), "missing"), Suspected((40, 30, 60, 50), "border")
    session = open_session(write_review(tmp_path), scores={"00": 0.3, "01": 0.7}, suspected={"01": [box, other]})
    assert session.listing()["scores"] == [0.3, 0.7, None, None]
    assert [r["kind"] for r in session.view(1).about["regions"]] == ["missing", ""]
    assert session.view(1).about["suspected"] == [{"box": (40, 30, 60, 50), "kind": "border"}]
    session.look_ahead()
    assert [event.image for event in session.events] == [2, 3]


def test_a_decision_is_kept_and_one_on_other_files_is_said_to_be_stale(session, tmp_path):
    about = session.about(1)
    assert session.decide(1, about["inputs"], Decision(2, (2,))) == "partly"
    assert session.about(1)["accepted"] == (2,)
    assert session.listing()["states"] == ["", "partly", "", ""]
    with pytest.raises(InvalidInput, match="changed since"):
        session.decide(1, "another", Decision(2, (2,)))
    with pytest.raises(InvalidInput, match="changed since"):
        session.decide(1, about["inputs"], Decision(3, (2,)))
    refined = session.review.maps("01")[1].copy()
    refined[0, 0] = 3
    write_labels(tmp_path / "refined/01.png", refined)
    again = Session(session.review, session.log)
    assert again.about(1)["accepted"] == ()
    assert "another version" in again.about(1)["note"]
    again.look_ahead()
    assert again.events[0].image == 1  # decided ones come first
    assert again.events[0].state == "stale"


def test_files_that_cannot_be_read_or_do_not_fit_are_said(session, tmp_path):
    (tmp_path / "refined/00.png").write_bytes(b"no image")
    write_labels(tmp_path / "refined/01.png", np.zeros((9, 9), np.uint8))
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "images/02.png")
    for index, message in enumerate(("not an image", "size of the coarse map", "size of the image 9 x 9")):
        with pytest.raises(InvalidFile, match=message):
            session.view(index)
    with pytest.raises(IndexError):
        session.view(4)
    session.look_ahead()
    assert [event.state for event in session.events] == ["unreadable", "unreadable", "", ""]


def test_confidence_weights_scores_and_is_shown_of_regions(write_review, open_session, tmp_path):
    folders = write_review(tmp_path)
    np.savez(tmp_path / "00.npz", change_confidence=np.full((60, 80), 51, np.uint8))
    session = open_session(folders, details={"00": tmp_path / "00.npz"})
    assert session.view(0).about["regions"][0]["confidence"] == 0.2
    session.look_ahead()
    assert session.events[0].score == pytest.approx(0.2 * change_weight(*session.review.maps("00")))


def test_looking_ahead_waits_while_a_page_is_served(session):
    session._idle.clear()
    thread = threading.Thread(target=session.look_ahead)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    assert not session.events
    session.view(0)  # the last request that was being served
    thread.join(5)
    assert len(session.events) == 4
