"""`fedsec run` and `flwr run .` as a user types them, on real data, with every kind of strategy."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import load_file

from fedsec import cli
from fedsec.app import client_app, server_app
from fedsec.app.config import RunConfig
from fedsec.data import preparation
from fedsec.flower import server as glue
from fedsec.simulations.run import hospitals
from fedsec.simulations.run.launcher import flower_run
from fedsec.simulations.run.results import model_hash
from tests.flower.test_flower_glue import ProcessGrid

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "pairwise_masks.py"
SHORT = ("--rounds", "2", "--clients", "4", "--seed", "3", "--partition", "label-skew", "--phase-timeout", "3600")


def fedsec(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "fedsec"), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def result(folder: Path, *words: str) -> dict[str, Any]:
    done = fedsec("run", *SHORT, *words, "--output", str(folder), "--json", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document.pop("output") == str(folder)
    assert document == json.loads((folder / "result.json").read_text())
    return document


def sums(document: dict[str, Any]) -> list[str]:
    assert not any(outcome["failure"] for outcome in document["rounds"])
    return [outcome["sum_hash"] for outcome in document["rounds"]]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The study's ServerApp and ClientApp without Flower's runtime: the run's result.json."""
    for place in ("fedsec.flower.client", "fedsec.app.own_rows"):
        monkeypatch.setattr(f"{place}.in_simulation", lambda: True)
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # Flower's runtime sets them once

    def run(output: Path, **settings: Any) -> dict[str, Any]:
        monkeypatch.setattr(glue.PROCESS_SESSIONS, "_by_run", {})
        output.mkdir()
        settings = RunConfig(**settings, output=str(output)).model_dump(by_alias=True)
        grid = ProcessGrid(lambda *_: pytest.fail("the app is the study's"), settings["clients"])
        grid.mod = lambda message, context, app: client_app.client(message, context)
        for place, context in enumerate(grid.contexts.values()):
            context.run_config = settings
            context.node_config = {"partition-id": place, "num-partitions": settings["clients"]}
        server_app.main(grid, Context(1, 1, {}, RecordDict(), settings))
        document: dict[str, Any] = json.loads((output / "result.json").read_text())
        return document

    return run


@pytest.mark.slow
def test_a_file_from_elsewhere_under_flower_and_a_built_in_in_process_give_the_same_bits(
    tmp_path: Path, in_process: Any
) -> None:
    plug_in = tmp_path / "elsewhere" / "my_masks.py"
    plug_in.parent.mkdir()
    shutil.copy(EXAMPLE, plug_in)
    mine = result(tmp_path / "mine", "--strategy", str(plug_in))
    assert mine["configuration"]["strategy"] == "my_masks"
    shamir = in_process(tmp_path / "shamir", strategy="shamir", rounds=2, clients=4, seed=3, partition="label-skew")
    assert sums(shamir) == sums(mine)
    assert shamir["model_hash"] == mine["model_hash"]
    assert shamir["tolerance"] == {"ShareInput": 1, "SumShares": 1}
    check_files(tmp_path / "mine", mine)


def check_files(folder: Path, document: dict[str, Any]) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "figures",
        "ledger.csv",
        "model.safetensors",
        "report.html",
        "result.json",
        "run.log",
    ]
    assert {path.name for path in (folder / "figures").iterdir()} >= {"intervals.png", "curve-auc.svg"}
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


@pytest.mark.slow
def test_a_failed_run_says_why_and_leaves_the_old_result_alone(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "result.json").write_text("old")
    words = ("--learning-rate", "1e12", "--dataset", "diabetes", "--output", str(folder), "--force")
    done = fedsec("run", *SHORT, *words, cwd=tmp_path)
    assert done.returncode == 1
    assert "TooFewParties: phase ShareInput: 0 of 4 parties answered" in done.stderr
    assert "ClientAppError" in done.stderr and "Traceback" not in done.stderr
    assert (folder / "result.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["kept"]


@pytest.mark.slow
def test_flwr_run_works_from_a_clone_and_paillier_is_what_plain_is(tmp_path: Path, in_process: Any) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("fedsec", "strategies", "simulations"):
        shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", clone)
    output = tmp_path / "output"
    output.mkdir()
    setting = {"dataset": "diabetes", "model": "mlp", "rounds": 1, "phase-timeout": 3600.0}
    with flower_run(clone, {"strategy": "paillier", **setting, "output": str(output)}, 3) as live:
        live.wait()
        assert "pooled data" in live.log_tail(40)
    paillier = json.loads((output / "result.json").read_text())
    plain = in_process(tmp_path / "plain", strategy="plain", **setting, clients=3)
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
        (("--clip", "0"), "clip is 0"),
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
        (("--dataset", "randhie", "--clients", "5"), "randhie has 6 sites"),
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


@pytest.mark.slow
def test_a_misspelt_option_is_named(tmp_path: Path) -> None:
    done = fedsec("run", "--datset", "diabetes", cwd=tmp_path)
    assert done.returncode == 2 and "--dataset" in done.stderr
