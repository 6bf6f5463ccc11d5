"""Events of a run as they happen, one JSON object a line, for whoever follows the file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fedsec.flower.verdict import Round
from fedsec.metering import Row

PROGRESS = "progress.jsonl"


class Progress:
    """Events of a run, one JSON object a line, for whoever follows the file; nothing where there is no output."""

    def __init__(self, output: str) -> None:
        self.folder = Path(output).expanduser() if output else None
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / PROGRESS).open("a", buffering=1, encoding="utf-8") if self.folder else None

    def write(self, event: str, **details: Any) -> None:
        """Write one event."""
        if self._file is not None:
            self._file.write(json.dumps({"event": event, **tidy(details)}) + "\n")

    def phase(self, row: Row) -> None:
        """A phase is over."""
        if row.role == "hospital":
            self.write("phase", **row.figures())

    def round(self, outcome: Round) -> None:
        """An aggregation is over."""
        self.write("round", **asdict(outcome))


def tidy(value: Any) -> Any:
    """`value` with everything in it as JSON has it: NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): tidy(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [tidy(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
