"""Refinement inside annotation tools: each speaks a tool's own format, and calls `segmend.refine_region`."""
