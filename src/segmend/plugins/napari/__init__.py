"""napari: a dock widget that snaps labels to the image; `layers` holds what it does, `widget` how it is shown."""
