"""What the C library does with memory that a process frees.

By default glibc hands much of it back to the system, and gets it again in pieces of 4 KiB, each of them a fault: a
round with millions of values then takes up to twice its CPU time, or not, by what ran before it in the same process.
Measured rounds find the memory of the round before them instead. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from functools import lru_cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of mallopt(3)
_NEVER = 2**31 - 1


@lru_cache
def _library() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def keep_freed() -> None:
    """From now on, what this process frees stays with it, whatever its size."""
    if library := _library():
        library.mallopt(_TRIM_THRESHOLD, _NEVER)
        library.mallopt(_MMAP_MAX, 0)


def give_back() -> None:
    """Hand back to the system what is free at this moment."""
    if library := _library():
        library.malloc_trim(0)


def pages() -> int:
    """How many pages of memory the system has handed to this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
