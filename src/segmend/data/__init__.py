"""Data sets, files and transforms."""
