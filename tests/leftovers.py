"""The processes that a test session starts: known by a mark that they inherit, and gone when their test ends.

Flower and Ray start processes that start others in sessions of their own, so neither a process group nor a family
tree holds them all. Whatever a test starts inherits `FEDSEC_TEST_SESSION`. Nested sessions (workers of pytest-xdist,
a pytest that a test starts) append to the mark, so that the outer session finds their processes too.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Set

import psutil
import pytest

VARIABLE = "FEDSEC_TEST_SESSION"
PATIENCE = 60.0
"""Seconds that a process may take to end by itself after its test; most have ended when it is asked."""
LASTING = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helpers that Python keeps as long as the process that started them."""


class Leftovers:
    """The living processes that this test session started, itself apart."""

    def __init__(self) -> None:
        self.mark = f"{os.environ.get(VARIABLE, '')}/{uuid.uuid4().hex}"
        self._sessions: set[int] = set()
        self._before = set(psutil.process_iter())  # none of these is ours, and to read each again takes milliseconds

    def begin(self) -> None:
        """Mark what is started from now on."""
        os.environ[VARIABLE] = self.mark

    def alive(self) -> set[psutil.Process]:
        """The marked processes, and all in their sessions: Ray's workers overwrite their environment."""
        found: list[tuple[psutil.Process, int, bool]] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile, or belongs to somebody else
                if process.pid != os.getpid() and process not in self._before:
                    marked = process.environ().get(VARIABLE, "").startswith(self.mark)
                    found.append((process, os.getsid(process.pid), marked))
        self._sessions |= {session for process, session, marked in found if marked and self._living(process)}
        self._sessions.discard(os.getsid(0))
        known = self._sessions
        return {process for process, session, marked in found if (marked or session in known) and self._living(process)}

    @staticmethod
    def _living(process: psutil.Process) -> bool:
        """Whether it runs and is none of those that Python keeps; asked of few, as it takes longer than the rest."""
        with contextlib.suppress(psutil.Error, OSError):
            lasting = any(word in " ".join(process.cmdline()) for word in LASTING)
            return not lasting and process.status() != psutil.STATUS_ZOMBIE
        return False

    def end(self, known: Set[psutil.Process] = frozenset(), patience: float | None = None) -> list[str]:
        """Wait until only `known` processes are left, end the others by force, and return their command lines."""
        until = time.monotonic() + (PATIENCE if patience is None else patience)
        while (left := self.alive() - known) and time.monotonic() < until:
            time.sleep(0.2)
        commands = []
        while left:  # again and again: what is ended may have been starting others
            for process in left:
                with contextlib.suppress(psutil.Error):
                    commands.append(f"{process.pid}: {' '.join(process.cmdline())[:200]}")
                    process.kill()
            psutil.wait_procs(left, PATIENCE)
            left = self.alive() - known
        return commands


LEFTOVERS = pytest.StashKey[Leftovers]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFTOVERS] = Leftovers()
    config.stash[LEFTOVERS].begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """After everything, failures and Ctrl-C too, and after the workers of pytest-xdist."""
    config.stash[LEFTOVERS].end(patience=0.0)


@contextlib.contextmanager
def _checked(config: pytest.Config) -> Iterator[None]:
    leftovers = config.stash[LEFTOVERS]
    known = leftovers.alive()
    yield
    ended = leftovers.end(known)
    assert not ended, "left behind, and now ended: " + "; ".join(ended)


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that may start processes ends them. Fixtures of a module keep theirs until the module's end."""
    with _checked(request.config) if request.node.get_closest_marker("fast") is None else contextlib.nullcontext():
        yield


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_by_fixtures(request: pytest.FixtureRequest) -> Iterator[None]:
    with _checked(request.config):
        yield
