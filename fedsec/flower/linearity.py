"""Whether a function that aggregates metrics gives over one weighted mean what it gives over single replies.

Secure aggregation shows the server one reply, the weighted mean. A function that takes a maximum, a deviation or a
count of replies would be wrong over it without a word, so each function is tried before its first result is used.
"""

from __future__ import annotations

import copy
import functools
import secrets
import types
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
REPLIES = 4
SPREADS = (0.03, 1e-3, 1e-5, 0.0)
"""How far made-up values are from the real mean, relatively. Where a function raises over the replies and over their
mean, because the values contradict each other, the next is tried."""
WINDOWS = [range(low, low + REPLIES) for low in range(0, 28, 2)] + [(26, 27, 28, 30)]
"""Of each draw of the trial, the powers of 2 from which its replies' weights begin: across every limit of rows up to
2^30, with a total that 32 bits hold."""
WEIGHT = 1000
"""The number of examples of the real mean in the trial."""
TOLERANCE = 1e-6
"""How far two results may be apart, relatively: a function may compute in float32."""
_RANDOM = secrets.SystemRandom()
RECORDS = (
    'The one reply has its metrics in the record "metrics", whatever the clients\' record is called: '
    "next(iter(reply.metric_records.values())) reads a record of any name"
)
UNREAD = (
    "which are not averaged: let clients send numbers as metrics, of which the mean is taken; "
    "SecureAggregation(..., linear=True) skips this check"
)
CURE = (
    "Secure aggregation shows the server this one reply alone. Aggregate weighted means, or let clients send what a "
    "mean can be made of (counts, sums, squares); SecureAggregation(..., linear=True) skips this check"
)


class RaisedInTrial(ConfigurationError):
    """The function raised an exception over made-up replies, or over their mean."""


class Tried(RecordDict):
    """A made-up reply. What no mean is taken of cannot be read from it: the one real reply would lack it."""

    @property
    def config_records(self) -> Any:
        """Refused."""
        raise ConfigurationError(f"it reads the replies' config records, {UNREAD}")

    @property
    def array_records(self) -> Any:
        """Refused."""
        raise ConfigurationError(f"it reads the replies' arrays, of which the one reply has the new model's. {CURE}")

    def __repr__(self) -> str:
        return repr(RecordDict({**self}))


def check(name: str, function: Aggregate, metrics: Values, weight_key: str) -> None:
    """Try `function` on made-up replies of unequal weight, and on their one weighted mean.

    name: of the function, for the error. metrics: what a real mean holds; replies are made up with the same keys and
    lengths, and values up to 3% nearer to 0, or well below and above: an accuracy stays below 1. Their weights lie
    from 1 to 10^9, so that a function which caps weights, or leaves out small or large ones, shows itself.

    Each call is of a fresh copy, so that no made-up value stays in what the function keeps: its object's attributes,
    its closure, its own attributes. What it keeps elsewhere, such as in globals, it shows by another result over the
    same mean after the draws than before them.

    Raises ConfigurationError where two results differ, where one is none, or where the function cannot be copied.
    """
    if function is strategy_utils.aggregate_metricrecords:
        return
    before = _over_the_mean(name, function, metrics, weight_key)
    _draw(name, function, metrics, weight_key)
    after = _over_the_mean(name, function, metrics, weight_key)
    for key in sorted(before.keys() & after.keys()):
        if not _equal(before[key], after[key]):
            raise ConfigurationError(
                f"{name} gives {key!r} = {_text(np.asarray(before[key]))} over the weighted mean and, after a trial "
                f"on made-up replies, {_text(np.asarray(after[key]))}: it draws at random, or keeps values outside of "
                "itself, such as in globals. Let it keep them in attributes of its own object; "
                "SecureAggregation(..., linear=True) skips this check"
            )


def _draw(name: str, function: Aggregate, metrics: Values, weight_key: str) -> None:
    for window in WINDOWS:
        weights = list(map(_weight, window))
        for spread in SPREADS:
            near = {key: _near(value, spread) for key, value in metrics.items()}
            if _agree(name, function, near, weights, weight_key, contradict=bool(spread)):
                break
    for below in range(1, REPLIES):
        apart = {key: _apart(value, below) for key, value in metrics.items()}
        _agree(name, function, apart, _RANDOM.sample(range(1, 1000), REPLIES), weight_key, contradict=True)


def _agree(
    name: str,
    function: Aggregate,
    values: Mapping[str, np.ndarray[Any, Any]],
    weights: Sequence[int],
    weight_key: str,
    contradict: bool,
) -> bool:
    """Whether the function gave anything over these replies, which it then gives over their one mean as well.

    contradict: whether the values may contradict each other, such as a mean and a mean of squares, or shares that no
    longer add up to 1: the function may then raise over the replies, if it does over their mean too.
    """
    singles = [
        _record({key: drawn[place] for key, drawn in values.items()}, weight, weight_key)
        for place, weight in enumerate(weights)
    ]
    means = {key: np.average(drawn, axis=0, weights=weights) for key, drawn in values.items()}
    mean = [_record(means, sum(weights), weight_key)]
    try:
        several = _result(name, function, singles, weight_key)
    except RaisedInTrial:
        if not contradict:
            raise
        try:
            _result(name, function, mean, weight_key)
        except RaisedInTrial:
            return False
        raise
    one = _result(name, function, mean, weight_key)
    for key in sorted(several.keys() | one.keys()):
        _compare(name, key, several.get(key), one.get(key))
    return True


