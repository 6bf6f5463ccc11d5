"""The processes of one run are found by what they inherited, wherever they were started from, and no others are."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fedsec.simulations.run.processes import Family, end

pytestmark = pytest.mark.slow

WAITS = "import sys; print('up', flush=True); sys.stdin.read()"
STARTS_ANOTHER = f"""
import os, subprocess, sys
without = {{name: value for name, value in os.environ.items() if name != "FEDSEC_TEST"}}
bare = subprocess.Popen([sys.executable, "-c", {WAITS!r}], env=without, stdout=subprocess.PIPE)
apart = subprocess.Popen([sys.executable, "-c", {WAITS!r}], start_new_session=True, stdout=subprocess.PIPE)
bare.stdout.readline(), apart.stdout.readline()
print(bare.pid, apart.pid, flush=True)
sys.stdin.read()
"""


def started(code: str, value: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "FEDSEC_TEST": value},
    )


def test_children_in_other_sessions_or_without_the_variable_are_found_and_strangers_are_not(tmp_path: Path) -> None:
    with started(STARTS_ANOTHER, str(tmp_path)) as parent, started(WAITS, f"{tmp_path}-other") as stranger:
        assert parent.stdout is not None and stranger.stdout is not None and stranger.stdout.readline() == "up\n"
        bare, apart = map(int, parent.stdout.readline().split())
        family = Family("FEDSEC_TEST", str(tmp_path))
        members = family.members()
        assert members.keys() == {parent.pid, bare, apart}
        assert all(command.startswith(f"{sys.executable} -c ") for command in members.values())
        assert not Family("FEDSEC_TEST", "").members() and not Family("FEDSEC", str(tmp_path)).members()
        reaper = threading.Thread(target=parent.wait)
        reaper.start()
        assert end(family.members, 60.0) == set() and not family.members()
        reaper.join()
        assert stranger.poll() is None
        stranger.kill()
