"""Walks from labelled frames: each frame in reach is written once, with labels of the sides that reach it."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmend.data.frames import FrameSequence
from segmend.jobs.walks import groups


@dataclass(frozen=True)
class Video:
    """Length, indices of labelled frames, indices before which frames are missing, and how far labels reach."""

    length: int
    labelled: list[int]
    breaks: frozenset[int]
    reach: int

    def groups(self, mode):
        ids = tuple(f"{number:03d}" for number in range(self.length))
        sequence = FrameSequence("", ids, tuple(range(self.length)), None, self.breaks)
        return list(groups(sequence, self.labelled, self.reach, mode))

    def is_whole(self, one, other):
        """Whether no frame is missing between two."""
        return not any(min(one, other) < gap <= max(one, other) for gap in self.breaks)

    def sources(self, frame):
        """By definition: the next labelled frames on both sides in reach, or in reach of each other."""
        left = max((s for s in self.labelled if s < frame and self.is_whole(s, frame)), default=None)
        right = min((s for s in self.labelled if s > frame and self.is_whole(s, frame)), default=None)
        near = left is not None and right is not None and right - left <= 2 * self.reach
        return tuple(s for s in (left, right) if s is not None and (near or abs(s - frame) <= self.reach))


@st.composite
def videos(draw):
    length = draw(st.integers(1, 16))
    indices = st.sets(st.integers(0, length - 1))
    breaks = draw(st.sets(st.integers(1, max(1, length - 1)), max_size=3)) if length > 1 else set()
    return Video(length, sorted(draw(indices)), frozenset(breaks), draw(st.integers(1, 6)))


def visits_of(found):
    return [visit for group in found for visit in group.visits]


@given(videos())
def test_a_frame_gets_the_labels_of_all_sides_that_reach_it_once(video):
    found = video.groups("lp")
    expected = {frame: video.sources(frame) for frame in range(video.length) if frame not in video.labelled}
    results = [item for group in found for item in group.results.items()]
    assert len(results) == len(dict(results))
    assert dict(results) == {frame: sources for frame, sources in expected.items() if sources}
    written = [visit.frame for visit in visits_of(found) if visit.task == "write"]
    assert sorted(written) == sorted(dict(results))


@given(videos())
def test_labels_are_held_before_those_of_the_other_side_are_written(video):
    for group in video.groups("lp"):
        waiting = {}
        for visit in group.visits:
            if visit.task == "hold":
                waiting[visit.frame] = visit.source
            elif visit.task == "write":
                held = waiting.pop(visit.frame, None)
                assert {visit.source, held} - {None} == set(group.results[visit.frame])
        assert not waiting


@given(videos())
def test_jointly_each_labelled_frame_reaches_all_others_that_are_near(video):
    found = video.groups("jp")
    reached = [(group.results[visit.frame], visit.frame) for group in found for visit in group.visits[1:]]
    expected = [
        ((source,), frame)
        for source in video.labelled
        for frame in range(video.length)
        if 0 < abs(frame - source) <= video.reach and video.is_whole(source, frame)
    ]
    assert sorted(reached) == sorted(expected)


@given(videos(), st.sampled_from(["lp", "jp"]))
def test_walks_start_at_labels_and_take_one_step_at_a_time(video, mode):
    for group in video.groups(mode):
        at = walk = None
        for visit in group.visits:
            if visit.task == "start":
                assert visit.frame == visit.source in video.labelled
            else:
                assert (visit.before, visit.walk) == (at, walk)
                assert video.is_whole(at, visit.frame)
                assert (visit.frame - visit.source) * visit.direction > 0
            at, walk = visit.frame, visit.walk


@pytest.mark.parametrize(("reach", "expected"), [(2, {1: (0,), 2: (0,), 4: (6,), 5: (6,)}), (3, None)])
def test_between_two_labels_both_reach_all_frames_or_only_those_beside_them(reach, expected):
    found = Video(7, [0, 6], frozenset(), reach).groups("lp")
    assert found[0].results == (expected or dict.fromkeys(range(1, 6), (0, 6)))
    assert len(found) == 1
