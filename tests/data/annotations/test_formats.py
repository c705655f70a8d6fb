"""Annotations of each format in the form that its program writes: read, painted, replaced and written back."""

import base64
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segmend.data.annotations import ANNOTATIONS, format_of, is_annotations, read_annotations
from segmend.data.annotations.annotations import AnnotatedImage, Shape, classes_of, label_map
from segmend.data.annotations.label_studio import decode_brush, encode_brush
from segmend.data.annotations.polygons import Cropped, OutlineOptions, outlines_of
from segmend.data.files import InvalidFile
from segmend.labels import Classes, InvalidInput

HEIGHT, WIDTH = 30, 40


def box(top, bottom, left, right):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


PART = box(5, 15, 8, 20)
"""The polygon of each file below."""

PIXELS = box(10, 22, 24, 33)
"""The pixels of each file that holds pixels."""


def png(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def coco(folder):
    path = folder / "instances.json"
    runs = {"size": [HEIGHT, WIDTH], "counts": [24 * 30 + 10, *[12, 18] * 8, 12, 30 * 7 + 8]}
    annotations = [
        {
            "id": 1768,
            "image_id": 9,
            "category_id": 18,
            "segmentation": [[8, 5, 20, 5, 20, 15, 8, 15]],
            "area": 120,
            "bbox": [8, 5, 12, 10],
            "iscrowd": 0,
            "attributes": {"occluded": False, "rotation": 0.0},
        },
        {"id": 1769, "image_id": 9, "category_id": 44, "segmentation": runs, "iscrowd": 0},
    ]
    content = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "version": ""},
        "categories": [{"id": 18, "name": "dog"}, {"id": 44, "name": "bottle", "supercategory": "kitchen"}],
        "images": [
            {"id": 9, "width": WIDTH, "height": HEIGHT, "file_name": "a.jpg", "license": 0, "flickr_url": ""}
        ],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content))
    return path


def yolo(folder):
    (folder / "labels").mkdir()
    corners = [f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in ((8, 5), (20, 5), (20, 15), (8, 15))]
    (folder / "labels" / "a.txt").write_text(f"16 {' '.join(corners)}\n39 0.5 0.5 0.1 0.1\n")
    (folder / "data.yaml").write_text("path: .\ntrain: images\nnc: 2\nnames:\n  16: dog\n  39: bottle\n")
    return folder / "data.yaml"


