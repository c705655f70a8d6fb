"""Outlines of faces, and their occluders (SVC, section 3.1)."""
