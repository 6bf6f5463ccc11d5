"""The command line, in this process."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from fedsec import cli
from fedsec.simulations.poster.command import app


@pytest.fixture
def poster(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `fedsec poster ...`: exit status, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedsec", "poster", *arguments])
        point = SimpleNamespace(name="poster", load=lambda: app)  # as installed, whatever else is

        def points(**named: str) -> Iterable[Any]:
            return [point] if named.get("group") == cli.GROUP else original(**named)

        original = importlib.metadata.entry_points
        monkeypatch.setattr(importlib.metadata, "entry_points", points)
        monkeypatch.setenv("COLUMNS", "200")
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        else:
            code = 0
        return code, *capfd.readouterr()

    return call
