"""What surrounds the messages: the run's configuration, the app's files, and the randomness of training."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import APP_DIR

from fedsec.app import client_app, own_rows
from fedsec.app.config import RunConfig
from fedsec.data import preparation
from fedsec.data.table_columns import of_columns
from fedsec.flower import bundle
from fedsec.flower.records import from_numpy, to_numpy
from fedsec.learning.local_training import client_update
from tests.app.test_deployment import SCHEMA, Deployment
from tests.disclosure.attacked import FIRST, Real, deployed, refused, simulated

HOSPITALS = 4
OPTIONS: dict[str, Any] = {"weights": "equal", "clip": 4.0}


def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    return model + 1, {}


@pytest.mark.slow
def test_a_configuration_of_its_own_for_one_hospital_is_refused_there(tmp_path: Path) -> None:
    """It would, say, have one hospital train alone: the mean would be a known number, but for that hospital's update.

    The others answer; with a cohort of all, nothing is opened then.
    """
    server = simulated(train, HOSPITALS, **OPTIONS)
    server.grid.contexts[FIRST + 1].run_config = {"rate": 0.0}
    server.asks(server.founds(), np.zeros(2))
    assert server.grid.reasons == []
    server = deployed(
        tmp_path, train, HOSPITALS, {"train": 3}, np.zeros(2), changes={"configuration": {"rate": 0.1}}, **OPTIONS
    )
    for context in server.grid.contexts.values():
        context.run_config = {"rate": 0.1}
    server.asks(server.founds(), np.zeros(2))
    server.grid.contexts[FIRST + 1].run_config = {"rate": 0.0}
    with refused(server, "run configuration 'rate' is 0.0; agreed was 0.1", hospitals=1):
        server.asks(server.founds(), np.ones(2))


@pytest.mark.slow
def test_a_foreign_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Flower installs it: in a folder of its home, from which the process imports."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    app = tmp_path / "home" / APP_DIR / "study"
    app.mkdir(parents=True)
    (app / "client_app.py").write_text("app = 1\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(app), *sys.path])
    agreed = bundle.installed()
    assert agreed == bundle.digest_of_folder(app)
    server = deployed(tmp_path / "study", train, HOSPITALS, {"train": 3}, np.zeros(2), **OPTIONS)
    assert server.agreement is not None and server.agreement.bundle == agreed
    server.asks(server.founds(), np.zeros(2))
    (app / "client_app.py").write_text("app = 2\n", encoding="utf-8")
    with refused(server, f"app bundle is '{bundle.digest_of_folder(app)}'; agreed was '{agreed}'"):
        server.asks(server.founds(), np.ones(2))


def test_a_server_that_knows_seed_and_rows_cannot_repeat_a_deployed_hospital_s_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it could, it would tell by equality whether a patient's row was trained on."""
    study = Deployment(tmp_path, 3, **{"batch-size": 8, "epochs": 1, "rounds": 1, "seed": 5})
    together = {name: [value for part in study.parts for value in part[name]] for name in study.parts[0]}
    prepared = preparation.pooled(of_columns("pooled", together, SCHEMA, ""))
    config, context = RunConfig.read(study.options), study.contexts[0]
    context.node_config["partition-id"] = 0  # as simulated nodes have, whose draws follow from it
    training = config.training("classification")
    model = training.model.initial(len(prepared.features()), config.seed)
    share = prepared.apply(of_columns("part", study.parts[0], SCHEMA, ""))
    asked = ConfigRecord({"schema": SCHEMA.to_toml(), "preparation": prepared.to_json(), "server-round": 1})
    content = RecordDict({"config": asked, "arrays": from_numpy(model)})

    def repeated() -> int:
        """How many of ten answers are what the server computes from the seed, for one of the hospitals' numbers."""
        guesses = [
            client_update(training, 1, hospital, model, share.features, share.target)[0]
            for hospital in (0, 1, 2, context.node_id % 2**32)
        ]
        found = 0
        for _ in range(10):
            message = Message(content, dst_node_id=context.node_id, message_type="train")
            answer = to_numpy(client_app.train(message, context).content)
            found += any(all(np.array_equal(answer[name], guess[name]) for name in guess) for guess in guesses)
        return found

    assert repeated() == 0
    monkeypatch.setattr(own_rows, "index", lambda _: 0)  # the rule taken out: draws that follow from the seed
    assert repeated() == 10
