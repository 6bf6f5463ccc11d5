"""A real ClientApp with the mod, other mods, and replies that are errors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod
from flwr.common.constant import ErrorCode
from flwr.serverapp.strategy import FedAvg

from fedsec.errors import FedsecError, RunFailed
from fedsec.flower import SecureAggregation, secure_aggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import ProcessGrid, pinned
from tests.flower.test_flower_glue import add_one

pytestmark = pytest.mark.usefixtures("simulated")
REASON = "patient 4711 has no glucose value"


def made(everywhere: list[Any], training: list[Any]) -> ClientApp:
    app = ClientApp(mods=everywhere)
    app.train(mods=training)(add_one)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        metrics = MetricRecord({"num-examples": 10, "loss": 0.5})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def over(app: ClientApp, **settings: Any) -> SecureAggregation:
    grid = ProcessGrid(add_one)
    grid.mod = lambda message, context, _: app(message, context)
    secure = SecureAggregation(FedAvg(**settings), "plain", sessions=RunSessions())
    secure.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=2)
    return secure


@pytest.mark.slow
def test_noise_of_training_goes_to_the_train_function(caplog: pytest.LogCaptureFixture) -> None:
    noise = LocalDpMod(clipping_norm=100.0, sensitivity=1e-9, epsilon=1.0, delta=0.5)
    assert [one.included for one in over(made([secure_aggregation], [noise])).rounds] == [5, 5, 5, 5]
    caplog.clear()
    whole = over(made([secure_aggregation, noise], []))
    assert [bool(one.failure) for one in whole.rounds] == [False, True, False, True], "it fails on evaluation replies"
    (said,) = {reason for _, _, reason in whole.rounds[1].incidents}
    assert said.startswith("ClientAppError: the app returned an error: ") and "LocalDpMod" in said


def refusing(message: Message, context: Context) -> Message:
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, REASON), reply_to=message)


def test_why_an_app_returned_an_error_is_told_in_simulation() -> None:
    app = ClientApp(mods=[secure_aggregation])
    app.train()(refusing)
    with pytest.raises(RunFailed) as failed:
        over(app, fraction_evaluate=0.0)
    assert REASON in str(failed.value)


@pytest.mark.slow
def test_why_an_app_returned_an_error_stays_in_a_hospital_s_own_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lead(grid: ProcessGrid, **keywords: Any) -> SecureAggregation:
        inner = FedAvg(fraction_evaluate=0.0)
        secure = SecureAggregation(inner, "secagg", sessions=RunSessions(), **keywords)
        secure.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=1)
        return secure

    grid, agreement, server = pinned(tmp_path, refusing, rehearsal=lambda: lead(ProcessGrid(add_one)))
    caplog.clear()
    with pytest.raises(FedsecError) as failed:
        lead(grid, identity=server, agreement=agreement)
    assert not [text for text in (str(failed.value), *grid.reasons) if REASON in text]
    told = [record for record in caplog.records if record.levelno == logging.WARNING and REASON in record.getMessage()]
    assert len(told) >= len(grid.contexts)
