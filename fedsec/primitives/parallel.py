"""Compiled loops on all cores: threads that share the work, and whose CPU time is their caller's."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

_own = threading.local()
_lock = threading.Lock()
_pool: tuple[int, int, ThreadPoolExecutor] | None = None  # of this process: a fork has no threads


def cores() -> int:
    """Return the cores that this process may use; FEDSEC_THREADS, where it is a number of at least 1, says fewer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("FEDSEC_THREADS", "")
    return min(allowed, max(1, int(asked))) if asked.isdecimal() else allowed


def cpu_seconds() -> float:
    """Return the CPU seconds of this thread and of all that `spread` did for it, from an arbitrary start."""
    return time.thread_time() + float(getattr(_own, "helpers", 0.0))


def spread(task: Callable[[int, int], object], count: int) -> None:
    """Call task(start, stop) for parts that together are range(count): one part a core, side by side.

    `task` holds no interpreter lock where it matters. Raises what a part raised, when all have ended.
    """
    parts = min(cores(), count)
    if parts < 2:
        task(0, count)
        return
    bounds = [count * i // parts for i in range(parts + 1)]
    others = [_executor(parts - 1).submit(_timed, task, a, b) for a, b in pairwise(bounds[1:])]
    try:
        task(0, bounds[1])
    finally:
        spent = [future.result() for future in others]
        _own.helpers = getattr(_own, "helpers", 0.0) + sum(spent)


def _timed(task: Callable[[int, int], object], start: int, stop: int) -> float:
    began = time.thread_time()
    task(start, stop)
    return time.thread_time() - began


def _executor(threads: int) -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None or _pool[0] != os.getpid() or _pool[1] < threads:
            _pool = (os.getpid(), threads, ThreadPoolExecutor(threads, thread_name_prefix="fedsec"))
        return _pool[2]
