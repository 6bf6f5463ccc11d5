"""The tiers of the suite: `-m fast`, all but the campaigns (the default), and `-m campaign`.

A test is fast unless it, its class or its file is marked `slow` or `campaign`, or it asks for a fixture that starts
programs. A fast session loads neither Ray nor Flower's runtime.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

FOLDERS = (
    "tests/simulations/costs/",
    "tests/simulations/poster/",
    "tests/cli/test_compare_command.py",
    "tests/report/test_page.py",
    "tests/report/test_report_command.py",
)
"""Files whose tests measure, sweep or draw: all are slow."""
PROGRAMS = {"browser"}
"""Fixtures that start a program."""
UNLOADED = ("ray", "flwr.simulation", "torch", "tensorboard", "websockets")
"""What a session of fast tests never imports."""
_NOT_FAST = re.compile(r"^pytestmark = pytest\.mark\.(slow|campaign)$", re.MULTILINE)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "fast":
        settings.register_profile("fast", settings.default, max_examples=25)
        settings.load_profile("fast")


def _slow(file: Path) -> bool:
    """Whether no test of a file is fast."""
    measuring = any(folder in file.as_posix() for folder in FOLDERS)
    return measuring or bool(_NOT_FAST.search(file.read_text(encoding="utf-8")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file without a fast test is not even imported, where fast tests are asked for."""
    if config.option.markexpr != "fast" or collection_path.suffix != ".py":
        return None
    return _slow(collection_path) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if not marks & {"slow", "campaign"}:
            starting = PROGRAMS & set(getattr(item, "fixturenames", ()))
            item.add_marker("slow" if starting or any(folder in item.path.as_posix() for folder in FOLDERS) else "fast")
    if hasattr(config, "workerinput"):  # of several workers, none is to begin the longest test last
        items.sort(key=lambda item: item.get_closest_marker("fast") is not None)


def _loaded() -> set[str]:
    return set(UNLOADED) & sys.modules.keys()


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.markexpr == "fast" and _loaded():
        raise pytest.UsageError(f"files of fast tests import {', '.join(_loaded())} as they are read")


@pytest.fixture(autouse=True)
def _fast_is_light(request: pytest.FixtureRequest) -> Iterator[None]:
    before = _loaded()
    yield
    if request.node.get_closest_marker("fast"):
        assert _loaded() == before, "a fast test imported this: mark it slow"
