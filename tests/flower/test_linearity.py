"""The trial of an aggregation function leaves nothing behind, wherever the function keeps what it has seen."""

from __future__ import annotations

import functools
import math
import secrets
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import MetricRecord, RecordDict

from fedsec.errors import ConfigurationError
from fedsec.flower import linearity
from tests.tiers import examples

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
    random = [secrets.randbelow(2 ** (1 + secrets.randbelow(30))) for _ in range(examples(20))]
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
    for _ in range(examples(8)):
        linearity.check("a function", LINEAR[kind], {"auc": value}, "num-examples")


def averages(replies: list[RecordDict], weight_key: str, *names: str) -> list[float]:
    """Weighted means of these metrics."""
    records: list[Any] = [reply["metrics"] for reply in replies]
    weights = [one[weight_key] for one in records]
    return [float(np.average([one[name] for one in records], weights=weights)) for name in names]


def deviation(replies: list[RecordDict], weight_key: str) -> MetricRecord:
    mean, squares = averages(replies, weight_key, "x", "xx")
    return MetricRecord({"deviation": math.sqrt(squares - mean**2)})


def adding_up(replies: list[RecordDict], weight_key: str) -> MetricRecord:
    shares = averages(replies, weight_key, "x", "y", "z")
    assert abs(sum(shares) - 1.0) < 1e-9
    return MetricRecord({"first": shares[0]})


@pytest.mark.parametrize(
    ("function", "metrics"),
    [
        (deviation, {"x": 140.0, "xx": 140.0**2 + 3.0**2}),
        (deviation, {"x": 37.0, "xx": 37.0**2 + 0.5**2}),
        (deviation, {"x": 60.0, "xx": 60.0**2 + 2.0**2}),
        (deviation, {"x": -0.001, "xx": 0.001**2 * (1 + 1e-4)}),
        (adding_up, {"x": 0.25, "y": 0.25, "z": 0.5}),
    ],
)
@pytest.mark.parametrize("time", range(5))
def test_a_function_that_refuses_values_which_contradict_each_other_is_used(
    function: linearity.Aggregate, metrics: dict[str, float], time: int
) -> None:
    """Made-up values keep no variance positive and no sum; closer ones do, and the real ones in the end."""
    linearity.check("a function", function, metrics, "num-examples")


def test_a_function_that_contradicts_itself_over_many_replies_alone_is_refused() -> None:
    def one_only(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        (reply,) = replies
        return MetricRecord({"x": float(reply["metrics"]["x"])})  # type: ignore[arg-type]

    with pytest.raises(ConfigurationError, match=r"raises ValueError .* over 4 made-up replies"):
        linearity.check("a function", one_only, {"x": 1.0}, "num-examples")

    def largest_deviation(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        records: list[Any] = [reply["metrics"] for reply in replies]
        return MetricRecord({"deviation": max(math.sqrt(one["xx"] - one["x"] ** 2) for one in records)})

    with pytest.raises(ConfigurationError, match=r"gives 'deviation'|raises ValueError .* over 4 made-up replies"):
        linearity.check("a function", largest_deviation, {"x": 37.0, "xx": 37.0**2 + 0.5**2}, "num-examples")


def test_a_function_that_reads_what_is_not_averaged_is_refused() -> None:
    def skipped(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        found = [reply.config_records["info"]["skipped"] for reply in replies if "info" in reply.config_records]
        return MetricRecord({"skipped": sum(map(int, found))})  # type: ignore[arg-type]

    def norm(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        arrays = [
            array.numpy() for reply in replies for record in reply.array_records.values() for array in record.values()
        ]
        return MetricRecord({"norm": max((float(np.linalg.norm(one)) for one in arrays), default=0.0)})

    with pytest.raises(ConfigurationError, match="reads the replies' config records, which are not averaged"):
        linearity.check("a function", skipped, {"x": 1.0}, "num-examples")
    with pytest.raises(ConfigurationError, match="reads the replies' arrays"):
        linearity.check("a function", norm, {"x": 1.0}, "num-examples")

    def printed(replies: list[RecordDict], weight_key: str) -> MetricRecord:
        assert "metric_records" in repr(replies[0]) and list(replies[0]) == ["metrics"]
        return MetricRecord({"x": averages(replies, weight_key, "x")[0]})

    linearity.check("a function", printed, {"x": 1.0}, "num-examples")
