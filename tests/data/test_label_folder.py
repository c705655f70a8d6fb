"""Coarse label maps of a review: read upright, written as they are stored."""

import numpy as np
import pytest
from PIL import Image

from segmend.data.files import InvalidFile
from segmend.data.label_folder import LabelFolder
from segmend.data.masks import read_mask, write_labels


def _folder(tmp_path, name="a.png", image_turn=1, in_place=False):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_labels(tmp_path / "masks" / "a.png", labels, ((1, 2, 3), (4, 5, 6)))
    if not name.endswith(".png"):
        Image.fromarray(labels).save(tmp_path / "masks" / name)
    photo = Image.fromarray(np.zeros((3, 4, 3), np.uint8))
    exif = photo.getexif()
    exif[0x0112] = image_turn
    photo.save(tmp_path / "a.jpg", exif=exif)
    files, images = {"a": tmp_path / "masks" / name}, {"a": tmp_path / "a.jpg"}
    return LabelFolder(files, images, tmp_path / "out", in_place), labels


def test_what_is_written_has_the_other_ids_and_the_palette_of_the_file(tmp_path):
    folder, labels = _folder(tmp_path)
    labels[0, 0] = 9
    folder.write("a", labels)
    found, before = read_mask(tmp_path / "out/labels/a.png"), read_mask(tmp_path / "masks/a.png")
    assert np.array_equal(found.ids, labels)
    assert found.palette == before.palette
    assert before.ids[0, 0] == 0
    assert LabelFolder.is_reviewed(tmp_path / "out/labels/a.png")


def test_a_copy_is_the_same_file_byte_by_byte(tmp_path):
    folder, _ = _folder(tmp_path)
    folder.copy("a")
    assert (tmp_path / "out/labels/a.png").read_bytes() == (tmp_path / "masks/a.png").read_bytes()


@pytest.mark.parametrize("name", ["a.tif", "a.bmp"])
def test_other_files_become_png_files_of_the_same_ids(tmp_path, name):
    folder, labels = _folder(tmp_path, name)
    folder.copy("a")
    assert np.array_equal(read_mask(tmp_path / "out/labels/a.png").ids, labels)
    labels[1, 1] = 77
    folder.write("a", labels)
    assert np.array_equal(read_mask(tmp_path / "out/labels/a.png").ids, labels)


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_a_map_of_a_turned_image_is_read_upright_and_written_as_it_lies(tmp_path, turn):
    folder, labels = _folder(tmp_path, image_turn=turn)
    upright = folder.read("a")
    assert upright.shape == (4, 3)
    assert not np.array_equal(upright, labels.T) or turn == 5
    folder.write("a", upright)
    assert np.array_equal(read_mask(tmp_path / "out/labels/a.png").ids, labels)
    assert np.array_equal(folder.as_stored("a", upright), labels)


def test_a_mask_with_an_orientation_of_its_own_is_written_as_it_lies(tmp_path):
    folder, labels = _folder(tmp_path)
    image = Image.fromarray(labels)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "masks/a.png", exif=exif)
    upright = folder.read("a")
    assert upright.shape == (4, 3)
    folder.write("a", upright)
    with Image.open(tmp_path / "out/labels/a.png") as written:
        assert np.array_equal(np.asarray(written), labels)
    assert np.array_equal(read_mask(tmp_path / "out/labels/a.png").ids, upright)


def test_in_place_the_first_version_is_kept_and_read_from_then_on(tmp_path):
    folder, labels = _folder(tmp_path, in_place=True)
    file, backup = tmp_path / "masks/a.png", tmp_path / "out/backup/a.png"
    first = file.read_bytes()
    for value in (50, 60):  # twice: the backup stays the first version
        changed = folder.read("a")
        assert np.array_equal(changed, labels)
        changed[0] = value
        folder.write("a", changed)
        assert read_mask(file).ids[0, 0] == value
        assert backup.read_bytes() == first
    folder.copy("a")
    assert file.read_bytes() == first


def test_in_place_a_file_that_was_changed_since_is_another_one(tmp_path):
    folder, labels = _folder(tmp_path, in_place=True)
    folder.write("a", labels + 1)
    write_labels(tmp_path / "masks/a.png", labels + 5)  # somebody else's
    assert np.array_equal(folder.read("a"), labels + 5)
    with pytest.raises(InvalidFile, match="the backup of an earlier version"):
        folder.write("a", labels + 6)
    assert np.array_equal(read_mask(tmp_path / "masks/a.png").ids, labels + 5)


def test_in_place_files_that_are_no_png_are_refused(tmp_path):
    folder, labels = _folder(tmp_path, "a.tif", in_place=True)
    with pytest.raises(InvalidFile, match="only PNG files are changed in place"):
        folder.write("a", labels + 1)


COLOURS = (((128, 0, 0), 0), ((0, 128, 0), 1), ((0, 0, 128), 2), ((0, 0, 0), 255))


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P"])
def test_maps_that_are_read_by_their_colours_are_written_in_them(tmp_path, kind):
    folder, _ = _folder(tmp_path)
    ids = np.array([[0, 1, 2, 255], [1, 1, 1, 2], [0, 0, 0, 0]], np.uint8)
    of_id = {i: colour for colour, i in COLOURS}
    painted = Image.fromarray(np.array([[of_id[i] for i in row] for row in ids.tolist()], np.uint8))
    if kind == "P":
        painted = painted.quantize(palette=_palette([(0, 0, 0), (0, 0, 128), (0, 128, 0), (128, 0, 0)]), dither=0)
    painted.convert(kind).save(tmp_path / "masks/a.png")
    folder = LabelFolder(folder.files, folder.images, folder.out, colours=COLOURS)
    assert np.array_equal(folder.read("a"), ids)
    ids[2] = (2, 1, 255, 0)
    folder.write("a", ids)
    with Image.open(tmp_path / "out/labels/a.png") as written:
        assert written.mode == kind
        found = np.asarray(written.convert("RGB"))
    assert np.array_equal(found, [[of_id[i] for i in row] for row in ids.tolist()])
    ids[0, 0] = 9
    with pytest.raises(InvalidFile, match="the palette has none for id 9"):
        folder.write("a", ids)


def _palette(colours):
    image = Image.new("P", (1, 1))
    image.putpalette([value for colour in colours for value in colour])
    return image


def test_painted_maps_of_other_formats_become_ids_with_the_colours_as_they_are(tmp_path):
    folder, _ = _folder(tmp_path, "a.bmp")
    Image.fromarray(np.array([[(0, 128, 0), (0, 0, 128)]], np.uint8)).save(tmp_path / "masks/a.bmp")
    folder = LabelFolder(folder.files, folder.images, folder.out, colours=COLOURS)
    folder.copy("a")
    assert read_mask(tmp_path / "out/labels/a.png").ids.tolist() == [[1, 2]]
