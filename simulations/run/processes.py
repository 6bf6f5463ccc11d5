"""Find and end the processes of one Flower run, and no others; hold signals off meanwhile.

`flwr` starts a SuperLink, which starts a SuperExec in a session of its own, which starts the simulation, which starts
Ray's servers and workers; a simulation that is killed leaves Ray's servers behind as orphans. So neither a process
group nor a family tree holds them all. Each of them inherits the run's private FLWR_HOME, and that names them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import psutil

_FORCED_SECONDS = 60.0


class Family:
    """The living processes that were started with `variable` set to `value`, and all in their sessions.

    The session matters because Ray's workers overwrite their environment when they rename themselves.
    """

    def __init__(self, variable: str, value: str) -> None:
        self._variable, self._value = variable, value
        self._sessions: set[int] = set()

    def members(self) -> dict[int, str]:
        """Process id -> command line."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile, or belongs to somebody else
                if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                    marked = process.environ().get(self._variable) == self._value
                    found.append((process.pid, os.getsid(process.pid), marked, " ".join(process.cmdline())))
        self._sessions |= {session for _, session, marked, _ in found if marked}
        self._sessions.discard(os.getsid(0))
        return {pid: command for pid, session, _, command in found if session in self._sessions}


def end(find: Callable[[], Iterable[int]], patience: float) -> set[int]:
    """Ask the processes that `find` names to stop, then force them; returns those that are still there.

    `find` is asked again and again, since a process that was asked to stop may still be starting others. They have
    `patience` seconds to stop by themselves, and a busy machine then has a minute to force them.
    """
    for kind, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, max(patience, _FORCED_SECONDS))):
        deadline = time.monotonic() + seconds
        signalled: set[int] = set()
        while left := set(find()):
            for pid in left - signalled:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, kind)
            signalled |= left
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return set()
    return set(find())


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what cleans up after one cleans up after the other."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling({signal.SIGTERM: interrupt}):
        yield


class Held:
    """Signals that came while they were held."""

    def __init__(self) -> None:
        self._came = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal came."""
        self._came = True

    def release(self) -> None:
        """Raise KeyboardInterrupt if one came."""
        if self._came:
            self._came = False
            raise KeyboardInterrupt

    def take_back(self) -> None:
        """Handle SIGINT and SIGTERM again, where a library has put handlers of its own."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.note)


@contextmanager
def held() -> Iterator[Held]:
    """Ctrl-C and SIGTERM wait until `release`: a library whose native code they would break is running."""
    found = Held()
    with _handling({signal.SIGINT: found.note, signal.SIGTERM: found.note}):
        yield found
    found.release()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Neither Ctrl-C nor SIGTERM ends the block."""
    with _handling({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
