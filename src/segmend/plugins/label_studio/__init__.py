"""Label Studio: a machine-learning backend that refines the brush and polygon regions of its tasks."""

from segmend.plugins.label_studio.backend import Backend
from segmend.plugins.label_studio.images import ImageSource
from segmend.plugins.label_studio.server import server_of

__all__ = ["Backend", "ImageSource", "server_of"]
