"""A lease on a run's processes: they end when whoever started them is gone, even by SIGKILL, which nobody can handle.

A process of its own holds the other end of a pipe. Where the pipe closes without a word, it ends the run's processes
and removes their folder, as the run itself would have done.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from fedsec.simulations.run import processes

RELEASED = b"released\n"
PATIENCE = 3.0
"""Seconds that processes have to end by themselves; after that by force."""


class Lease:
    """The lease on all processes that are started with `variable` set to the path of `home`."""

    def __init__(self, variable: str, home: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key != variable}
        self._process = subprocess.Popen(  # noqa: S603 (our own words, no shell)
            [sys.executable, "-m", __name__, variable, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=home.parent,
            start_new_session=True,  # Ctrl-C is for the run, which ends its processes in order
        )

    def release(self) -> None:
        """The processes are ended, and the lease with them."""
        with contextlib.suppress(BrokenPipeError):  # it was killed: nothing is left to release
            self._process.communicate(RELEASED)
        self._process.wait()


def main(variable: str, home: str) -> None:
    """Wait for the pipe's end, and clean up unless it was released."""
    if sys.stdin.buffer.read() == RELEASED:
        return
    processes.end(processes.Family(variable, home).members, PATIENCE)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