def labelme(folder):
    polygon = {
        "label": "dog",
        "points": [[8.0, 5.0], [20.0, 5.0], [20.0, 15.0], [8.0, 15.0]],
        "group_id": 3,
        "description": "old",
        "shape_type": "polygon",
        "flags": {"difficult": True},
        "mask": None,
    }
    pixels = {
        "label": "bottle",
        "points": [[24.0, 10.0], [32.0, 21.0]],
        "group_id": None,
        "shape_type": "mask",
        "flags": {},
        "mask": png(np.ones((12, 9), bool)),
    }
    line = {"label": "leash", "points": [[1.0, 1.0], [9.0, 9.0]], "shape_type": "linestrip", "flags": {}}
    content = {
        "version": "5.4.1",
        "flags": {"checked": True},
        "shapes": [polygon, line, pixels],
        "imagePath": "a.jpg",
        "imageData": "AAAA",
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    (folder / "a.json").write_text(json.dumps(content))
    return folder / "a.json"


def cvat(folder):
    runs, corners = "0, 108", "8.00,5.00;20.00,5.00;20.00,15.00;8.00,15.00"
    place = 'left="24" top="10" width="9" height="12"'
    (folder / "annotations.xml").write_text(f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <job><id>7</id><labels>
      <label><name>dog</name><color>#33ddff</color><type>any</type><attributes/></label>
      <label><name>bottle</name><color>#ff355e</color><type>any</type><attributes/></label>
    </labels></job>
    <dumped>2026-01-02 03:04:05.000000+00:00</dumped>
  </meta>
  <!-- exported -->
  <image id="0" name="a.jpg" width="{WIDTH}" height="{HEIGHT}">
    <polygon label="dog" source="manual" occluded="1" points="{corners}" z_order="0" group_id="4">
      <attribute name="colour">brown</attribute>
    </polygon>
    <box label="dog" source="manual" occluded="0" xtl="1.0" ytl="2.0" xbr="3.0" ybr="4.0" z_order="0">
    </box>
    <mask label="bottle" source="semi-auto" occluded="0" rle="{runs}" {place} z_order="1">
    </mask>
  </image>
</annotations>
""")
    return folder / "annotations.xml"


def label_studio(folder):
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in ((8, 5), (20, 5), (20, 15), (8, 15))]
    polygon = {
        **size,
        "value": {"points": points, "closed": True, "polygonlabels": ["dog"]},
        "id": "lbE2", "from_name": "label", "to_name": "image", "type": "polygonlabels", "origin": "manual",
    }  # fmt: skip
    brush = {
        **size,
        "value": {"format": "rle", "rle": encode_brush(PIXELS), "brushlabels": ["bottle"]},
        "id": "Nx0a", "from_name": "brush", "to_name": "image", "type": "brushlabels", "origin": "manual",
    }  # fmt: skip
    choice = {"value": {"choices": ["good"]}, "id": "q", "from_name": "c", "to_name": "image", "type": "choices"}
    task = {
        "id": 12,
        "annotations": [
            {
                "id": 3,
                "completed_by": 1,
                "result": [polygon, choice, brush],
                "was_cancelled": False,
                "lead_time": 4.2,
            }
        ],
        "file_upload": "1a2b3c4d-a.jpg",
        "predictions": [],
        "data": {"image": "/data/upload/1/1a2b3c4d-a.jpg"},
        "meta": {},
        "created_at": "2026-01-02T03:04:05.000000Z",
    }
    (folder / "project-1.json").write_text(json.dumps([task]))
    return folder / "project-1.json"


def geojson(folder):
    ring = [[8, 5], [20, 5], [20, 15], [8, 15], [8, 5]]
    polygon = {
        "type": "Feature",
        "id": "5f9a",
        "geometry": {"type": "Polygon", "coordinates": [ring], "isEllipse": False},
        "properties": {"objectType": "annotation", "classification": {"name": "dog", "color": [200, 0, 0]}},
    }
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [point, polygon]}))
    return folder / "a.geojson"


FILES = {
    "coco": coco,
    "yolo": yolo,
    "labelme": labelme,
    "cvat": cvat,
    "label-studio": label_studio,
    "geojson": geojson,
}
HOLD_PIXELS = ("coco", "labelme", "cvat", "label-studio")

all_formats = pytest.mark.parametrize("name", ANNOTATIONS)


def mask_at(annotations, index):
    return annotations.mask(index, HEIGHT, WIDTH)


def test_every_format_has_a_file_here():
    assert FILES.keys() == ANNOTATIONS.keys()


@all_formats
def test_files_are_recognised_by_their_own_format_alone(tmp_path, name):
    path = FILES[name](tmp_path)
    assert format_of(path) is ANNOTATIONS[name]
    assert is_annotations(path)
    assert [other for other, kind in ANNOTATIONS.items() if kind.recognises(path)] == [name]


@all_formats
def test_objects_have_their_class_and_their_mask(tmp_path, name):
    annotations = read_annotations(FILES[name](tmp_path))
    assert [one.identity for one in annotations.images] == ["a"]
    first = annotations.objects[0]
    assert first.label == "dog"
    assert first.is_polygon
    assert (mask_at(annotations, 0) == PART).all()
    if name in HOLD_PIXELS:
        second = annotations.objects[1]
        assert second.label == "bottle"
        assert not second.is_polygon
        assert (mask_at(annotations, 1) == PIXELS).all()


@all_formats
def test_what_nobody_changes_is_written_as_it_was(tmp_path, name):
    path = FILES[name](tmp_path)
    annotations = read_annotations(path)
    stored = {index: annotations.stored(index) for index in range(len(annotations.objects))}
    annotations.write(tmp_path / "out", stored)
    assert contents(tmp_path / "out" / annotations.output) == source_contents(path, name)


def contents(path):
    """What a file or the files of a folder say, whatever their white space."""
    if path.is_dir():
        return [contents(file) for file in sorted(path.rglob("*.*"))]
    text = path.read_text()
    if path.suffix == ".xml":
        return ElementTree.canonicalize(text, with_comments=True)
    return text if path.suffix == ".txt" else json.loads(text)


@all_formats
def test_a_changed_mask_comes_back_and_all_else_stays(tmp_path, name):
    path = FILES[name](tmp_path)
    annotations = read_annotations(path)
    new = PART | box(12, 20, 15, 30)
    shape = Shape(new, outlines_of([Cropped.of(new)], OutlineOptions(0))[0])
    annotations.write(tmp_path / "out", {0: annotations.stored(0, shape)})
    again = read_annotations(tmp_path / "out" / annotations.output)
    assert (mask_at(again, 0) == new).all()
    assert len(again.objects) == len(annotations.objects)
    for index in range(1, len(annotations.objects)):
        if name in HOLD_PIXELS:
            assert (mask_at(again, index) == mask_at(annotations, index)).all()
    written = contents(tmp_path / "out" / annotations.output)
    before, after = (dict(flat(content)) for content in (source_contents(path, name), written))
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    allowed = ("segmentation", "bbox", "area", "points", "coordinates", "a.txt line 0")
    assert changed
    assert all(any(word in key for word in allowed) for key in changed), changed


def source_contents(path, name):
    if name == "yolo":
        return contents(path.parent / "labels")
    return [contents(path)] if ANNOTATIONS[name].is_folder else contents(path)


def flat(value, at=""):
    """Every leaf of nested content, by where it is."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from flat(one, f"{at}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from flat(one, f"{at}.{number}")
    elif isinstance(value, str) and value.startswith("<annotations"):
        for number, element in enumerate(ElementTree.fromstring(value).iter()):
            yield from flat(dict(element.attrib), f"{number}.{element.tag}")
            yield f"{number}.{element.tag} text", (element.text or "").strip()
    elif isinstance(value, str) and "\n" in value:
        for number, line in enumerate(value.splitlines()):
            yield f"a.txt line {number}", line
    else:
        yield at, value


@pytest.mark.parametrize("name", HOLD_PIXELS)
@given(mask=arrays.arrays(bool, (HEIGHT, WIDTH), elements=st.booleans()))
@settings(max_examples=15, deadline=None)
def test_pixels_come_back_as_they_were(tmp_path_factory, name, mask):
    mask[0, 0] = True
    annotations = read_annotations(FILES[name](tmp_path_factory.mktemp(name)))
    out = tmp_path_factory.mktemp("out")
    annotations.write(out, {1: annotations.stored(1, Shape(mask))})
    assert (mask_at(read_annotations(out / annotations.output), 1) == mask).all()


@all_formats
@given(mask=arrays.arrays(bool, (HEIGHT // 3, WIDTH // 4)))
@settings(max_examples=15, deadline=None)
def test_polygons_come_back_with_their_parts_and_holes(tmp_path_factory, name, mask):
    """Polygons along the edges of pixels: where a format rounds their corners, no pixel changes."""
    mask = np.kron(mask, np.ones((3, 4), bool))
    mask[:3, :4] = True
    annotations = read_annotations(FILES[name](tmp_path_factory.mktemp(name)))
    out = tmp_path_factory.mktemp("out")
    outline = outlines_of([Cropped.of(mask)], OutlineOptions(0))[0]
    annotations.write(out, {0: annotations.stored(0, Shape(mask, outline))})
    assert (mask_at(read_annotations(out / annotations.output), 0) == mask).all()


@given(arrays.arrays(bool, st.tuples(st.integers(1, 19), st.integers(1, 23))))
@settings(deadline=None)
def test_brushes_are_those_of_label_studio(mask):
    assert (decode_brush(encode_brush(mask), *mask.shape) == mask).all()
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    theirs = brush.decode_rle(encode_brush(mask)).reshape(*mask.shape, 4)
    assert (theirs[..., 3] > 0).tolist() == mask.tolist()
    encoded = brush.encode_rle(np.repeat(mask.ravel() * 255, 4).astype(np.uint8))
    assert (decode_brush(encoded, *mask.shape) == mask).all()


def test_brushes_that_are_none():
    good = encode_brush(PIXELS)
    for bad in (good[:-2], [], [300], good[:3]):
        with pytest.raises(InvalidInput, match=r"cannot be read|expected a brush"):
            decode_brush(bad, HEIGHT, WIDTH)
    with pytest.raises(InvalidInput, match="41 x 30"):
        decode_brush(good, HEIGHT, WIDTH + 1)


def test_label_maps_paint_in_order_over_a_background(tmp_path):
    annotations = read_annotations(cvat(tmp_path))
    classes = classes_of([annotations])
    assert classes.names == ("background", "dog", "bottle")
    labels, failed = label_map(annotations, 0, classes, HEIGHT, WIDTH)
    assert not failed
    assert (labels == np.where(PIXELS, 2, np.where(PART, 1, 0))).all()
    known = Classes(("bottle", "Dog"))
    labels, _ = label_map(annotations, 0, known, HEIGHT, WIDTH)
    assert (labels == np.where(PIXELS, 0, np.where(PART, 1, known.void))).all()


def test_higher_levels_cover_lower_ones(tmp_path):
    path = cvat(tmp_path)
    before, after = 'top="10" width="9" height="12" z_order="1"', 'top="5" width="9" height="12" z_order="-1"'
    text = path.read_text().replace(before, after)
    path.write_text(text.replace('left="24"', 'left="15"'))
    annotations = read_annotations(path)
    labels, _ = label_map(annotations, 0, classes_of([annotations]), HEIGHT, WIDTH)
    assert (labels[PART] == 1).all()
    assert (labels == 2).any()


def test_names_of_void_are_void(tmp_path):
    path = labelme(tmp_path)
    path.write_text(path.read_text().replace('"bottle"', '"__ignore__"'))
    annotations = read_annotations(path)
    classes = classes_of([annotations])
    assert classes.names == ("background", "dog")
    labels, _ = label_map(annotations, 0, classes, HEIGHT, WIDTH)
    assert (labels[PIXELS] == classes.void).all()


def test_the_second_annotator_is_left_out_of_label_maps(tmp_path):
    path = label_studio(tmp_path)
    tasks = json.loads(path.read_text())
    other = json.loads(json.dumps(tasks[0]["annotations"][0]))
    tasks[0]["annotations"][0]["was_cancelled"] = True
    tasks[0]["annotations"].append(other)
    path.write_text(json.dumps(tasks))
    annotations = read_annotations(path)
    assert [one.is_alternative for one in annotations.objects] == [True, True, False, False]


@pytest.mark.parametrize(
    ("address", "identity"),
    [
        ("/data/upload/1/1a2b3c4d-a.jpg", "a"),
        ("/data/local-files/?d=photos/a%20b.png", "a b"),
        ("https://example.org/x/a.jpeg?token=1", "a"),
        ("s3://bucket/x/a.tif", "a"),
    ],
)
def test_tasks_name_their_image(tmp_path, address, identity):
    path = label_studio(tmp_path)
    path.write_text(path.read_text().replace("/data/upload/1/1a2b3c4d-a.jpg", address))
    assert read_annotations(path).images[0].identity == identity


def test_a_confidence_stays_at_the_end_of_its_line(tmp_path):
    path = yolo(tmp_path)
    file = path.parent / "labels" / "a.txt"
    file.write_text(file.read_text().splitlines()[0] + " 0.875\n")
    annotations = read_annotations(path.parent / "labels")
    assert annotations.labels == ("dog", "bottle")
    assert (mask_at(annotations, 0) == PART).all()
    shape = Shape(PIXELS, outlines_of([Cropped.of(PIXELS)])[0])
    assert annotations.stored(0, shape).endswith(" 0.875")
    with pytest.raises(InvalidInput, match="polygons, not pixels"):
        annotations.stored(0, Shape(PIXELS))


def test_boxes_have_no_mask(tmp_path):
    with pytest.raises(InvalidInput, match="only its box"):
        mask_at(read_annotations(yolo(tmp_path)), 1)


@pytest.mark.parametrize("line", ["dog 0.1 0.1 0.2 0.2 0.3 0.3", "1.5 0 0 1 1 0 1", "1 0 nan 1 1 0 1"])
def test_lines_that_are_none_are_refused(tmp_path, line):
    path = yolo(tmp_path)
    (path.parent / "labels" / "a.txt").write_text(line)
    with pytest.raises(InvalidFile, match=r"a\.txt: line 1"):
        read_annotations(path)


@pytest.mark.parametrize("kind", ["rectangle", "circle"])
def test_rectangles_and_circles_of_labelme_become_polygons_where_they_change(tmp_path, kind):
    path = labelme(tmp_path)
    content = json.loads(path.read_text())
    points = [[8.0, 5.0], [20.0, 15.0]] if kind == "rectangle" else [[14.0, 10.0], [14.0, 15.0]]
    content["shapes"][0] |= {"shape_type": kind, "points": points}
    path.write_text(json.dumps(content))
    annotations = read_annotations(path)
    expected = PART.sum() if kind == "rectangle" else np.pi * 5**2
    assert mask_at(annotations, 0).sum() == pytest.approx(expected, rel=0.05)
    assert annotations.stored(0)["shape_type"] == kind
    assert annotations.stored(0, Shape(PART, outlines_of([Cropped.of(PART)])[0]))["shape_type"] == "polygon"


def test_places_on_a_map_are_not_pixels(tmp_path):
    path = geojson(tmp_path)
    path.write_text(path.read_text().replace("[8, ", "[500008, ").replace("[20, ", "[500020, "))
    with pytest.raises(InvalidInput, match="not on a map"):
        mask_at(read_annotations(path), 0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "not readable as JSON"),
        ("a.json", "{}", "no annotations in it: expected COCO, YOLO"),
        ("a.xml", "<annotations>", "not readable as XML"),
        ("a.xml", "<annotation/>", "no annotations in it"),
        ("a.json", '{"shapes": []}', "without an object"),
        ("a.json", '{"shapes": [3]}', "shape 1"),
        ("a.json", '[{"data": {"image": "a.jpg"}, "annotations": [{"result": 3}]}]', "`result`"),
        ("a.yaml", "names: [dog]", "expected labels of YOLO"),
    ],
)
def test_other_files_say_what_is_wrong(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidFile, match=words):
        read_annotations(tmp_path / name)


def test_paths_that_are_not_there(tmp_path):
    with pytest.raises(InvalidFile, match="no such file"):
        read_annotations(tmp_path / "none.json")


def test_folders_of_maps_are_no_annotations(tmp_path):
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
    assert not is_annotations(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    assert not is_annotations(tmp_path)


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("a.jpg", "a"),
        ("train/a.b.jpg", "train/a.b"),
        ("../../etc/a.jpg", "etc/a"),
        ("/data/a.png", "data/a"),
        ("C:\\x\\a.png", "x/a"),
        ("000139", "000139"),
        ("", "image"),
    ],
)
def test_names_become_ids_inside_of_a_folder(name, identity):
    assert AnnotatedImage(name).identity == identity
