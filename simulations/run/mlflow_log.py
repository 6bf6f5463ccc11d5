"""A run in MLflow: its options, its figures while it runs, and its files at the end. mlflow-skinny is an extra."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedsec.app.config import RunConfig
from fedsec.errors import ConfigurationError
from fedsec.simulations.run.scalars import Listen, Scalars

EXPERIMENT = "fedsec"
DATABASE = "mlflow.db"
"""In a folder: `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows it."""
WRITTEN = "written"
"""The event that says where a run's folder is; it comes last."""
FILES = ("result.json", "report.html", "model-card.md", "model.safetensors", "study.toml", "disclosure.json")


@contextmanager
def mlflow_writer(where: str, name: str, config: RunConfig) -> Iterator[Listen]:
    """Yields what logs a run's events into MLflow, and ignores them where `where` is empty.

    where: a folder, which gets a database, or the address of a tracking server. name: of the run there; its experiment
    is `fedsec`. A run that ends in an error is marked as failed. Paths of this machine are not logged.

    Raises ConfigurationError where MLflow is not installed, or nothing can be written there.
    """
    if not where:
        yield lambda event: None
        return
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigurationError("mlflow is not installed; run: pip install 'fedsec[mlflow]'")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    address, files = where, None
    try:
        if "://" not in where:
            folder = Path(where).expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True)
            address, files = f"sqlite:///{folder / DATABASE}", (folder / "artifacts").as_uri()
        client = MlflowClient(address)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT, artifact_location=files)
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_batch(run, params=[Param(key, str(value)) for key, value in _parameters(config).items()])
    except (MlflowException, OSError) as error:
        raise ConfigurationError(f"mlflow {where} cannot be written: {str(error).splitlines()[0]}") from error

    def write(step: int, figures: Mapping[str, float]) -> None:
        now = time.time_ns() // 1_000_000
        client.log_batch(run, metrics=[Metric(key, value, now, step) for key, value in figures.items()])

    scalars = Scalars(write)

    def listen(event: Mapping[str, Any]) -> None:
        if event["event"] == WRITTEN:
            for file in FILES:
                if (path := Path(event["folder"]) / file).is_file():
                    client.log_artifact(run, str(path))
        else:
            scalars(event)

    try:
        yield listen
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)


def _parameters(config: RunConfig) -> dict[str, Any]:
    """The options that are set; of files, which are paths of this machine, only what the data are called."""
    options = RunConfig.model_json_schema(by_alias=False)["properties"]
    return {
        **{name: value for name, value in config.model_dump().items() if value != "" and not options[name]["path"]},
        "dataset": config.data_name,
    }
