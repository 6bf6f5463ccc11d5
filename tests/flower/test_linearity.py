"""The trial of an aggregation function leaves nothing behind, wherever the function keeps what it has seen."""

from __future__ import annotations

import functools
import secrets
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
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


def weighed(weigh: Callable[[int], float]) -> linearity.Aggregate:
    """A mean in which a client with n rows counts `weigh(n)`."""

    def function(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        records: list[Any] = [next(iter(reply.metric_records.values())) for reply in replies]
        weights = [weigh(one[weight_key]) for one in records]
        return MetricRecord({"auc": float(np.average([one["auc"] for one in records], weights=weights))})

    return function


LIMITS: dict[str, Callable[[int], Callable[[int], float]]] = {
    "cap": lambda limit: lambda n: min(n, limit),
    "leave out small": lambda limit: lambda n: n * (n >= limit),
    "leave out large": lambda limit: lambda n: n * (n <= limit),
    "count at least": lambda limit: lambda n: max(n, limit),
    "small or large": lambda limit: lambda n: 1 if n < limit else 2,
    "half beyond": lambda limit: lambda n: n if n <= limit else n / 2,
}


@pytest.mark.parametrize("kind", LIMITS)
def test_a_limit_of_rows_is_found_wherever_it_lies(kind: str) -> None:
    lowest = 1 if kind not in ("leave out small", "count at least", "small or large") else 2  # at 1 they do nothing
    random = [secrets.randbelow(2 ** (1 + secrets.randbelow(30))) for _ in range(20)]
    for limit in {max(lowest, each) for each in (*(2**power for power in range(31)), *random)}:
        with pytest.raises(ConfigurationError, match=r"gives 'auc' =|raises ZeroDivisionError"):
            linearity.check("a function", weighed(LIMITS[kind](limit)), {"auc": 0.6}, "num-examples")


def in_32_bits(replies: list[RecordDict], weight_key: str) -> MetricRecord:
    records: list[Any] = [next(iter(reply.metric_records.values())) for reply in replies]
    rows = np.array([one[weight_key] for one in records], np.int32)
    values = np.array([one["auc"] for one in records], np.float32)
    return MetricRecord({"auc": float((rows.astype(np.float32) * values).sum() / rows.astype(np.float32).sum())})


LINEAR: dict[str, linearity.Aggregate] = {
    "mean": weighed(lambda n: n),
    "in 32 bits": in_32_bits,
    "rounded": lambda replies, key: MetricRecord({"auc": round(mean_of(replies, key), 4)}),
    "squared": lambda replies, key: MetricRecord({"auc": mean_of(replies, key) ** 2}),
    "per thousand": weighed(lambda n: n / 1000),
}


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.97, 3e6, -2.0, 1e-7])
def test_what_is_linear_is_never_refused(kind: str, value: float) -> None:
    for _ in range(20):
        linearity.check("a function", LINEAR[kind], {"auc": value}, "num-examples")
