"""`fedsec run` and `flwr run .` as a user types them, on real data, with every kind of strategy."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedsec import cli
from fedsec.app.config import RunConfig
from fedsec.data import preparation
from fedsec.simulations.run import flower_cli, hospitals, launcher
from fedsec.simulations.run.launcher import flower_run
from fedsec.simulations.run.results import model_hash
from tests.tiers import slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "pairwise_masks.py"
SAME = ("hospitals", "rows", "statistics", "quality", "intervals", "largest_difference_to_fedavg")
"""What of a result depends on data, seed and arithmetic alone."""
SHORT = ("--rounds", "2", "--clients", "4", "--seed", "3", "--partition", "label-skew", "--phase-timeout", "3600")


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray simulates one hospital at a time: each worker takes seconds to start."""
    monkeypatch.setattr(launcher, "_usable_cpus", lambda: 1)


def result(fed: Any, folder: Path, *words: str, short: tuple[str, ...] = SHORT) -> dict[str, Any]:
    code, out, err = fed("run", *short, *words, "--output", str(folder), "--json")
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    assert document.pop("output") == str(folder)
    assert document == json.loads((folder / "result.json").read_text())
    return document


def sums(document: dict[str, Any]) -> list[str]:
    assert not any(outcome["failure"] for outcome in document["rounds"])
    return [outcome["sum_hash"] for outcome in document["rounds"]]


@pytest.mark.slow
@pytest.mark.usefixtures("one_worker")
def test_a_run_under_flower_and_one_in_one_process_give_the_same_bits(fed: Any, tmp_path: Path) -> None:
    """Under Flower by a strategy from a file, here by a built-in one: all strategies sum the same integers."""
    plug_in = tmp_path / "elsewhere" / "their_masks.py"
    plug_in.parent.mkdir()
    shutil.copy(EXAMPLE, plug_in)
    mine = result(fed, tmp_path / "mine", "--strategy", str(plug_in))
    assert mine["configuration"]["strategy"] == "their_masks"
    check_files(tmp_path / "mine", mine)
    local = result(fed, tmp_path / "local", "--strategy", "shamir", "--engine", "local")
    assert sums(local) == sums(mine)
    assert local["model_hash"] == mine["model_hash"]
    assert [local[key] for key in SAME] == [mine[key] for key in SAME]
    check_files(tmp_path / "local", local)
    assert local["tolerance"] == {"ShareInput": 1, "SumShares": 1}


def check_files(folder: Path, document: dict[str, Any]) -> None:
    strategy = f"{document['configuration']['strategy']}.py"  # a copy, where it came from a file
    assert sorted(path.name for path in folder.iterdir() if path.name != strategy) == [
        "agreement.toml",
        "disclosure.json",
        "figures",
        "ledger.csv",
        "model-card.md",
        "model.safetensors",
        "report.html",
        "result.json",
        "run.log",
        "study.toml",
    ]
    assert {path.name for path in (folder / "figures").iterdir()} >= {"intervals.svg", "curve-auc.svg"}
    assert model_hash(load_file(folder / "model.safetensors")) == document["model_hash"]
    with (folder / "ledger.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({(row["round"], row["stage"], row["phase"], row["role"]) for row in rows}) == len(rows)
    for phase, stage in itertools.product(document["tolerance"], ("train", "evaluate")):
        assert sum(row["phase"] == phase and row["stage"] == stage for row in rows) == 2 * 2
    assert all(int(row["bytes_up"]) > 0 and float(row["cpu_seconds"]) > 0 for row in rows)
    quality = document["quality"]
    assert len(quality["alone"]) == 4 and len(quality["by_round"]) == 2
    assert np.isclose(quality["federated"]["loss"], quality["fedavg"]["loss"], atol=1e-4)
    assert document["tolerance"]
    assert document["configuration"]["clients"] == 4
    assert [outcome["clipped"] for outcome in document["rounds"]] == [0] * 5
    check_statistics(document)


def check_statistics(document: dict[str, Any]) -> None:
    """What the secure sums said of the rows is what all rows in one place say, to the resolution of a metric."""
    setting = document["configuration"]
    names = ("dataset", "partition", "seed", "clients")
    config = RunConfig.read({name: setting[name] for name in names})
    here = hospitals.of_config(config, config.clients)
    told, expected = document["statistics"], preparation.pooled(here.train)
    assert told["rows"] == expected.rows == sum(document["rows"])
    for one, other in zip(told["numbers"], expected.numbers, strict=True):
        assert one["present"] == other.present
        assert one["mean"] == pytest.approx(other.mean, rel=1e-9)
        assert one["deviation"] == pytest.approx(other.deviation, rel=1e-6)
    assert told["target_mean"] == pytest.approx(expected.target_mean, rel=1e-12)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("one_worker")
def test_a_failed_run_says_why_and_leaves_the_old_result_alone(fed: Any, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "result.json").write_text("old")
    words = ("--learning-rate", "1e12", "--dataset", "diabetes", "--output", str(folder), "--force")
    code, _, err = fed("run", *SHORT, *words)
    assert code == 1
    assert "TooFewParties: phase ShareInput: 0 of 4 parties answered" in err
    assert "ClientAppError" in err and "Traceback" not in err
    assert (folder / "result.json").read_text() == "old"
    log = tmp_path / "kept-failed.log"
    assert f"Its log is {log}" in err and "Traceback" in log.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "kept-failed.log"]


