"""Whether a function that aggregates metrics gives over one weighted mean what it gives over single replies.

Secure aggregation shows the server one reply, the weighted mean. A function that takes a maximum, a deviation or a
count of replies would be wrong over it without a word, so each function is tried before its first result is used.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp.strategy import strategy_utils

from fedsec.errors import ConfigurationError

Aggregate = Callable[[list[RecordDict], str], MetricRecord]
Values = Mapping[str, float | Sequence[float]]

FUNCTIONS = {"train": "train_metrics_aggr_fn", "evaluate": "evaluate_metrics_aggr_fn"}
"""By stage, the attribute of a FedAvg that aggregates its metrics."""
DRAWS, REPLIES = 3, 4
_DRAW = secrets.SystemRandom()
CURE = (
    "Secure aggregation shows the server this one reply alone. Aggregate weighted means, or let clients send what a "
    "mean can be made of (counts, sums, squares); SecureAggregation(..., linear=True) skips this check"
)


def check(name: str, function: Aggregate, metrics: Values, weight_key: str) -> None:
    """Try `function` on made-up replies of unequal weight, and on their one weighted mean.

    name: of the function, for the error. metrics: what a real mean holds; replies are made up with the same keys and
    lengths, and values up to 3% nearer to 0, or well below and above: an accuracy stays below 1.

    Raises ConfigurationError where two results differ, or one is none.
    """
    if function is strategy_utils.aggregate_metricrecords:
        return
    for draw in range(DRAWS + REPLIES - 1):
        weights = _DRAW.sample(range(1, 1000), REPLIES)
        below = max(0, draw + 1 - DRAWS)
        values = {key: _apart(value, below) if below else _near(value) for key, value in metrics.items()}
        singles = [
            _record({key: drawn[place] for key, drawn in values.items()}, weight, weight_key)
            for place, weight in enumerate(weights)
        ]
        means = {key: np.average(drawn, axis=0, weights=weights) for key, drawn in values.items()}
        try:
            several = _result(name, function, singles, weight_key)
            one = _result(name, function, [_record(means, sum(weights), weight_key)], weight_key)
        except ConfigurationError:
            if not below:
                raise
            continue  # values so far apart may contradict each other, such as a mean and a mean of squares
        for key in sorted(several.keys() | one.keys()):
            _compare(name, key, several.get(key), one.get(key))


def _apart(value: float | Sequence[float], below: int) -> np.ndarray[Any, Any]:
    """The values of all replies, so many of them far below `value` and the others far above: across most thresholds.

    A share stays between 0 and 1.
    """
    centre = np.asarray(value, np.float64)
    centre = np.where(np.isfinite(centre) & (centre != 0), centre, 1.0)
    top = np.where((centre >= 0) & (centre <= 1), 1.0, 2 * centre)
    drawn = np.reshape([_DRAW.uniform(0.0, 0.1) for _ in range(REPLIES * centre.size)], (REPLIES, *centre.shape))
    first = np.reshape(np.arange(REPLIES) < below, (REPLIES, *[1] * centre.ndim))
    return np.where(first, centre * drawn, top - (top - centre) * drawn)


def _near(value: float | Sequence[float]) -> np.ndarray[Any, Any]:
    """The values of all replies, near `value`, or near 1 where that is 0 or not finite."""
    centre = np.asarray(value, np.float64)
    centre = np.where(np.isfinite(centre) & (centre != 0), centre, 1.0)
    shrunk = [_DRAW.uniform(0.97, 1.0) for _ in range(REPLIES * centre.size)]
    return centre * np.reshape(shrunk, (REPLIES, *centre.shape))


def _record(values: Mapping[str, np.ndarray[Any, Any]], weight: int, weight_key: str) -> RecordDict:
    metrics = {key: np.asarray(value).tolist() for key, value in values.items()}
    return RecordDict({"metrics": MetricRecord(cast(Any, {weight_key: weight, **metrics}))})


def _result(name: str, function: Aggregate, replies: list[RecordDict], weight_key: str) -> Mapping[str, Any]:
    count = f"{len(replies)} made-up replies" if len(replies) > 1 else "their one weighted mean"
    try:
        result = function(replies, weight_key)
    except Exception as error:
        raise ConfigurationError(f"{name} raises {type(error).__name__} ({error}) over {count}. {CURE}") from error
    if not isinstance(result, Mapping):
        raise ConfigurationError(f"{name} returns a {type(result).__name__} over {count}; a MetricRecord was expected")
    return result


def _compare(name: str, key: str, several: Any, one: Any) -> None:
    if several is None or one is None:
        where = "made-up replies" if one is None else "their one weighted mean"
        raise ConfigurationError(f"{name} gives {key!r} over {where} only. {CURE}")
    first, second = np.asarray(several, np.float64), np.asarray(one, np.float64)
    if first.shape != second.shape or not np.allclose(first, second, rtol=1e-9, atol=1e-15, equal_nan=True):
        raise ConfigurationError(
            f"{name} gives {key!r} = {_text(first)} over {REPLIES} made-up replies and {_text(second)} over their one "
            f"weighted mean. {CURE}"
        )


def _text(values: np.ndarray[Any, Any]) -> str:
    return f"{float(values):.6g}" if values.ndim == 0 else f"a list of {values.size}"
