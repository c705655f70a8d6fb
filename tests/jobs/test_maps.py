"""The maps of a run, and what earlier runs left in their folder."""

import numpy as np

from segmend.data.dataset import Record
from segmend.jobs.maps import MapFolder, Maps
from segmend.labels import Classes


def test_maps_of_an_earlier_run_do_not_stay_beside_new_labels(tmp_path):
    record, classes = Record("street/1", None), Classes(("road", "sky"))
    first = MapFolder(tmp_path, classes, probs=True, details=True)
    maps = first.new_maps(2, 3)
    maps.labels[:], maps.probabilities[:] = 0, 0.5
    maps.details["confidence"] = np.zeros((2, 3), np.uint8)
    first.write(record, maps)
    assert first.is_finished(record)
    again = MapFolder(tmp_path, classes, probs=True)
    again.write(record, maps)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.*"))] == [
        "labels/street/1.png",
        "probs/street/1.npz",
    ]
    assert again.is_finished(record)
    MapFolder(tmp_path, classes).write(record, Maps(maps.labels, None))
    assert [path.name for path in tmp_path.rglob("*.*")] == ["1.png"]
