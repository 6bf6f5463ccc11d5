"""Rows that are in memory already: a frame of pandas, under a name that stands where a file's path does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

SUFFIX = ".frame"
_PLACES = (Path(f"/frames-in-memory/{number}") for number in itertools.count())
_HELD: dict[Path, pandas.DataFrame] = {}


@contextmanager
def held(frame: pandas.DataFrame, name: str) -> Iterator[Path]:
    """Yields the path by which this process, and no other, reads the frame while the block runs.

    name: what the rows are called. Each time is another path, for what is read from one is remembered.
    """
    path = next(_PLACES) / f"{name}{SUFFIX}"
    _HELD[path] = frame
    try:
        yield path
    finally:
        del _HELD[path]


def frame_at(path: Path) -> pandas.DataFrame | None:
    """The frame that is held under this path; None where the path is that of a file."""
    return _HELD.get(path)
