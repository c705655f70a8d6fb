"""Better image segmentation from imperfect labels."""

__version__ = "0.1.0.dev0"
