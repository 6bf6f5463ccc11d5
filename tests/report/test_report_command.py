"""`fedsec report`, and the page of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedsec.cli.report import make
from fedsec.errors import ConfigurationError
from fedsec.metering import Ledger, Row
from fedsec.report import run_page
from tests.agreement.test_agreement_file import agreement


def result(**changes: Any) -> dict[str, Any]:
    """A result.json, as `fedsec run` leaves it."""
    reached = [{"loss": 0.5 / number, "accuracy": 1 - 0.1 / number} for number in range(1, 6)]
    return {
        "format": 1,
        "configuration": {
            "strategy": "shamir",
            "parameters": {"value_bits": 24},
            "dataset": "breast-cancer",
            "rounds": 5,
            "clip": 4.0,
            "clients": 3,
        },
        "task": "classification",
        "rows": [100, 90, 80],
        "tolerance": {"ShareInput": 1, "SumShares": 1},
        "rounds": [
            {
                "round": number,
                "stage": stage,
                "sampled": 3,
                "included": 3,
                "weight": 270,
                "clipped": 0,
                "metrics": {},
                "sum_hash": "00",
                "failure": "",
                "incidents": [],
            }
            for number in range(1, 6)
            for stage in ("train", "evaluate")
        ],
        "quality": {
            "initial": {"loss": 0.7, "accuracy": 0.4},
            "federated": reached[-1],
            "by_round": reached,
            "fedavg": reached[-1],
            "pooled": {"loss": 0.05, "accuracy": 0.99},
            "alone": [{"loss": 0.2, "accuracy": 0.9}, {"loss": 0.4, "accuracy": None}, {"loss": 0.3, "accuracy": 0.92}],
        },
        "largest_difference_to_fedavg": 3.2e-6,
        "network_seconds": {"lan": 0.02, "hospital-wan": 0.88},
        "model_hash": "ab" * 32,
        "versions": {"fedsec": "0.1.0"},
        "machine": {"system": "Linux", "cpus": 2},
        **changes,
    }


def row(number: int, stage: str, phase: str, role: str) -> Row:
    figures = dict.fromkeys(("parties", "replies", "messages"), 3) | dict.fromkeys(("bytes_down", "bytes_up"), 3000)
    values: dict[str, Any] = {"round": number, "stage": stage, "phase": phase, "role": role, **figures}
    return Row(
        **values, bytes_down_max=1000, bytes_up_max=1250, cpu_seconds=0.6, cpu_seconds_max=0.25, wall_seconds=1.0
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "result.json").write_text(json.dumps(result()), encoding="utf-8")
    stages = [(0, "setup", "Enrol")] + [
        (number, "train", phase) for number in (1, 2) for phase in ("ShareInput", "SumShares")
    ]
    Ledger([row(*stage, role) for stage in stages for role in ("hospital", "server")]).write(tmp_path / "ledger.csv")
    return tmp_path


def test_a_run_has_a_page(folder: Path) -> None:
    written = run_page.write(folder)
    assert [path.name for path in written] == [
        "curve-loss.svg",
        "curve-loss.png",
        "curve-accuracy.svg",
        "curve-accuracy.png",
        "phases-cpu.svg",
        "phases-cpu.png",
        "phases-bytes.svg",
        "phases-bytes.png",
        "report.html",
    ]
    text = (folder / "report.html").read_text(encoding="utf-8")
    for said in (
        "breast-cancer across 3 hospitals",
        "federated, shamir",
        "hospital 3 alone",
        "plain FedAvg",
        "pooled data",
        "Server learns",
        "the sum, and who took part.",
        "A round of training",
        "ShareInput",
        "Set-up, once",
        "0.5 after the first round, 0.1 after the last",
        "3.2\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁻⁶",
    ):
        assert said in text, said
    assert "1.00\N{NO-BREAK SPACE}kB down, 1.25\N{NO-BREAK SPACE}kB up" in text  # the mean over two rounds, not the sum


def test_a_run_with_little_has_a_page(tmp_path: Path) -> None:
    quality: dict[str, Any] = {"initial": {}, "federated": {}, "by_round": [], "fedavg": {}, "pooled": {}, "alone": []}
    void = [{"round": 1, "stage": "train", "sampled": 3, "included": 0, "clipped": 2, "failure": "<b>too few</b>"}]
    bare = result(
        quality=quality, rounds=void, largest_difference_to_fedavg=None, configuration={"strategy": "gone<i>"}
    )
    (tmp_path / "result.json").write_text(json.dumps(bare), encoding="utf-8")
    run_page.write(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "no ledger.csv" in text and "1 aggregation failed" in text and "&lt;b&gt;too few" in text
    assert "gone&lt;i&gt; is not installed here" in text


def test_a_run_shows_intervals_and_what_its_totals_tell(folder: Path) -> None:
    spans = {
        "metric": "accuracy",
        "federated": [0.93, 0.99],
        "fedavg": [0.92, 0.98],
        "pooled": [0.94, 1.0],
        "alone": [[0.81, 0.95], [None, None], [0.82, 0.96]],
    }
    told = result(
        hospitals=["north", "<b>south</b>", "west"],
        intervals=spans,
        warnings=["a round samples 2 of 3"],
        disclosed=[{"party": 2, "hospital": "north", "rows": 1234, "loss": 0.3}],
    )
    (folder / "result.json").write_text(json.dumps(told), encoding="utf-8")
    assert "intervals.svg" in [path.name for path in run_page.write(folder)]
    text = (folder / "report.html").read_text(encoding="utf-8")
    for said in (
        "north alone",
        "&lt;b&gt;south&lt;/b&gt; alone",
        "95% of accuracy",
        "0.930 to 0.990",
        "party 2 (north): 1,234 rows, loss about 0.300 at evaluation",
        "a round samples 2 of 3",
    ):
        assert said in text, said
    assert "<b>south" not in text


def test_a_run_whose_measure_is_nowhere_known_has_a_page(folder: Path) -> None:
    nothing = [None, None]
    spans = {"metric": "auc", "federated": nothing, "fedavg": nothing, "pooled": nothing, "alone": [nothing] * 3}
    named = {"data": "/home/me/ward <7>.csv", "dataset": "breast-cancer", "strategy": "shamir"}
    (folder / "result.json").write_text(json.dumps(result(intervals=spans, configuration=named)), encoding="utf-8")
    assert "intervals.svg" not in [path.name for path in run_page.write(folder)]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "<title>ward &lt;7&gt; across 3 hospitals</title>" in text and "breast-cancer" not in text


def test_the_command_says_what_it_wrote(folder: Path, made: Any, tmp_path: Path, fed: Any) -> None:
    code, out, err = fed("report", str(folder))
    assert (code, err) == (0, "") and out.strip() == str(folder / "report.html")
    other = tmp_path / "comparison"
    other.mkdir()
    found = made.comparison([made.cell("shamir", 3, 10), made.cell("shamir", 10, 10)])
    (other / "comparison.json").write_text(found.model_dump_json(), encoding="utf-8")
    code, out, err = fed("report", str(other), "--json")
    written = json.loads(out)["written"]
    assert (code, err) == (0, "") and written[-1] == str(other / "report.html") and str(other / "cells.csv") in written
    assert all(Path(path).is_file() for path in written)


def test_a_network_of_one_s_own_is_added(folder: Path, made: Any, tmp_path: Path, fed: Any) -> None:
    other = tmp_path / "comparison"
    other.mkdir()
    found = made.comparison([made.cell("shamir", 10, 10), made.cell("shamir", 3, 10, status="refused")])
    (other / "comparison.json").write_text(found.model_dump_json(), encoding="utf-8")
    code, out, err = fed("report", str(other), "--network", "clinic=30,50,5")
    assert (code, err) == (0, "") and out.strip() == str(other / "report.html")
    text = (other / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert "clinic (50 Mbit/s down, 5 Mbit/s up, 30 ms)" in text
    assert "seconds_clinic" in (other / "cells.csv").read_text(encoding="utf-8")
    for path, network, said in (
        (other, "clinic=30,50", "NAME=LATENCY,DOWN,UP was"),
        (folder, "a=1,2,3", "has no comp"),
    ):
        code, _, err = fed("report", str(path), "--network", network)
        assert code == 2 and said in err


def test_help_has_an_example(fed: Any) -> None:
    code, out, _ = fed("report", "--help")
    assert code == 0 and "fedsec report results/" in out and "--json" in out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (None, "", "has neither comparison.json nor result.json"),
        ("comparison.json", "{", "is not a comparison of this release: the file: Invalid JSON"),
        ("comparison.json", "[]", "is not a comparison of this release"),
        ("comparison.json", '{"format": 1}', "title: Field required"),
        ("result.json", "\x00", "is not a run of this release"),
        ("result.json", json.dumps(result(format=2)), "format: Input should be 1"),
        ("result.json", json.dumps({"format": 1}), "configuration: Field required"),
    ],
)
def test_what_cannot_be_shown_is_said(tmp_path: Path, fed: Any, name: str | None, content: str, said: str) -> None:
    if name:
        (tmp_path / name).write_text(content, encoding="utf-8")
    code, out, err = fed("report", str(tmp_path))
    assert code == 2 and out == "" and said in err and str(tmp_path) in err and "Traceback" not in err
    assert not (tmp_path / "report.html").exists()


def test_a_format_of_the_future_is_refused(made: Any, tmp_path: Path) -> None:
    found = made.comparison([made.cell("shamir", 3, 10)], format=7)
    (tmp_path / "comparison.json").write_text(found.model_dump_json(), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="format"):
        make(tmp_path)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, fed: Any) -> None:
    code, _, err = fed("report", str(tmp_path / "gone"))
    assert code == 2 and "is not a folder" in err and "was expected" in err


@pytest.mark.parametrize("text", ["round,stage\n1,train\n", "not a ledger\n\x00", "round,stage,phase\nx,y,z\n"])
def test_a_damaged_ledger_is_said(folder: Path, text: str) -> None:
    (folder / "ledger.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="ledger"):
        run_page.write(folder)


def test_the_page_has_the_agreement_of_the_run_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result()))
    run_page.write(tmp_path)
    assert "agreement-title" not in (tmp_path / "report.html").read_text()
    agreement().write(tmp_path / "agreement.toml")
    run_page.write(tmp_path)
    page = (tmp_path / "report.html").read_text()
    for said in ("agreement-title", "no hospital approved it", agreement().hash.hex(), "Stage train: the changes of 3"):
        assert said in page, said
    (tmp_path / "agreement.toml").write_text("a = ")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        run_page.write(tmp_path)
