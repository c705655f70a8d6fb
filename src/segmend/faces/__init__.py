"""Faces: their outlines, and what covers them (SVC, section 3.1)."""
