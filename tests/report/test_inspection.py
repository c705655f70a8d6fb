"""What inspect found: the sentences, and the page."""

import re

from segmend.report.html import GENERATOR
from segmend.report.inspection import sentences_of, sentences_of_look, write_inspection_page
from segmend.report.results import FolderLook, InspectedClass, Inspection, MeasuredBorders, MeasuredOffset


def offset(pixels, is_evident):
    return MeasuredOffset(
        pixels=pixels, low=pixels - 1, high=pixels + 1, is_evident=is_evident, curve=[0.0, 1.0, 0.5]
    )


def borders(overall, **changed):
    given = {
        "images": 100,
        "largest": "sky",
        "distances": [-1.0, 0.0, 1.0],
        "offset": overall,
        "on_border": 0.5,
        "border_error_px": 1.0,
        "are_of_other_images": False,
    }
    return MeasuredBorders(**{**given, **changed})


def found(overall, same_images=(), **changed):
    given = {
        "version": "1",
        "images": 1200,
        "borders": borders(overall, **changed),
        "classes": {
            "sky": InspectedClass(share=0.7, images=1200),
            "<cat>": InspectedClass(share=0.3, images=4, offset=offset(-4.25, True)),
        },
        "void": 0.125,
        "sizes": {f"{i} x 10": 1 for i in range(20)},
        "files": {"images .jpg": 1200},
        "same_images": list(same_images),
    }
    return Inspection(**given)


def test_sentences_say_what_is_evident():
    interval = "95 % interval +4.0 to +6.0 px, 100 images"
    assert sentences_of(found(offset(5.0, True))) == [f"masks are about 5.0 px too small ({interval})"]
    assert sentences_of(found(offset(5.0, False))) == [
        f"masks are not evidently too small or too large: offset +5.0 px ({interval})",
        "of single classes: <cat> about 4.2 px too large",
    ]
    assert sentences_of(found(offset(5.0, True), border_error_px=3.5))[1:] == [
        "borders are imprecise: off by about 3.5 px to either side"
    ]


def test_images_without_edges_show_nothing():
    flat = offset(0.0, False)
    flat.curve = [0.0, 0.01, 0.0]
    (sentence,) = sentences_of(found(flat))[:1]
    assert sentence.startswith("the images have no edges around the borders")


def test_masks_of_other_images_are_all_that_matters_of_borders():
    (sentence,) = sentences_of(found(offset(5.0, True), are_of_other_images=True, on_border=0.11))
    assert sentence.startswith("warning: the masks seem to belong to other images: only 11 % of their borders")


def test_a_refiner_says_what_it_does_about_it():
    def said(is_left=False, moved="", **changed):
        look = FolderLook(borders=borders(offset(5.0, True), **changed), moved=moved, is_left=is_left)
        return sentences_of_look(look)[1:]

    assert said() == []
    assert said(moved="moved") == ["moved"]
    assert said(is_left=True) == ["nothing is changed: too little would be"]
    assert said(moved="moved", is_left=True)[1] == "nothing else is changed: too little would be"
    assert said(are_of_other_images=True) == ["the masks are left as they are"]


def test_many_groups_of_duplicates_are_counted():
    groups = [[f"a{i}", f"b{i}"] for i in range(5)]
    assert sentences_of(found(None, same_images=groups))[1:] == [
        *(f"2 images have the same pixels: a{i}, b{i}" for i in range(3)),
        "2 more groups of images have the same pixels",
    ]


def test_the_page_shows_classes_and_files(tmp_path):
    write_inspection_page(tmp_path / "inspection.html", found(offset(5.0, True)))
    page = (tmp_path / "inspection.html").read_text(encoding="utf-8")
    assert GENERATOR in page[:4096]
    text = re.sub(r"\s+", " ", page)
    for expected in (
        "1,200 images, 2 classes",
        "Masks are about 5.0 px too small",
        "12.5 % of all pixels are void",
        '<th scope="row">&lt;cat&gt;</th> <td>30.0</td> <td>4</td> <td class="worse">-4.2</td>',
        "other sizes</th><td>8</td>",
        "svg",
    ):
        assert expected in text
    assert "<cat>" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
