"""A file is there whole or not at all, also where the disk has no room."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsec import atomic

LIMIT = 1 << 20


@pytest.fixture
def no_larger_files() -> Iterator[None]:
    """The system refuses what goes beyond LIMIT bytes of a file, as it does where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_data_is_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "one.bin"
    atomic.write(path, bytes(LIMIT))
    atomic.write(path, b"two")
    assert path.read_bytes() == b"two" and list(tmp_path.iterdir()) == [path]


def test_without_room_the_old_file_stays_and_nothing_beside_it(tmp_path: Path, no_larger_files: None) -> None:
    path = tmp_path / "one.bin"
    atomic.write(path, b"old")
    with pytest.raises(OSError, match="File too large"):
        atomic.write(path, bytes(LIMIT + 1))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="File too large"):
        atomic.write(tmp_path / "new.bin", bytes(LIMIT + 1))
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write(tmp_path / "missing" / "one.bin", b"")
