"""The trial of an aggregation function leaves nothing behind, wherever the function keeps what it has seen."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import MetricRecord, RecordDict

from fedsec.errors import ConfigurationError
from fedsec.flower import linearity

GLOBAL: list[float] = []


def mean_of(replies: list[RecordDict], weight_key: str) -> float:
    records: list[Any] = [next(iter(reply.metric_records.values())) for reply in replies]
    return float(sum(one[weight_key] * one["auc"] for one in records) / sum(one[weight_key] for one in records))


def seen(replies: list[RecordDict], weight_key: str, history: list[float]) -> MetricRecord:
    history.append(mean_of(replies, weight_key))
    return MetricRecord({"auc": history[-1], "best": max(history), "round": len(history)})


class Keeper:
    def __init__(self) -> None:
        self.history: list[float] = []

    def method(self, replies: list[RecordDict], weight_key: str) -> MetricRecord:
        return seen(replies, weight_key, self.history)

    __call__ = method


def method() -> tuple[linearity.Aggregate, list[float]]:
    keeper = Keeper()
    return keeper.method, keeper.history


def instance() -> tuple[linearity.Aggregate, list[float]]:
    keeper = Keeper()
    return keeper, keeper.history


def closure() -> tuple[linearity.Aggregate, list[float]]:
    history: list[float] = []
    return lambda replies, weight_key: seen(replies, weight_key, history), history


def closure_of_closure() -> tuple[linearity.Aggregate, list[float]]:
    inner, history = closure()
    return lambda replies, weight_key: inner(replies, weight_key), history


def partial() -> tuple[linearity.Aggregate, list[float]]:
    history: list[float] = []
    return functools.partial(seen, history=history), history


def default() -> tuple[linearity.Aggregate, list[float]]:
    history: list[float] = []

    def function(replies: list[RecordDict], weight_key: str, kept: list[float] = history) -> MetricRecord:
        return seen(replies, weight_key, kept)

    return function, history


def attribute() -> tuple[linearity.Aggregate, list[float]]:
    history: list[float] = []

    def function(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        return seen(replies, weight_key, function.history)  # type: ignore[attr-defined]

    function.history = history  # type: ignore[attr-defined]
    return function, history


@pytest.mark.parametrize("made", [method, instance, closure, closure_of_closure, partial, default, attribute])
def test_no_made_up_value_stays(made: Callable[[], tuple[linearity.Aggregate, list[float]]]) -> None:
    function, history = made()
    linearity.check("a function", function, {"auc": 0.6}, "num-examples")
    assert history == []
    reply = RecordDict({"metrics": MetricRecord({"auc": 0.6, "num-examples": 10})})
    assert dict(function([reply], "num-examples")) == {"auc": 0.6, "best": 0.6, "round": 1}
    assert history == [0.6]


def test_values_kept_in_globals_are_refused() -> None:
    GLOBAL.clear()
    with pytest.raises(ConfigurationError, match=r"'(best|round)'.*linear=True"):
        linearity.check("a function", lambda replies, key: seen(replies, key, GLOBAL), {"auc": 0.6}, "num-examples")


def test_a_best_kept_in_globals_shows_over_the_real_mean() -> None:
    """Over several replies and over their mean it is the same; over the real mean it is not, before and after."""
    GLOBAL[:] = [2.0]

    def function(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        GLOBAL[0] = min(GLOBAL[0], mean_of(replies, weight_key))
        return MetricRecord({"best": GLOBAL[0]})

    with pytest.raises(ConfigurationError, match=r"'best'.*linear=True"):
        linearity.check("a function", function, {"auc": 0.6}, "num-examples")


def test_what_cannot_be_copied_is_refused_with_the_cure() -> None:
    lock = threading.Lock()

    def function(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        with lock:
            return MetricRecord({"auc": mean_of(replies, weight_key)})

    with pytest.raises(ConfigurationError, match=r"cannot be copied \(TypeError.*linear=True"):
        linearity.check("a function", function, {"auc": 0.6}, "num-examples")
