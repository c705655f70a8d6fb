"""Settings of the process, which a program makes and a library leaves alone. Nothing here loads torch."""

from __future__ import annotations

import ctypes
import os


def wait_briefly() -> None:
    """Limit how long threads of GNU's OpenMP spin while they wait for each other. Call it before torch is loaded.

    By default they spin for milliseconds, which takes the cores from the native library's threads and from other
    programs. Without any spinning, thousands of small operations, such as the guided filter's, would take seven
    times as long. Settings in the environment are left as they are.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def keep_memory() -> None:
    """Let this process keep the memory that it frees, for the next image. For programs, not for libraries.

    glibc returns large blocks to the system at once. To get their pages again takes a third of a refiner's time on
    large images. With other C libraries this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
        mallopt(option, value)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Options of glibc's mallopt: free bytes to keep, extra bytes to ask for, number of separately mapped blocks."""
