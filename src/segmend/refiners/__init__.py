"""Methods that mend coarse maps."""
