"""What a run started ends with it, even where the run itself is killed and can clean up nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fedsec.simulations.run import flower_cli
from fedsec.simulations.run.launcher import make_app

pytestmark = pytest.mark.slow
PATIENCE = 120.0
"""Seconds until processes that are ended are gone, at most: a busy machine is slow."""
HOLDER = """
import os, subprocess, sys
from pathlib import Path
from fedsec.simulations.run.lease import Lease
home = Path(sys.argv[1])
lease = Lease("FEDSEC_LEASE", home)
held = [subprocess.Popen([sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=os.environ | {"FEDSEC_LEASE": str(home)})
    for _ in range(2)]
for one in held:
    one.stdout.readline()
print(*(one.pid for one in held), lease._process.pid, flush=True)
sys.stdin.readline()
if sys.argv[2] == "release":
    lease.release()
    sys.stdin.readline()
"""
APP = """
import time

from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

server = ServerApp()
client = ClientApp()


@server.main()
def main(grid, context):
    while True:
        time.sleep(1)
"""
FLOWER = """
import sys
from pathlib import Path
from fedsec.simulations.run.launcher import flower_run
with flower_run(Path(sys.argv[1]), {}, 3) as run:
    for status in run.poll():
        members = run._family.members()
        if status == "running" and any("flwr-simulation" in command for command in members.values()):
            print(run.home, *members, flush=True)
            sys.stdin.readline()
"""


@contextmanager
def holder(code: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that runs this code, and the words that it says first."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


def gone(pids: list[str]) -> bool:
    """Whether these processes are gone, once they had time to go."""
    processes = []
    for pid in pids:
        try:
            processes.append(psutil.Process(int(pid)))
        except psutil.NoSuchProcess:
            continue
    return not psutil.wait_procs(processes, PATIENCE)[1]


def test_what_a_killed_process_started_ends_and_its_folder_goes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with holder(HOLDER, str(home), "keep") as (process, pids):
        assert all(psutil.Process(int(pid)).is_running() for pid in pids)
        process.kill()
        process.wait()
        assert gone(pids) and not home.exists()


def test_a_released_lease_ends_nothing(tmp_path: Path) -> None:
    with holder(HOLDER, str(tmp_path), "release") as (process, pids):
        *held, lease = pids
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert gone([lease])
        assert all(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE for pid in held) and tmp_path.exists()
    assert gone(held)  # their pipes close with the holder


@pytest.mark.exhaustive
def test_a_killed_flower_run_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "waiting_app.py").write_text(APP, encoding="utf-8")
    config: dict[str, flower_cli.Value] = {}
    app = make_app(tmp_path, "waiting_app:server", "waiting_app:client", config)
    with holder(FLOWER, str(app)) as (process, words):
        home, *pids = words
        assert len(pids) >= 2 and Path(home).is_dir()
        process.kill()
        process.wait()
        assert gone(pids) and not Path(home).exists()
