"""A metric that too few hospitals could compute is NaN to the app; an exception of its aggregation keeps the model."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.exception import AppExitException
from flwr.serverapp.strategy import FedAdam, FedAvg, Result

from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import App, ProcessGrid
from tests.tiers import slow

pytestmark = pytest.mark.usefixtures("simulated")
Aggregate = Callable[[list[RecordDict], str], MetricRecord]


def lacking(first: int, without: int = 2) -> App:
    """An app of which so many nodes lack `auc` and one bin from this round on."""

    def app(message: Message, context: Context) -> Message:
        number, place = int(message.content["config"]["server-round"]), context.node_id - 100
        value = math.nan if number >= first and place < without else 0.8
        metrics = MetricRecord({"num-examples": 10 + place, "loss": 0.5, "auc": value, "bins": [0.25, value, 1.0]})
        arrays = {name: Array(np.asarray(one.numpy() + 1)) for name, one in message.content["arrays"].items()}
        trained = {"arrays": ArrayRecord(arrays)} if message.metadata.message_type == "train" else {}
        return Message(RecordDict({**trained, "metrics": metrics}), reply_to=message)

    return app


def run(app: App, rounds: int = 3, inner: FedAvg | None = None, nodes: int = 4) -> tuple[SecureAggregation, Result]:
    secure = SecureAggregation(inner or FedAvg(), "plain", sessions=RunSessions())
    model = ArrayRecord({"w": Array(np.zeros(3))})
    return secure, secure.start(ProcessGrid(app, nodes), model, num_rounds=rounds)


def weighted(replies: list[RecordDict], key: str) -> MetricRecord:
    """The weighted mean of one metric, by its key, as an app writes it."""
    records = [next(iter(reply.metric_records.values())) for reply in replies]
    total: Any = sum(record[key] for record in records)
    return MetricRecord({"auc": sum(record[key] * record["auc"] for record in records) / total})  # type: ignore[operator, misc]


def same(one: Any, other: Any) -> bool:
    return np.allclose(one, other, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(("first", "function"), [(1, weighted), *slow([(2, weighted), (1, None), (2, None)])])
def test_a_withheld_metric_is_nan_to_the_app_as_without_fedsec(
    first: int, function: Aggregate | None, caplog: pytest.LogCaptureFixture
) -> None:
    settings: Any = {"train_metrics_aggr_fn": function, "evaluate_metrics_aggr_fn": function}
    secure, result = run(lacking(first), inner=FedAvg(**settings))
    plain = ProcessGrid(lacking(first), 4)
    plain.mod = lambda message, context, app: app(message, context)
    expected = FedAvg(**settings).start(plain, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=3)
    for got, wanted in (
        (result.train_metrics_clientapp, expected.train_metrics_clientapp),
        (result.evaluate_metrics_clientapp, expected.evaluate_metrics_clientapp),
    ):
        assert got.keys() == wanted.keys() == {1, 2, 3}
        for number, record in wanted.items():
            assert got[number].keys() == record.keys()
            assert math.isnan(float(record["auc"])) is (number >= first)  # type: ignore[arg-type]
            for key in ("auc", *(["loss"] if function is None else [])):
                assert same(got[number][key], record[key])
            if function is None:  # a list is withheld as a whole
                bins: Any = got[number]["bins"]
                assert same(bins, [math.nan] * 3 if number >= first else record["bins"])
    for outcome in secure.rounds:  # what is stored and shown has no NaN
        assert set(outcome.metrics or {}) == ({"loss"} if outcome.round >= first else {"auc", "bins", "loss"})
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert sum("metric 'auc' could not be computed by 2 of 4 hospitals and is withheld" in one for one in told) == 2 * (
        4 - first
    )


def strict(replies: list[RecordDict], key: str) -> MetricRecord:
    found = weighted(replies, key)
    if math.isnan(float(found["auc"])):  # type: ignore[arg-type]
        raise KeyError("auc")
    return found


@pytest.mark.parametrize(
    ("stage", "strategy"), [("train", FedAvg), *slow([("train", FedAdam), ("evaluate", FedAvg), ("evaluate", FedAdam)])]
)
def test_an_exception_of_the_app_s_function_keeps_the_rounds_before(
    stage: str, strategy: type[FedAvg], caplog: pytest.LogCaptureFixture
) -> None:
    inner = strategy(**{f"{stage}_metrics_aggr_fn": strict})  # type: ignore[arg-type]
    before = dict(vars(inner))
    with pytest.raises(RunFailed) as failed:
        run(lacking(3), inner=inner)
    text, result = str(failed.value), failed.value.result
    assert f"round 3 {stage}: {strategy.__name__}.{stage}_metrics_aggr_fn raised KeyError ('auc') in strict" in text
    assert "auc, bins are NaN, withheld" in text and isinstance(failed.value.__cause__, KeyError)
    assert isinstance(result, Result) and result.train_metrics_clientapp.keys() >= {1, 2}
    assert result.evaluate_metrics_clientapp.keys() == {1, 2}
    _, without = run(lacking(4), rounds=3 if stage == "evaluate" else 2, inner=strategy())
    assert same(result.arrays["w"].numpy(), without.arrays["w"].numpy())
    assert vars(inner).keys() - {"current_arrays", "m_t", "v_t"} == before.keys() - {"current_arrays", "m_t", "v_t"}


@pytest.mark.slow
def test_an_aggregation_of_a_subclass_is_named_and_flower_s_own_exceptions_pass() -> None:
    class Broken(FedAvg):
        def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
            if server_round == 2:
                raise failure
            return super().aggregate_evaluate(server_round, replies)

    failure: Exception = ValueError("no such thing")
    with pytest.raises(RunFailed, match=r"round 2 evaluate: Broken.aggregate_evaluate raised ValueError \(no such"):
        run(lacking(4), inner=Broken())
    failure = AppExitException("replies differ")
    with pytest.raises(AppExitException, match="replies differ"):
        run(lacking(4), inner=Broken())
