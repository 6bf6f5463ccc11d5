"""A run in MLflow, where its extra is installed: options, figures by round and files, read back by MLflow itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from fedsec.app.config import RunConfig
from fedsec.errors import ConfigurationError
from fedsec.simulations.run.mlflow_log import DATABASE, EXPERIMENT, WRITTEN, mlflow_writer

pytestmark = pytest.mark.slow

EVENTS: list[dict[str, Any]] = [
    {"event": "phase", "bytes_up": 100, "bytes_down": 20, "cpu_seconds_max": 0.5},
    {"event": "tested", "round": 0, "loss": 0.7, "auc": None},
    {"event": "tested", "round": 1, "loss": 0.25, "auc": 0.9},
]


def test_without_an_address_nothing_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with mlflow_writer("", "one", RunConfig()) as listen:
        listen(EVENTS[0])
    assert not list(tmp_path.iterdir())


def test_without_mlflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"fedsec\[mlflow\]"), mlflow_writer(str(tmp_path), "one", RunConfig()):
        pass


@pytest.mark.exhaustive
def test_a_run_is_logged_and_read_back(tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("sqlalchemy")
    folder, where = tmp_path / "results", tmp_path / "runs"
    folder.mkdir()
    (folder / "result.json").write_text("{}")
    (folder / "rows.csv").write_text("of no file of a run")
    config = RunConfig(data=str(tmp_path / "rows.csv"), site="hospital", label="died", rounds=3)
    with mlflow_writer(str(where), "one", config) as listen:
        for event in EVENTS:
            listen(event)
        listen({"event": WRITTEN, "folder": str(folder)})
    with pytest.raises(ZeroDivisionError), mlflow_writer(str(where), "two", config):
        raise ZeroDivisionError
    client = tracking.MlflowClient(f"sqlite:///{where / DATABASE}")
    found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    runs = {run.info.run_name: run for run in found}
    assert {name: run.info.status for name, run in runs.items()} == {"one": "FINISHED", "two": "FAILED"}
    history = client.get_metric_history(runs["one"].info.run_id, "test/loss")
    assert [(one.step, one.value) for one in history] == [(0, 0.7), (1, 0.25)]
    assert runs["one"].data.metrics["cost/bytes"] == 120
    parameters = runs["one"].data.params
    assert parameters["dataset"] == "rows" and parameters["rounds"] == "3" and parameters["site"] == "hospital"
    assert not any(str(tmp_path) in value for value in parameters.values())
    assert [one.path for one in client.list_artifacts(runs["one"].info.run_id)] == ["result.json"]


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    pytest.importorskip("mlflow.tracking")
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigurationError, match="cannot be written"),
        mlflow_writer(str(tmp_path / "file" / "runs"), "one", RunConfig()),
    ):
        pass
