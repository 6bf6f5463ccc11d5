"""No test leaves a process behind: what one left is found, ended, and told of as its failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.leftovers import VARIABLE, Leftovers

pytestmark = pytest.mark.slow

SLEEPING = [sys.executable, "-c", "import time; time.sleep(100_000)"]


def test_what_is_left_is_found_and_ended_and_nothing_else() -> None:
    mine, nested = Leftovers(), Leftovers()
    stranger = subprocess.Popen(SLEEPING)
    known = subprocess.Popen(SLEEPING, env={**os.environ, VARIABLE: mine.mark})
    left = [
        subprocess.Popen(SLEEPING, env={**os.environ, VARIABLE: mine.mark}),
        subprocess.Popen(SLEEPING, env={**os.environ, VARIABLE: f"{mine.mark}/nested"}, start_new_session=True),
    ]
    try:
        assert {process.pid for process in mine.alive()} == {known.pid, *(one.pid for one in left)}
        assert not nested.alive()
        ended = mine.end({psutil.Process(known.pid)}, patience=0.0)
        assert sorted(int(one.partition(":")[0]) for one in ended) == sorted(one.pid for one in left)
        assert not any(psutil.pid_exists(one.pid) for one in left)
        assert stranger.poll() is None is known.poll()
    finally:
        for process in (stranger, known, *left):
            process.kill()
            process.wait()


LEAVING = """
import subprocess, sys

import pytest


@pytest.fixture(scope="module")
def lasting():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100_000)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_with_a_shared_process(lasting):
    pass


@pytest.mark.slow
def test_leaves_a_child():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100_000)"], start_new_session=True)


@pytest.mark.slow
def test_leaves_nothing(lasting):
    assert lasting.poll() is None
"""


def test_the_test_that_left_a_process_fails(tmp_path: Path) -> None:
    """In a pytest of its own, with the fixtures of this one."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    fast\n    slow\n    campaign\n")
    (tmp_path / "conftest.py").write_text("from tests import leftovers\nleftovers.PATIENCE = 0.1\n")
    (tmp_path / "test_leaving.py").write_text(LEAVING)
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.leftovers"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "3 passed, 1 error" in done.stdout, done.stdout
    assert "ERROR test_leaving.py::test_leaves_a_child" in done.stdout and "time.sleep(100_000)" in done.stdout
