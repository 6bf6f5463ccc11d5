"""A fast session imports no file without a fast test and runs few cases of each; a fast test that loads much fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SLOW = """
import pytest

pytestmark = pytest.mark.slow
raise ImportError("a fast session must not read this file")
"""
MIXED = """
import pytest


@pytest.fixture
def browser():
    return None


def test_light():
    pass


@pytest.mark.parametrize("case", range(30))
def test_cases(case):
    assert case != 28


def test_heavy():
    import websockets


@pytest.mark.slow
def test_of_its_own_mark():
    raise AssertionError


@pytest.mark.versions
def test_of_releases():
    pass


@pytest.mark.exhaustive
def test_of_all_cases():
    raise AssertionError


@pytest.mark.campaign
def test_long():
    raise AssertionError


def test_with_a_program(browser):
    raise AssertionError
"""


def test_which_tests_are_fast(tmp_path: Path) -> None:
    marks = ("fast", "slow", "versions", "exhaustive", "campaign")
    (tmp_path / "pytest.ini").write_text("\n    ".join(["[pytest]\nmarkers =", *marks]))
    (tmp_path / "test_slow.py").write_text(SLOW)
    (tmp_path / "test_mixed.py").write_text(MIXED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.tiers"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def run(marks: str) -> str:
        words = [*command, "-m", marks]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False).stdout

    fast = run("fast")
    assert "5 passed, 32 deselected, 1 error" in fast, fast
    assert "ERROR test_mixed.py::test_heavy - AssertionError: a fast test imported this" in fast
    assert "1 failed, 32 passed, 4 deselected, 1 error" in run("fast or versions")
    assert "a fast session must not read this file" in run("not campaign")