def _apart(value: float | Sequence[float], below: int) -> np.ndarray[Any, Any]:
    """The values of all replies, so many of them far below `value` and the others far above: across most thresholds.

    A share stays between 0 and 1.
    """
    centre = np.asarray(value, np.float64)
    centre = np.where(np.isfinite(centre) & (centre != 0), centre, 1.0)
    top = np.where((centre >= 0) & (centre <= 1), 1.0, 2 * centre)
    drawn = np.reshape([_RANDOM.uniform(0.0, 0.1) for _ in range(REPLIES * centre.size)], (REPLIES, *centre.shape))
    first = np.reshape(np.arange(REPLIES) < below, (REPLIES, *[1] * centre.ndim))
    return np.where(first, centre * drawn, top - (top - centre) * drawn)


def _near(value: float | Sequence[float], spread: float) -> np.ndarray[Any, Any]:
    """The values of all replies, within this share of `value`, or near 1 where that is 0 or not finite.

    They rise or fall from reply to reply, as weights do, so that less weight on some is never made up for by others.
    """
    centre = np.asarray(value, np.float64)
    centre = np.where(np.isfinite(centre) & ((centre != 0) | (spread == 0)), centre, 1.0)
    drawn = np.reshape([_RANDOM.uniform(0.0, 1.0) for _ in range(REPLIES * centre.size)], (REPLIES, *centre.shape))
    places = np.arange(REPLIES)[:: _RANDOM.choice((1, -1))].reshape(REPLIES, *[1] * centre.ndim)
    return centre * (1 - spread * (places + drawn) / REPLIES)


def _weight(power: int) -> int:
    """A weight between two powers of 2; from the largest on, within a tenth of it."""
    low = 1 << power
    return low + _RANDOM.randrange(max(1, low if power < WINDOWS[-1][-1] else low // 10))


def _record(values: Mapping[str, np.ndarray[Any, Any]], weight: int, weight_key: str) -> RecordDict:
    metrics = {key: np.asarray(value).tolist() for key, value in values.items()}
    return Tried({"metrics": MetricRecord(cast(Any, {weight_key: weight, **metrics}))})


def _result(name: str, function: Aggregate, replies: list[RecordDict], weight_key: str) -> Mapping[str, Any]:
    count = f"{len(replies)} made-up replies" if len(replies) > 1 else "their one weighted mean"
    try:
        result = _fresh(name, function)(replies, weight_key)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error
    except Exception as error:
        raise RaisedInTrial(
            f"{name} raises {type(error).__name__} ({error}) over {count}. {RECORDS}. {CURE}"
        ) from error
    if result is None:
        return {}  # as Flower takes it: no metrics
    if not isinstance(result, Mapping):
        raise ConfigurationError(f"{name} returns a {type(result).__name__} over {count}; a MetricRecord was expected")
    return result


def _over_the_mean(name: str, function: Aggregate, metrics: Values, weight_key: str) -> Mapping[str, Any]:
    """What a copy gives over the real mean; nothing where it raises, which the round itself then shows."""
    values = {key: np.asarray(value, np.float64) for key, value in metrics.items()}
    tried = _fresh(name, function)
    try:
        result = tried([_record(values, WEIGHT, weight_key)], weight_key)
    except Exception:
        return {}
    return result if isinstance(result, Mapping) else {}


def _fresh(name: str, function: Aggregate) -> Aggregate:
    """A copy of the function that shares no state with it, but for globals and attributes of classes."""
    try:
        return cast(Aggregate, _copied(function, {}))
    except Exception as error:
        raise ConfigurationError(
            f"{name} cannot be tried on made-up replies: what it keeps cannot be copied ({type(error).__name__}: "
            f"{error}). Make it a function that keeps no such object (a file, a lock, a connection); "
            "SecureAggregation(..., linear=True) skips this check"
        ) from error


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy, of functions too, which `copy.deepcopy` shares."""
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, types.ModuleType):
        return value
    if isinstance(value, types.MethodType):
        return types.MethodType(_copied(value.__func__, memo), _copied(value.__self__, memo))
    if isinstance(value, functools.partial):
        words = {key: _copied(item, memo) for key, item in value.keywords.items()}
        return functools.partial(_copied(value.func, memo), *(_copied(item, memo) for item in value.args), **words)
    if not isinstance(value, types.FunctionType):
        return copy.deepcopy(value, memo)
    cells = tuple(memo.setdefault(id(cell), types.CellType()) for cell in value.__closure__ or ())
    made = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, cells or None)
    memo[id(value)] = made
    made.__defaults__ = value.__defaults__ and tuple(_copied(item, memo) for item in value.__defaults__)
    made.__kwdefaults__ = value.__kwdefaults__ and {
        key: _copied(item, memo) for key, item in value.__kwdefaults__.items()
    }
    made.__dict__.update({key: _copied(item, memo) for key, item in value.__dict__.items()})
    for old, new in zip(value.__closure__ or (), cells, strict=True):
        if _empty(new) and not _empty(old):
            new.cell_contents = _copied(old.cell_contents, memo)
    return made


def _empty(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return True
    return False


def _equal(one: Any, other: Any) -> bool:
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return first.shape == second.shape and np.allclose(first, second, rtol=TOLERANCE, atol=1e-15, equal_nan=True)


def _compare(name: str, key: str, several: Any, one: Any) -> None:
    if several is None or one is None:
        where = "made-up replies" if one is None else "their one weighted mean"
        raise ConfigurationError(f"{name} gives {key!r} over {where} only. {CURE}")
    first, second = np.asarray(several, np.float64), np.asarray(one, np.float64)
    if not _equal(first, second):
        raise ConfigurationError(
            f"{name} gives {key!r} = {_text(first)} over {REPLIES} made-up replies and {_text(second)} over their one "
            f"weighted mean. {CURE}"
        )


def _text(values: np.ndarray[Any, Any]) -> str:
    return f"{float(values):.6g}" if values.ndim == 0 else f"a list of {values.size}"
