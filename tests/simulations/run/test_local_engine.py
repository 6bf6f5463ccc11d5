"""`fedsec run --engine local`: the study in one process, and what a user sees of it."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from safetensors.numpy import load_file

from fedsec.agreement import agreement_file
from fedsec.app import client_app
from fedsec.app.config import RunConfig
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.flower.simulation import in_simulation
from fedsec.simulations.run.local_engine import local_run
from fedsec.simulations.run.local_grid import LocalGrid
from fedsec.simulations.run.results import model_hash

pytestmark = pytest.mark.slow

SHORT = ("run", "--engine", "local", "--rounds", "2", "--phase-timeout", "3600", "--output", "out")
ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "pairwise_masks.py"


@pytest.fixture(autouse=True)
def _without_flower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Ray nor a process of Flower's."""
    monkeypatch.setattr("fedsec.simulations.run.driver.flower_run", lambda *_, **__: pytest.fail("Flower was started"))
    monkeypatch.setitem(sys.modules, "ray", None)


def test_a_run_leaves_what_one_under_flower_leaves(fed: Any, tmp_path: Path) -> None:
    code, out, err = fed(*SHORT, "--strategy", str(EXAMPLE), "--dataset", "diabetes", "--model", "mlp")
    assert code == 0, err
    assert "round 2/2: 5 hospitals, loss " in err and "federated, pairwise_masks" in out
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == [
        "agreement.toml",
        "disclosure.json",
        "figures",
        "ledger.csv",
        "model-card.md",
        "model.safetensors",
        "pairwise_masks.py",
        "report.html",
        "result.json",
        "run.log",
        "study.toml",
    ]
    document = json.loads((folder / "result.json").read_text())
    assert document["configuration"]["strategy"] == "pairwise_masks" and document["source"]
    derived = agreement_file.read(folder / "agreement.toml")
    assert derived.configuration["rounds"] == 2 and derived.encoding.weights == "exact" and len(derived.hospitals) == 5
    assert {name: stage.sessions for name, stage in derived.stages.items()} == {
        "query.statistics": 1,
        "train": 2,
        "evaluate": 2,
    }
    assert derived.hash.hex() in (folder / "report.html").read_text()
    assert model_hash(load_file(folder / "model.safetensors")) == document["model_hash"]
    stated = json.loads((folder / "disclosure.json").read_text())
    assert [(one["stage"], one["sums"]) for one in stated["stages"]] == [
        ("query.statistics", 1),
        ("train", 2),
        ("evaluate", 2),
    ]
    assert stated["strategy"] == "pairwise_masks" and document["warnings"] == stated["warnings"]
    assert "Who could learn what" in (folder / "report.html").read_text(encoding="utf-8")
    with (folder / "ledger.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["stage"] for row in rows} == {"setup", "query.statistics", "train", "evaluate"}
    assert all(int(row["bytes_up"]) > 0 and float(row["cpu_seconds"]) > 0 for row in rows if row["stage"] == "train")
    log = (folder / "run.log").read_text()
    assert "[ROUND 2/2]" in log and "pooled data" in log
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not in_simulation()


def figures(text: str) -> list[str]:
    """What a run says of each round: its line."""
    return re.findall(r"^  round \d+/\d+: .*$", text, re.MULTILINE)


def test_the_readme_shows_what_its_command_prints(fed: Any) -> None:
    code, out, err = fed("run", "--engine", "local", "--phase-timeout", "3600")
    assert code == 0, err
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("5 hospitals, breast-cancer, 5 rounds")[2].partition("```")[0]
    assert len(figures(shown)) == 5 and figures(err) == figures(shown)
    assert all(len(line) <= 80 for line in figures(shown))
    table = [line.strip() for line in out.partition("Dropouts tolerated")[0].splitlines() if line.strip()]
    assert len(table) > 10 and [line for line in table if line not in shown] == []


def test_the_page_of_own_data_shows_what_its_command_prints(
    fed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "docs" / "examples" / "own_rows.py"), run_name="__main__")
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ fedsec (stats rows.csv .*)$", page, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        code, out, err = fed(*command.split())
        assert code == 0, err
        told = " ".join(out.partition("Largest")[0].split())
        assert "kB were sent" in told and told in " ".join(page.partition(command)[2].partition("```")[0].split())


@pytest.mark.usefixtures("brief")
def test_own_rows_and_json(fed: Any, tmp_path: Path) -> None:
    lines = [f"{'abc'[row % 3]},{row % 7},{row * row % 11},{row * 5 % 13 > 6:d}" for row in range(120)]
    (tmp_path / "rows.csv").write_text("\n".join(["site,x,y,died", *lines]))
    code, out, err = fed(*SHORT, "--data", "rows.csv", "--site", "site", "--label", "died", "--json")
    assert code == 0, err
    assert json.loads(out)["hospitals"] == ["a", "b", "c"] and err == ""


