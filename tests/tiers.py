"""The tiers of the suite: `-m fast`, the default, which adds the slow ones, `-m exhaustive` and `-m campaign`.

A test is fast unless it, its class or its file is marked `slow`, `versions`, `exhaustive` or `campaign`, or it asks for
a fixture that starts programs. A fast session loads neither Ray nor Flower's runtime, draws few examples of each
property, and runs few cases of each test.
"""

from __future__ import annotations

import gc
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

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
NOT_FAST = {"slow", "versions", "exhaustive", "campaign"}
"""Marks of tests that are not fast."""
_MARKED = re.compile(r"^pytestmark = pytest\.mark\.(\w+)( *#.*)?$", re.MULTILINE)
_UNREAD = {"fast": NOT_FAST, "fast or versions": NOT_FAST - {"versions"}}
"""By the marks that are asked for, the marks of files that are not even imported."""
EXAMPLES = 10
"""How many examples of a property a session of fast tests draws, at most."""
CASES = 3
"""How many cases of one test a session of fast tests runs, at most: the first, the last, and others between."""


def examples(count: int) -> int:
    """So many examples, for `settings(max_examples=...)`; in a session of fast tests a third of them, 10 at most."""
    return min(-(-count // 3), EXAMPLES) if settings().max_examples == EXAMPLES else count


def slow(values: Iterable[Any]) -> list[Any]:
    """These values for `parametrize`, whose tests are slow: of their kind, the fast tier has others."""
    return _marked(values, pytest.mark.slow)


def exhaustive(values: Iterable[Any]) -> list[Any]:
    """These values for `parametrize`, whose tests are exhaustive: of their kind, the suite has others."""
    return _marked(values, pytest.mark.exhaustive)


def _marked(values: Iterable[Any], mark: pytest.MarkDecorator) -> list[Any]:
    rows = (value if isinstance(value, tuple) else (value,) for value in values)
    return [pytest.param(*row, marks=mark) for row in rows]


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "fast":
        settings.register_profile("fast", settings.default, max_examples=EXAMPLES)
        settings.load_profile("fast")


def _mark(file: Path) -> str | None:
    """The mark of all tests of a file, where it has one."""
    if any(folder in file.as_posix() for folder in FOLDERS):
        return "slow"
    found = _MARKED.search(file.read_text(encoding="utf-8"))
    return found[1] if found else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file without a test that is asked for is not imported: it may load what is not installed here."""
    unread = _UNREAD.get(config.option.markexpr)
    if unread is None or collection_path.suffix != ".py":
        return None
    return _mark(collection_path) in unread or None


def _beyond(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """The cases of fast tests that are too many for a session of fast tests."""
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("fast"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for each in cases.values():
        last = len(each) - 1
        kept = {number * last // (CASES - 1) for number in range(CASES)} if last >= CASES else range(last + 1)
        yield from (item for number, item in enumerate(each) if number not in kept)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if not marks & NOT_FAST:
            starting = PROGRAMS & set(getattr(item, "fixturenames", ()))
            item.add_marker("slow" if starting or any(folder in item.path.as_posix() for folder in FOLDERS) else "fast")
    if config.option.markexpr == "fast" and (beyond := set(_beyond(items))):
        config.hook.pytest_deselected(items=list(beyond))
        items[:] = [item for item in items if item not in beyond]
    if hasattr(config, "workerinput"):  # of several workers, none is to begin the longest test last
        items.sort(key=lambda item: item.get_closest_marker("fast") is not None)


def _loaded() -> set[str]:
    return set(UNLOADED) & sys.modules.keys()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    gc.freeze()  # half a million objects stay as long as the session: no collection need look at them again
    if session.config.option.markexpr == "fast" and _loaded():
        raise pytest.UsageError(f"files of fast tests import {', '.join(_loaded())} as they are read")


@pytest.fixture(autouse=True)
def _fast_is_light(request: pytest.FixtureRequest) -> Iterator[None]:
    before = _loaded()
    yield
    if request.node.get_closest_marker("fast"):
        assert _loaded() == before, "a fast test imported this: mark it slow"
