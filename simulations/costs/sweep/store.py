"""Where a sweep is kept: every finished part in a file of its own, so that an interrupted sweep goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from fedsec import atomic
from fedsec.errors import ConfigurationError

SWEEP, CELLS = "sweep.json", "cells"


class Part(StrEnum):
    """The parts of a sweep that are kept, by the names of their files."""

    PROBE = "probe"
    QUALITY = "quality"
    MEMORY = "examined"
    ROUNDS = "clocked"


def kept_sweep(path: Path) -> dict[str, Any] | None:
    """How a kept sweep was measured; None where the file is damaged or is not there."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


class Store:
    """The finished parts of a sweep, a file each, written whole or not at all: an interrupted sweep goes on there."""

    def __init__(self, folder: Path, how: Mapping[str, Any]) -> None:
        self.folder = folder
        kept = folder / SWEEP
        try:
            (folder / CELLS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"output {folder} cannot be written: {error.strerror}") from error
        with writing(folder):
            if kept.is_file():
                before = kept_sweep(kept)
                if before is None:
                    raise ConfigurationError(f"output {folder}: {SWEEP} is damaged; replace the sweep with --force")
                if before != json.loads(json.dumps(how)):
                    other = sorted(key for key in how if before.get(key) != json.loads(json.dumps(how[key])))
                    raise ConfigurationError(
                        f"output {folder} holds a sweep with another {', '.join(other)}; choose another folder, or "
                        "replace it with --force"
                    )
            else:
                atomic.write(kept, json.dumps(how, indent=1).encode() + b"\n")

    def _path(self, kind: Part, key: Any) -> Path:
        digest = hashlib.sha256(json.dumps([kind, key], sort_keys=True).encode()).hexdigest()[:24]
        return self.folder / CELLS / f"{kind}-{digest}.json"

    def get(self, kind: Part, key: Any) -> Any:
        """What was kept; None where it is missing or damaged, so that it is measured again."""
        try:
            return json.loads(self._path(kind, key).read_text(encoding="utf-8"))["value"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, kind: Part, key: Any, value: Any) -> None:
        """Keep a part."""
        with writing(self.folder):
            atomic.write(self._path(kind, key), json.dumps({"key": key, "value": value}).encode() + b"\n")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that is full or may not be written to raises ConfigurationError."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"output {folder} cannot be written: {error.strerror}; what is finished is kept, and the same command "
            "continues from there"
        ) from error
