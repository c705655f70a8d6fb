"""What tests of the operations share."""

import pytest

from segmend.ops import native


@pytest.fixture(params=["native", "reference"])
def backend(request, monkeypatch):
    """The native library, and plain PyTorch."""
    if request.param == "reference":
        monkeypatch.setenv(native.REFERENCE, "1")
    elif native.library() is None:
        pytest.skip("the native library was not built here")
    return request.param