def test_a_hospital_that_fails_is_named_with_its_cause_and_the_log_is_kept(fed: Any, tmp_path: Path) -> None:
    old = tmp_path / "out"
    old.mkdir()
    (old / "result.json").write_text("old")
    code, out, err = fed(*SHORT, "--learning-rate", "1e12", "--dataset", "diabetes", "--force")
    assert (code, out) == (1, "")
    assert "TooFewParties: phase ShareInput: 0 of 5 parties answered" in err and "ClientAppError" in err
    assert "round 1 train is void: TooFewParties" in err
    kept = tmp_path / "out-failed.log"
    assert f"Its log is {kept}" in err and "Traceback" not in err
    assert "RunFailed: no round of training succeeded" in kept.read_text()
    assert (old / "result.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out-failed.log"]


def config(folder: Path, **options: Any) -> RunConfig:
    return RunConfig.read({"clients": 3, "rounds": 1, "output": str(folder), **options}).resolved([100, 100, 100])


def endless(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A hospital's app that computes until it is interrupted; the event says that it has begun."""
    began = threading.Event()

    def never(message: Message, context: Context) -> Message:
        began.set()
        while True:
            pass

    monkeypatch.setattr(client_app, "client", never)
    return began


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores SIGINT, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_too_little_time_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless(monkeypatch)
    with pytest.raises(RunFailed, match=r"did not finish within 0.1 s"):
        local_run(config(tmp_path), timeout=0.1, log_file=tmp_path / "run.log", follow=lambda status: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run(fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    began = endless(monkeypatch)
    threading.Thread(target=lambda: began.wait() and os.kill(os.getpid(), number), daemon=True).start()
    code, _, err = fed(*SHORT)
    assert code == 130 and "Traceback" not in err
    log = tmp_path / "out-failed.log"
    assert f"the run was interrupted. Its log is {log}" in err and list(tmp_path.iterdir()) == [log]


def test_what_goes_wrong_while_events_are_followed_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless(monkeypatch)

    def full(status: str) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        local_run(config(tmp_path), timeout=3600, log_file=tmp_path / "run.log", follow=full)


def test_the_log_is_flower_s_again_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(message: Message, context: Context) -> Message:
        print("printed by the app")
        raise KeyError("[row 7]")

    monkeypatch.setattr(client_app, "client", odd)
    before = logging.getLogger("flwr").handlers
    with pytest.raises(RunFailed, match="the run failed: "):
        local_run(config(tmp_path), timeout=3600, log_file=tmp_path / "run.log", follow=lambda status: None)
    assert logging.getLogger("flwr").handlers is before
    assert "printed by the app" in (tmp_path / "run.log").read_text()


def message(grid: LocalGrid, node: int) -> Message:
    return Message(RecordDict(), dst_node_id=node, message_type="query.where")


def test_a_node_keeps_its_context_and_its_errors_are_answers() -> None:
    app = ClientApp()

    @app.query("where")
    def where(message: Message, context: Context) -> Message:
        context.run_config["seen"] = int(context.run_config["seen"]) + 1
        if context.node_config["partition-id"] == 1:
            raise ValueError("odd")
        return Message(RecordDict(), reply_to=message)

    grid = LocalGrid(app, {"seen": 0}, 3, 7)
    nodes = list(grid.get_node_ids())
    for _ in range(2):
        replies = grid.send_and_receive([message(grid, node) for node in nodes], timeout=3600)
        assert [reply.metadata.src_node_id for reply in replies] == nodes
        assert [reply.has_error() for reply in replies] == [False, True, False]
        assert "ValueError" in str(replies[1].error.reason)
    assert [context.run_config["seen"] for context in grid._contexts.values()] == [2, 2, 2]
    assert [context.node_config["num-partitions"] for context in grid._contexts.values()] == [3, 3, 3]
    assert grid.run.run_id == 7


def test_who_answers_too_late_is_absent() -> None:
    app = ClientApp()

    @app.query("where")
    def where(message: Message, context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    grid = LocalGrid(app, {}, 3, 7)
    asked = [message(grid, node) for node in grid.get_node_ids()]
    assert grid.send_and_receive(asked, timeout=-1.0) == []
    assert len(grid.send_and_receive(asked)) == 3


def test_single_messages_are_refused() -> None:
    grid = LocalGrid(ClientApp(), {}, 3, 7)
    for call in (grid.push_messages, grid.pull_messages, grid.create_message):
        with pytest.raises(ConfigurationError):
            call([])
