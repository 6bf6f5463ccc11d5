"""The trail that a deployment leaves at each hospital and at the server, and the commands that read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation
from fedsec.flower.records import from_numpy
from fedsec.flower.server import RunSessions
from fedsec.flower.simulation import simulating
from fedsec.party import identity
from fedsec.primitives.signing import SigningKey
from fedsec.trail import verify
from tests.flower.process_grid import ProcessGrid, pinned

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("simulated")]
MODEL = {"w": np.zeros(3)}
FIXED: dict[str, Any] = {"clip": 4.0, "largest_weight": 1000}


def app(message: Message, context: Any) -> Message:
    """One step towards 1."""
    arrays = from_numpy({"w": message.content.array_records["arrays"]["w"].numpy() + 1.0})
    records = {"arrays": arrays, "metrics": MetricRecord({"loss": 0.25, "num-examples": 123})}
    return Message(RecordDict(records), reply_to=message)


def rehearsed() -> SecureAggregation:
    secure = SecureAggregation(FedAvg(fraction_evaluate=0.0), "secagg", sessions=RunSessions(), **FIXED)
    secure.start(ProcessGrid(app, 5, 100), from_numpy(MODEL), num_rounds=1)
    return secure


@pytest.fixture
def deployed(simulated: None, tmp_path: Path) -> Path:
    """Two rounds over five hospitals, of which the last takes part in none: it did not approve the agreement itself."""
    folder = tmp_path / "deployed"
    folder.mkdir()
    grid, agreement, server = pinned(folder, app, 5, rehearsal=rehearsed, changes={"cohort": "sampled"})
    (folder / "4.toml.approved").write_text((folder / "2.toml.approved").read_text())
    secure = SecureAggregation(
        FedAvg(fraction_evaluate=0.0, min_train_nodes=4, min_available_nodes=4),
        agreement=agreement,
        identity=server,
        trail=folder / "server.trail",
        sessions=RunSessions(),
    )
    secure.start(grid, from_numpy(MODEL), num_rounds=2)
    assert [one.included for one in secure.rounds] == [4, 4]
    return folder


def test_each_hospital_has_what_it_answered_under_which_agreement(deployed: Path) -> None:
    for number in range(4):
        found = verify(deployed / f"{number}.journal.trail")
        assert not found.problems and {one["who"] for one in found.entries} == {f"H{number}"}
        answered = [one for one in found.entries if one["event"] == "answered"]
        phases = [one["phase"].rpartition(".")[2].partition("/")[0] for one in answered]
        assert len(answered) >= 6 and any("enrol" in phase for phase in phases)
        assert {one["agreement"] for one in answered} and {one["stage"] for one in answered} >= {"train"}
        assert answered[0]["state"] == "new" and {one["state"] for one in answered[1:]} == {"kept"}
    refused = verify(deployed / "4.journal.trail").entries
    assert refused and {one["event"] for one in refused} == {"refused"} and {one["who"] for one in refused} == {"H4"}
    assert all("PolicyError" in one["reason"] and one["phase"].startswith("fedsec.enrol/") for one in refused)
    assert len({one["agreement"] for one in refused}) == 1


def test_the_server_has_what_was_released_over_whom_and_who_did_not_answer(deployed: Path) -> None:
    entries = verify(deployed / "server.trail").entries
    released = [one for one in entries if one["event"] == "released"]
    assert [one["round"] for one in released] == [1, 2]
    assert all(one["hospitals"] == ["H0", "H1", "H2", "H3"] for one in released)
    assert all(len(one["sum"]) == 64 for one in released) and {one["who"] for one in entries} == {"server"}
    missing = [one for one in entries if one["event"] == "not answered"]
    assert missing and all("PolicyError" in one["reason"] for one in missing)


def test_no_entry_holds_data_keys_or_paths(deployed: Path) -> None:
    for path in deployed.glob("*.trail"):
        text = path.read_text("utf-8")
        assert "123" not in {word for line in text.splitlines() for word in map(str, json.loads(line).values())}
        assert "0.25" not in text and str(deployed) not in text and ".toml" not in text and ".key" not in text
        secrets = [identity.read_identity(one).raw.hex() for one in deployed.glob("*.key")]
        assert not any(one in text for one in secrets)


def test_a_simulation_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with simulating():
        rehearsed()
    assert list(tmp_path.iterdir()) == []


def test_a_hospital_answers_nothing_that_its_trail_cannot_hold(tmp_path: Path) -> None:
    grid, agreement, server = pinned(tmp_path, app, 5, rehearsal=rehearsed, changes={"cohort": "sampled"})
    (tmp_path / "1.journal.trail").mkdir()
    secure = SecureAggregation(
        FedAvg(fraction_evaluate=0.0, min_train_nodes=4, min_available_nodes=4),
        agreement=agreement,
        identity=server,
        sessions=RunSessions(),
    )
    secure.start(grid, from_numpy(MODEL), num_rounds=1)
    assert secure.rounds[0].included == 4 and "TrailError" in str(secure.rounds[0].incidents)
    assert str(tmp_path) not in str(secure.rounds[0].incidents)


def test_the_commands_show_and_verify_it(deployed: Path, fed: Any, tmp_path: Path) -> None:
    kept = str(deployed / "0.journal.trail")
    code, out, err = fed("log", "show", kept, "--last", "2")
    assert (code, err) == (0, "") and out.count("H0  answered: run ") == 2 and "Nothing was changed" in out
    code, out, _ = fed("log", "show", str(deployed / "server.trail"), "--event", "released")
    assert code == 0 and "released: round 1, stage train, agreement " in out and "hospitals H0+H1+H2+H3" in out
    code, _, err = fed("log", "show", kept, "--event", "void")
    assert code == 2 and "no entry has the event 'void'; there are answered" in err
    code, out, _ = fed("log", "verify", kept)
    head = out.split("Head: ")[1].strip()
    assert code == 0 and json.loads(fed("log", "verify", kept, "--head", head, "--json")[1])["head"] == head
    copied = tmp_path / "copied.trail"
    copied.write_text("".join((deployed / "0.journal.trail").read_text().splitlines(keepends=True)[:-1]))
    code, out, _ = fed("log", "verify", str(copied), "--head", head)
    assert code == 1 and "Problem: the head that was noted counts" in out
    assert json.loads(fed("log", "show", kept, "--json")[1])["problems"] == []


def test_a_damaged_trail_keeps_no_hospital_from_answering_and_a_stranger_s_words_out(tmp_path: Path) -> None:
    grid, agreement, server = pinned(tmp_path, app, 5, rehearsal=rehearsed, changes={"cohort": "sampled"})
    (tmp_path / "0.journal.trail.head").write_bytes(b"\xff")
    (tmp_path / "1.journal.trail").write_text('{"n":null}\n')
    stranger = SigningKey(bytes(range(1, 33)))
    names = (FedAvg(fraction_evaluate=0.0, min_train_nodes=4, min_available_nodes=4), "secagg")
    with pytest.raises(RunFailed):
        SecureAggregation(*names, identity=stranger, sessions=RunSessions(), **FIXED).start(
            grid, from_numpy(MODEL), num_rounds=1
        )
    entries = verify(tmp_path / "2.journal.trail").entries
    assert entries and all("AuthenticationError" in one["reason"] and "phase" not in one for one in entries), entries
    secure = SecureAggregation(names[0], agreement=agreement, identity=server, sessions=RunSessions())
    secure.start(grid, from_numpy(MODEL), num_rounds=1)
    assert secure.rounds[0].included == 5
    for number in (0, 1):
        assert "cannot be read" in str(verify(tmp_path / f"{number}.journal.trail").problems) or number == 1
        assert b"answered" in (tmp_path / f"{number}.journal.trail").read_bytes()
