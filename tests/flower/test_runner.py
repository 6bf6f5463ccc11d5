"""A `flwr run` that is interrupted, and what remains of it: nothing. Runs to their end are in the files beside."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsec.errors import ConfigurationError, RunFailed
from fedsec.simulations.run import flower_cli, processes
from fedsec.simulations.run.launcher import FlowerRun, flower_run, make_app

AWKWARD = "a \"b\" 'c' = d\\e, f=1 #x \N{GRINNING FACE} \N{EURO SIGN}\ttab\nline"
APP = """
import time

from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

server = ServerApp()
client = ClientApp()


@server.main()
def main(grid, context):
    while True:  # until it is ended
        time.sleep(1)
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("an app")
    (folder / "tiny_flower_app.py").write_text(textwrap.dedent(APP))
    config: dict[str, flower_cli.Value] = {"number": 0}
    return make_app(folder, "tiny_flower_app:server", "tiny_flower_app:client", config)


@pytest.fixture
def left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FlowerRun]]:
    """Collects each run that starts; afterwards none of them may have a process or a folder left."""
    runs: list[FlowerRun] = []
    start = FlowerRun.start

    def noted(run: FlowerRun) -> None:
        runs.append(run)
        start(run)

    monkeypatch.setattr(FlowerRun, "start", noted)
    yield runs
    assert runs
    for run in runs:
        assert not processes.Family("FLWR_HOME", str(run.home)).members()
        assert not run._family.members()
        assert not run.home.exists()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_too_little_time_fails_and_an_interrupt_ends_everything(app: Path, left_behind: list[FlowerRun]) -> None:
    with pytest.raises(KeyboardInterrupt), flower_run(app, {}, 3, timeout=1) as run:
        with pytest.raises(RunFailed, match="did not finish within 1 s"):
            run.wait()
        run._deadline = math.inf
        for status in run.poll(0.1):
            members = run._family.members().values()
            if status == "running" and any("raylet" in command for command in members):
                os.kill(os.getpid(), signal.SIGTERM)  # it is taken as Ctrl-C is


@pytest.mark.parametrize(
    ("settings", "hospitals", "said"),
    [
        ({"colour": 1}, 3, "does not declare the run-config key 'colour'"),
        ({"number": 2**63}, 3, "number = 9223372036854775808"),
        ({"number": None}, 3, "number = None"),
        ({}, 0, "at least one hospital"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    app: Path, left_behind: list[FlowerRun], settings: dict[str, flower_cli.Value], hospitals: int, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said), flower_run(app, settings, hospitals):
        pass


def test_a_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a Flower app"):
        flower_cli.check(tmp_path, {}, 3)


@pytest.mark.parametrize(
    "value", [AWKWARD, "", "1", "true", "0x1F", "'", '"', "\\", "a=b c=d", "x.toml", "\x7f\x00", 1, -(2**63), 0.1, True]
)
def test_values_survive_the_overrides_file(value: flower_cli.Value) -> None:
    back = tomllib.loads(flower_cli.toml({"a-key": value, "dotted.key": value}).decode())
    assert back == {"a-key": value, "dotted.key": value}
    assert type(back["a-key"]) is type(value)


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not text"):
        flower_cli.toml({"path": os.fsdecode(b"/data/\xff")})


def test_the_environment_leads_to_no_other_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLWR_HOME", "elsewhere")
    monkeypatch.setenv("FLWR_LOCAL_CONTROL_API_PORT", "1")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("no_proxy", "example.org")
    made = flower_cli.environment(tmp_path, {"MINE": "1"})
    assert made["FLWR_HOME"] == str(tmp_path)
    assert made["MINE"] == "1"
    assert "127.0.0.1" in made["no_proxy"].split(",")
    assert not {"RAY_ADDRESS", "FLWR_LOCAL_CONTROL_API_PORT"} & made.keys()


def test_answers_are_judged_by_what_they_say() -> None:
    assert flower_cli.answer("flwr x", 'noise {"success": true, "n": 1}', "")["n"] == 1
    with pytest.raises(RunFailed, match=r"`flwr x` failed: no such thing$"):
        flower_cli.answer("flwr x", '{"success": false, "error-message": "Using it\\n\\nno such thing"}', "")
    with pytest.raises(RunFailed, match=r"`flwr x` failed: broken$"):
        flower_cli.answer("flwr x", "", "usage\nbroken\n")


@pytest.mark.slow
def test_a_stubborn_process_is_forced(tmp_path: Path) -> None:
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    stubborn = f"{ignoring}; print('up', flush=True); time.sleep(100_000)"
    child = subprocess.Popen(
        [sys.executable, "-c", stubborn],
        env={**os.environ, "FEDSEC_TEST": str(tmp_path)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    family = processes.Family("FEDSEC_TEST", str(tmp_path))
    assert family.members().keys() == {child.pid}
    reaper = threading.Thread(target=child.wait)
    reaper.start()
    assert processes.end(family.members, patience=0.3) == set()
    reaper.join()
    child.stdout.close()
