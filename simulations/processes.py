"""Find and end the processes of one Flower run, and no others.

`flwr` starts a SuperLink, which starts a SuperExec in a session of its own, which starts the simulation, which starts
Ray's servers and workers; a simulation that is killed leaves Ray's servers behind as orphans. So neither a process
group nor a family tree holds them all. Each of them inherits the run's private FLWR_HOME, and that names them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_PROC = Path("/proc")


def bearing(variable: str, value: str) -> dict[int, str]:
    """Process id -> command line, for each living process that was started with `variable` set to `value`."""
    marker = f"{variable}={value}"
    found = {pid: command for pid, environment, command in _environments() if marker in environment}
    return {pid: command for pid, command in found.items() if pid != os.getpid()}


def end(find: Callable[[], Iterable[int]], patience: float) -> set[int]:
    """Ask the processes that `find` names to stop, then force them; returns those that are still there.

    `find` is asked again and again, since a process that is told to stop may still be starting others. Each of the
    two steps takes at most `patience` seconds.
    """
    for kind in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        told: set[int] = set()
        while left := set(find()):
            for pid in left - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, kind)
            told |= left
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return set()
    return set(find())


def _environments() -> Iterator[tuple[int, list[str], str]]:
    """(process id, environment or the words of the `ps` line, command line) of the processes we may look at."""
    if not _PROC.joinpath("self", "environ").exists():
        listing = subprocess.run(  # noqa: S603 (fixed words, no shell)
            ["ps", "-axwwE", "-o", "pid=,command="],  # noqa: S607 (the system's own ps)
            capture_output=True,
            text=True,
            check=True,
        )
        for line in listing.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), command.split(), command
        return
    for folder in _PROC.glob("[0-9]*"):
        try:
            state = folder.joinpath("stat").read_text().rpartition(")")[2].split()[0]
            environment = folder.joinpath("environ").read_bytes().decode(errors="surrogateescape").split("\0")
            command = folder.joinpath("cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:  # it ended meanwhile, or belongs to somebody else
            continue
        if state not in "ZX":
            yield int(folder.name), environment, command
