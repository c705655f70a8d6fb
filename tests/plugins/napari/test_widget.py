"""The widget in napari: with the model of a viewer, and in a window where there is a display with OpenGL.

Runs where napari and a backend of Qt are installed: pip install 'segmend[napari]'.
"""

import os
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import segmend
import segmend.plugins.napari

pytest.importorskip("napari", reason="pip install 'segmend[napari]'")
qtpy = pytest.importorskip("qtpy.QtWidgets", reason="pip install 'segmend[napari]'")
if not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from napari.components import ViewerModel  # noqa: E402

from segmend.plugins.napari.widget import SnapLabels  # noqa: E402

MANIFEST = Path(segmend.plugins.napari.__file__).parent / "napari.yaml"


@pytest.fixture(scope="module")
def application():
    return qtpy.QApplication.instance() or qtpy.QApplication([])


def disc(radius):
    rows, columns = np.mgrid[:120, :160]
    return np.hypot(rows - 60, columns - 80) < radius


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).normal(0, 10, (120, 160))
    return np.where(disc(40), 200, 60) + noise


@pytest.fixture
def viewer(application):
    return ViewerModel()


def wait(application, widget):
    """Until the widget's thread has written what it found."""
    end = time.monotonic() + 60
    while not widget.snap_button.enabled and time.monotonic() < end:
        application.processEvents()
        time.sleep(0.01)
    assert widget.snap_button.enabled


def press(application, widget, button):
    button.native.click()
    wait(application, widget)


def test_the_selected_label_snaps_and_the_change_can_be_undone(application, viewer, image):
    given = 7 * disc(34).astype(np.int32)
    viewer.add_image(image, contrast_limits=(0, 255))
    labels = viewer.add_labels(given.copy())
    widget = SnapLabels(viewer)
    labels.selected_label = 7
    press(application, widget, widget.snap_button)
    grey = np.repeat(np.rint(image.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=-1)
    wanted = segmend.refine_region(grey, given == 7)
    assert (labels.data == 7 * wanted.mask).all()
    assert f"expected IoU {100 * wanted.expected_iou:.0f} %" in widget.message.value
    refined = labels.data.copy()
    labels.undo()
    assert (labels.data == given).all()
    labels.redo()
    assert (labels.data == refined).all()


def test_all_labels_of_one_plane_of_a_stack(application, viewer, image):
    stack = np.stack([disc(34), disc(34)]).astype(np.int32)
    viewer.add_image(np.stack([image, image]), contrast_limits=(0, 255))
    labels = viewer.add_labels(stack.copy())
    viewer.dims.set_current_step(0, 1)
    widget = SnapLabels(viewer)
    press(application, widget, widget.all_button)
    assert (labels.data[0] == stack[0]).all()
    assert iou(labels.data[1] == 1, disc(40)) > 0.95 > 0.8 > iou(stack[1] == 1, disc(40))
    labels.undo()
    assert (labels.data == stack).all()


def test_nothing_changes_outside_the_view(application, viewer, image):
    given = disc(34).astype(np.int32)
    viewer.add_image(image, contrast_limits=(0, 255))
    labels = viewer.add_labels(given.copy())
    labels.corner_pixels = np.array([[0, 80], [119, 159]])
    widget = SnapLabels(viewer)
    widget.only_view.value = True
    press(application, widget, widget.snap_button)
    assert (labels.data[:, :80] == given[:, :80]).all()
    assert (labels.data[:, 80:] != given[:, 80:]).any()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda viewer, labels: viewer.layers.clear(), "add an image layer and a labels layer"),
        (lambda viewer, labels: setattr(labels, "selected_label", 4), "label 4 is not painted"),
        (lambda viewer, labels: setattr(labels, "scale", (2, 2)), "do not lie on each other: scale"),
        (lambda viewer, labels: setattr(viewer.dims, "ndisplay", 3), "two dimensions"),
    ],
)
def test_what_cannot_be_done_is_said(application, viewer, image, prepare, message):
    viewer.add_image(np.stack([image, image]), contrast_limits=(0, 255))
    labels = viewer.add_labels(np.stack([disc(34), disc(34)]).astype(np.int32))
    widget = SnapLabels(viewer)
    prepare(viewer, labels)
    press(application, widget, widget.snap_button)
    assert message in widget.message.value


def test_edits_in_the_meantime_are_kept(application, viewer, image):
    viewer.add_image(image, contrast_limits=(0, 255))
    labels = viewer.add_labels(disc(34).astype(np.int32))
    widget = SnapLabels(viewer)
    widget.snap_button.native.click()
    labels.data[0, 0] = 5
    edited = labels.data.copy()
    wait(application, widget)
    assert (labels.data == edited).all()
    assert "edited in the meantime" in widget.message.value


def test_the_manifest_leads_to_the_widget():
    manifest_of = pytest.importorskip("npe2").PluginManifest.from_file
    manifest = manifest_of(MANIFEST)
    (command,) = manifest.contributions.commands
    module, _, name = command.python_name.partition(":")
    assert getattr(import_module(module), name) is SnapLabels
    assert [widget.command for widget in manifest.contributions.widgets] == [command.id]


@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="a window needs a display with OpenGL")
def test_the_widget_in_a_window(application, image, tmp_path):
    import napari

    viewer = napari.Viewer(show=False)
    try:
        viewer.add_image(image, contrast_limits=(0, 255))
        labels = viewer.add_labels(disc(34).astype(np.int32))
        npe2 = pytest.importorskip("npe2")
        manager = npe2.PluginManager.instance()
        if "segmend" not in manager:  # an installation of the package registers it
            manager.register(npe2.PluginManifest.from_file(MANIFEST))
        _, widget = viewer.window.add_plugin_dock_widget("segmend", "Snap labels to the image")
        press(application, widget, widget.snap_button)
        assert iou(labels.data == 1, disc(40)) > 0.95
        shot = viewer.screenshot(tmp_path / "window.png", canvas_only=False)
        assert shot.std() > 0
    finally:
        viewer.close()