@pytest.mark.exhaustive
def test_where_ray_does_not_start_its_reason_is_given_and_a_way_around(
    fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower_cli, "LONGEST_RAY_ROOT", 0)
    monkeypatch.setitem(flower_cli._SETTINGS, "RAY_TMPDIR", "/dev/null/ray")  # no folder can be made there
    code, out, err = fed("run", *SHORT, "--output", "out")
    assert (code, out) == (1, "")
    assert "Ray failed: " in err and "/dev/null/ray" in err and "--engine local" in err
    assert "Ending simulation" not in err and "Traceback" not in err
    assert "/dev/null/ray" in (tmp_path / "out-failed.log").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out-failed.log"]


@pytest.mark.exhaustive
def test_flwr_run_works_from_a_clone_and_paillier_is_what_plain_is(fed: Any, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("fedsec", "strategies", "simulations"):
        shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", clone)
    output = tmp_path / "output"
    output.mkdir()
    setting: dict[str, Any] = {"dataset": "diabetes", "model": "mlp", "rounds": 1, "phase-timeout": 3600.0}
    with flower_run(clone, {"strategy": "paillier", **setting, "output": str(output)}, 3) as live:
        live.wait()
        assert "pooled data" in live.log_tail(40)
    paillier = json.loads((output / "result.json").read_text())
    words = itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in setting.items())
    short = ("--clients", "3", "--engine", "local")
    plain = result(fed, tmp_path / "plain", "--strategy", "plain", *words, short=short)
    assert paillier["configuration"]["model"] == "mlp" and len(paillier["rows"]) == 3
    assert sums(paillier) and sums(paillier) == sums(plain)
    assert paillier["model_hash"] == plain["model_hash"]
    assert paillier["quality"]["federated"].keys() == {"rmse", "r2"}
    assert paillier["configuration"]["parameters"]["key_bits"] == 3072


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--strategy", "shamyr"), "did you mean 'shamir'?"),
        (("--strategy", "nowhere.py"), "does not exist"),
        (("--dataset", "diabets"), "did you mean 'diabetes'?"),
        (("--model", "cnn"), "unknown model 'cnn'"),
        (("--model", "linear"), "does not do classification"),
        (("--partition", "skew"), "partition"),
        (("--aggregator", "krum"), "unknown aggregator 'krum'"),
        (("--clients", "2"), "at least 3 hospitals"),
        (("--clients", "200"), "455 training rows for 200 hospitals"),
        (("--rounds", "0"), "rounds is 0"),
        (("--clip", "-1"), "clip is -1"),
        (("--clip", "nan"), "clip"),
        (("--largest-weight", "10"), "largest-weight is 10"),
        (("-p", "threshold=9"), "threshold is 9 and the cohort has 5 clients"),
        (("-p", "threshold=2"), "a cohort of 5 needs at least 3"),
        (("-p", "treshold=3"), "did you mean 'threshold'?"),
        (("-p", "threshold"), "NAME=VALUE was expected"),
        (("-p", "value_bits=59"), "bits"),
        (("-p", "floor=6"), "below the floor of 6"),
        (("--strategy", "paillier", "-p", "key_bits=1024"), "key_bits is 1024; it must be a multiple of 2"),
        (("--strategy", "paillier", "-p", "witness=1"), "must differ"),
        (("--data", "rows.csv"), "site is not set"),
        (("--data", "gone.csv", "--site", "a", "--label", "b"), "gone.csv cannot be read"),
        (("--data", "rows.csv", "--site", "a", "--label", "d"), "unknown column for label 'd'"),
        (("--data", "rows.csv", "--site", "a", "--label", "b"), "'x' is not a number"),
        (("--site", "a"), "site is 'a', but there are no rows for it: set data"),
        (("--fraction", "0"), "fraction"),
        (("--cohort", "some"), "cohort"),
        *slow([(("--dataset", "randhie", "--clients", "5"), "randhie has 6 sites")]),  # which takes a second to read
        (("--output", "taken"), "exists already; choose another, or replace it with --force"),
        (("--output", "taken", "--force"), "is not the folder of an earlier run"),
        (("--output", "file/below"), "cannot be written"),
    ],
)
def test_what_cannot_work_ends_at_once_with_status_2(
    tmp_path: Path,
    words: tuple[str, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "rows.csv").write_text("a,b,c\n1,0,1\n1,1,2\n1,0,x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fedsec", "run", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert expected in " ".join(capsys.readouterr().err.split())
    assert sorted(os.listdir(tmp_path)) == ["file", "rows.csv", "taken"]


def test_a_misspelt_option_is_named(fed: Any) -> None:
    code, _, err = fed("run", "--datset", "diabetes")
    assert code == 2 and "--dataset" in err
