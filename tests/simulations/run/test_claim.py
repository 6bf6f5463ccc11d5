"""Two runs at once: each has a folder of its own, and nobody's result is replaced or removed by another's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedsec.errors import ConfigurationError
from fedsec.simulations.run import claim, driver

pytestmark = pytest.mark.slow
HOLDS = """
import sys
from pathlib import Path
from fedsec.simulations.run import claim
print(claim.take(Path(sys.argv[1])), flush=True)
sys.stdin.readline()
"""


def other(target: Path) -> tuple[subprocess.Popen[str], str]:
    """Another process that tried to claim this folder, and what came of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(target)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_folder_has_one_owner_until_it_is_given_up(tmp_path: Path) -> None:
    target = tmp_path / "results" / "one"
    with claim.claimed(target):
        assert claim.take(target), "it is ours already"
        process, told = other(target)
        with process:
            assert told == "False"
            process.kill()
    assert list(target.parent.iterdir()) == [], "no lock is left, and no folder was made"


def test_a_process_that_is_killed_keeps_nothing(tmp_path: Path) -> None:
    target = tmp_path / "one"
    process, told = other(target)
    with process:
        assert told == "True" and not claim.take(target)
        with pytest.raises(ConfigurationError, match=r"output .*one is being written by another run: choose another"):
            claim.claimed(target).__enter__()
        process.kill()
    with claim.claimed(target):
        pass
    assert list(tmp_path.iterdir()) == []


def test_runs_without_an_output_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = tmp_path / "results" / "shamir-lung"
    process, told = other(first)
    with process:
        second = driver.target_folder(None, "shamir", "lung", False)
        assert told == "True" and second == first.with_name("shamir-lung-2")
        claim.release(second)
        process.kill()
    assert driver.target_folder(None, "shamir", "lung", False) == first
    claim.release(first)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"output .* cannot be written: (Not a directory|File exists)"):
        claim.take(tmp_path / "file" / "run")
