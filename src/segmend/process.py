"""What a program settles for its process, and a library leaves alone; nothing here loads torch."""

from __future__ import annotations

import ctypes
import os


def wait_briefly() -> None:
    """Let threads of GNU's OpenMP sleep soon while they wait for each other; before torch is loaded.

    By default they spin for milliseconds, which takes the cores from the native library's threads and from other
    programs. If they slept at once, thousands of small operations, as the guided filter's, would take seven times
    as long. What the environment says stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def keep_memory() -> None:
    """Let this process keep the memory that it frees, for the next image; for programs, not for libraries.

    glibc gives large blocks back at once, and each time the system hands out pages anew, which takes a third of
    the time of a refiner on large images. Nothing happens with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
        mallopt(option, value)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Options of glibc's mallopt: free bytes that are kept, bytes asked for beyond need, blocks mapped apart."""
