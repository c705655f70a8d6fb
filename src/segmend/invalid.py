"""The error for unusable input."""


class InvalidInput(ValueError):
    """Input that cannot be used as it is. The message says what was expected, found, and what to do."""
