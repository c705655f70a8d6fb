"""The dock widget: which layers, two buttons, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, Container, Label, PushButton
from napari.layers import Image, Labels
from napari.qt.threading import thread_worker
from napari.utils.notifications import show_warning

from segmend.labels import InvalidInput
from segmend.plugins import object_refiner
from segmend.plugins.napari.layers import Region, SnappedLabels, as_rgb, plane_index, snapped

if TYPE_CHECKING:
    from napari.components import ViewerModel


class SnapLabels(Container):  # type: ignore[misc]
    """Snaps labels of the plane that is shown to an image layer.

    Changes are one step of the labels layer's history each: Ctrl-Z undoes it.

    Args:
        napari_viewer: whose layers are offered. napari gives it by this name.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        self.viewer = napari_viewer
        self.image_layer = ComboBox(label="image", choices=lambda _: self._layers(Image))
        self.labels_layer = ComboBox(label="labels", choices=lambda _: self._layers(Labels))
        self.only_view = CheckBox(text="Within the current view only", value=False)
        self.snap_button = PushButton(text="Snap selected label to image")
        self.all_button = PushButton(text="Refine all labels")
        self.message = Label(value="")
        self.message.native.setWordWrap(True)
        super().__init__(
            widgets=[
                self.image_layer,
                self.labels_layer,
                self.only_view,
                self.snap_button,
                self.all_button,
                self.message,
            ],
            labels=True,
        )
        self.snap_button.changed.connect(lambda: self._start(selected_only=True))
        self.all_button.changed.connect(lambda: self._start(selected_only=False))
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._offer_layers)
        self._offer_layers()

    def _layers(self, kind: type) -> list[Any]:
        return [layer for layer in self.viewer.layers if type(layer) is kind]

    def _offer_layers(self, event: Any = None) -> None:
        self.reset_choices()

    def _start(self, selected_only: bool) -> None:
        """Read the layers, and refine in a thread, so that the window stays alive."""
        try:
            work = self._work(selected_only)
        except InvalidInput as error:
            self._show(str(error), warn=True)
            return
        self._show("Refining ...")
        self.snap_button.enabled = self.all_button.enabled = False
        worker = thread_worker(work)()
        worker.returned.connect(self._write)
        worker.errored.connect(lambda error: self._show(str(error), warn=True))
        worker.finished.connect(self._finish)
        worker.start()

    def _work(self, selected_only: bool) -> Callable[[], tuple[Any, ...]]:
        image, labels = self.image_layer.value, self.labels_layer.value
        if image is None or labels is None:
            raise InvalidInput("add an image layer and a labels layer first")
        if labels.multiscale:
            raise InvalidInput("the labels are of several scales, which napari does not edit: give one")
        index = self._index(labels, labels.data.shape)
        values = image.data[0] if image.multiscale else image.data
        shape = values.shape[:-1] if image.rgb else values.shape
        self._check_aligned(image, labels)
        pixels = as_rgb(
            np.asarray(values[self._index(image, shape)]), None if image.rgb else image.contrast_limits
        )
        before = np.array(labels.data[index])
        chosen = [int(labels.selected_label)] if selected_only else None
        region = self._view(labels) if self.only_view.value else None
        return lambda: (
            labels,
            index,
            before,
            snapped(pixels, before, chosen, region, object_refiner("universal")),
        )

    def _axes(self, layer: Any) -> list[int]:
        """The axes of a layer that are shown, in the order of its data."""
        return sorted(axis - (self.viewer.dims.ndim - layer.ndim) for axis in self.viewer.dims.displayed)

    def _index(self, layer: Any, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
        return plane_index(layer.world_to_data(self.viewer.dims.point), self._axes(layer), shape)

    def _check_aligned(self, image: Any, labels: Any) -> None:
        for name in ("scale", "translate"):
            of_image, of_labels = (getattr(one, name)[self._axes(one)] for one in (image, labels))
            if not np.allclose(of_image, of_labels):
                found = f"{name} {of_image.tolist()} and {of_labels.tolist()}"
                raise InvalidInput(f"image and labels do not lie on each other: {found}")

    def _view(self, labels: Any) -> Region:
        (top, left), (bottom, right) = labels.corner_pixels[:, self._axes(labels)]
        return left, top, right + 1, bottom + 1

    def _write(self, done: tuple[Any, ...]) -> None:
        """Take the changed pixels over, as one step that can be undone."""
        labels, index, before, found = done
        if not np.array_equal(labels.data[index], before):
            self._show("The labels were edited in the meantime: nothing was changed.", warn=True)
            return
        rows, columns = np.nonzero(found.labels != before)
        if len(rows):
            places = iter((rows, columns))
            indices = tuple(
                next(places) if isinstance(part, slice) else np.full(len(rows), part) for part in index
            )
            with labels.block_history():
                labels.data_setitem(indices, found.labels[rows, columns])
        self._show(_sentence(found, len(rows)))

    def _finish(self) -> None:
        self.snap_button.enabled = self.all_button.enabled = True

    def _show(self, text: str, warn: bool = False) -> None:
        self.message.value = text
        if warn:
            show_warning(text)


def _sentence(found: SnappedLabels, changed: int) -> str:
    iou = 100 * float(np.mean(list(found.expected_iou.values())))
    labels = list(found.expected_iou)
    what = f"Label {labels[0]}" if len(labels) == 1 else f"{len(labels)} labels"
    return f"{what}: {changed} pixels changed,\nexpected IoU {iou:.0f} %"
