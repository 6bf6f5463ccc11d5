"""A run's folder is its own from the first second: of two runs at once, neither can take or replace the other's.

The claim is a lock on a hidden file beside the folder. The system lets go of it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedsec.errors import ConfigurationError

_CLAIMED: dict[Path, int] = {}
"""The open lock file of each folder that this process has claimed."""


def lock_of(target: Path) -> Path:
    """The file that is locked while a run writes to `target`."""
    return target.with_name(f".{target.name}.lock")


def take(target: Path) -> bool:
    """Claim a folder, which need not exist, for this process; False where another process has it.

    Raises ConfigurationError where nothing can be written beside it.
    """
    if target in _CLAIMED:
        return True
    lock = lock_of(target)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            if _is_at(file, lock):
                _CLAIMED[target] = file
                return True
            os.close(file)  # its owner removed it between our opening and locking it
    except OSError as error:
        raise ConfigurationError(f"output {target} cannot be written: {error.strerror}") from error


def release(target: Path) -> None:
    """Give up a claim of this process."""
    file = _CLAIMED.pop(target, None)
    if file is not None:
        lock_of(target).unlink(missing_ok=True)
        os.close(file)


@contextmanager
def claimed(target: Path) -> Iterator[None]:
    """Keep the claim on a folder for a while; raises ConfigurationError where another run has it."""
    if not take(target):
        raise ConfigurationError(
            f"output {target} is being written by another run: choose another, or wait until that one has ended"
        )
    try:
        yield
    finally:
        release(target)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one that is at this path now."""
    try:
        here, there = os.fstat(file), path.stat()
    except FileNotFoundError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
