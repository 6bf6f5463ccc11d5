"""The command line, in this process."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from fedsec.cli.main import GROUP
from fedsec.cli.poster import app


@pytest.fixture
def poster(monkeypatch: pytest.MonkeyPatch, fed: Any) -> Callable[..., tuple[int, str, str]]:
    """Runs `fedsec poster ...` as `fed` does, with its commands as they are here, whatever is installed."""
    original = importlib.metadata.entry_points
    point = SimpleNamespace(name="poster", load=lambda: app)

    def points(**named: str) -> Iterable[Any]:
        return [point] if named.get("group") == GROUP else original(**named)

    monkeypatch.setattr(importlib.metadata, "entry_points", points)
    return lambda *arguments: fed("poster", *arguments)
