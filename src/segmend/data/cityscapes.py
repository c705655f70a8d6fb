"""The classes of Cityscapes, which KITTI's semantic benchmark shares."""

from __future__ import annotations

import numpy as np

from segmend.labels import VOID, Classes

SCORED = (
    (7, "road", (128, 64, 128), "flat"),
    (8, "sidewalk", (244, 35, 232), "flat"),
    (11, "building", (70, 70, 70), "construction"),
    (12, "wall", (102, 102, 156), "construction"),
    (13, "fence", (190, 153, 153), "construction"),
    (17, "pole", (153, 153, 153), "object"),
    (19, "traffic light", (250, 170, 30), "object"),
    (20, "traffic sign", (220, 220, 0), "object"),
    (21, "vegetation", (107, 142, 35), "nature"),
    (22, "terrain", (152, 251, 152), "nature"),
    (23, "sky", (70, 130, 180), "sky"),
    (24, "person", (220, 20, 60), "human"),
    (25, "rider", (255, 0, 0), "human"),
    (26, "car", (0, 0, 142), "vehicle"),
    (27, "truck", (0, 0, 70), "vehicle"),
    (28, "bus", (0, 60, 100), "vehicle"),
    (31, "train", (0, 80, 100), "vehicle"),
    (32, "motorcycle", (0, 0, 230), "vehicle"),
    (33, "bicycle", (119, 11, 32), "vehicle"),
)
"""The scored classes in our order: id in files and on the servers, name, colour and category."""

LARGEST_ID = 33
"""The largest id in their files. Ids that are not scored mean void."""

CLASSES = Classes(tuple(name for _, name, _, _ in SCORED), tuple(colour for _, _, colour, _ in SCORED))

SERVER_IDS = np.array([number for number, _, _, _ in SCORED], np.uint8)
"""The id of each class in files and on the servers."""

FROM_SERVER = np.full(LARGEST_ID + 1, VOID, np.uint8)
"""Our id for each id in their files."""
FROM_SERVER[SERVER_IDS] = np.arange(len(SCORED))

CATEGORIES = {
    category: tuple(i for i, (*_, other) in enumerate(SCORED) if other == category)
    for category in dict.fromkeys(category for *_, category in SCORED)
}
"""Our ids of the classes in each category, for the IoU of categories."""

TYPICAL_PIXELS = {
    CLASSES.names.index(name): pixels
    for name, pixels in {
        "person": 3462.4756337644,
        "rider": 3930.4788056518,
        "car": 12794.0202738185,
        "truck": 27855.1264367816,
        "bus": 35732.1511111111,
        "train": 67583.7075812274,
        "motorcycle": 6298.7200839748,
        "bicycle": 4672.3249222261,
    }.items()
}
"""Mean number of pixels of an instance by our id, as their script weights the IoU of instances."""
