"""What a run has reached, kept beside Flower's own Result, which is lost where an app's aggregation raises.

Flower's `start` makes its Result as it goes and returns it at the end: an exception of a function that aggregates
metrics, in the last round, would take all rounds of training with it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flwr.app import Message, RecordDict
from flwr.app.exception import AppExitException
from flwr.serverapp.strategy import Result, Strategy

from fedsec.errors import FedsecError, RunFailed
from fedsec.flower import linearity

STAGES = {"aggregate_train": "train", "aggregate_evaluate": "evaluate"}


@contextmanager
def kept(inner: Strategy, withheld: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Within the block, what `inner` aggregates is kept, and an exception of its aggregation becomes RunFailed.

    withheld: the metrics of the latest reply that are NaN, for too few hospitals could compute them. RunFailed's
    `result` has the latest model that was aggregated and the clients' metrics so far. Flower's own exceptions, such as
    of replies that do not fit together, stay what they are.
    """
    reached, before = Result(), {name: vars(inner)[name] for name in STAGES if name in vars(inner)}
    for name in STAGES:
        setattr(inner, name, _Keeping(inner, name, getattr(inner, name), reached, withheld))
    try:
        yield
    finally:
        for name in STAGES:
            delattr(inner, name)
        vars(inner).update(before)


@dataclass(frozen=True, eq=False)
class _Keeping:
    """A method of `inner` that keeps what it returns. A copy of the strategy, or its pickle, has the method itself."""

    inner: Strategy
    name: str
    aggregate: Callable[..., Any]
    reached: Result
    withheld: Callable[[], Iterable[str]]

    def __call__(self, server_round: int, replies: Iterable[Message]) -> Any:
        given, name, reached = list(replies), self.name, self.reached
        try:
            found = self.aggregate(server_round, given)
        except (FedsecError, AppExitException):
            raise
        except Exception as error:
            text = f"round {server_round} {STAGES[name]}: {_blamed(self.inner, name, error)} raised {_cause(error)}"
            raise RunFailed(f"{text}. {_shown(given, list(self.withheld()))}", reached) from error
        trains = name == "aggregate_train"
        arrays, metrics = found if trains else (None, found)
        if arrays is not None:
            reached.arrays = arrays
        if metrics is not None:
            (reached.train_metrics_clientapp if trains else reached.evaluate_metrics_clientapp)[server_round] = metrics
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.aggregate,)


def _itself(method: Callable[..., Any]) -> Callable[..., Any]:
    return method


def _blamed(inner: Strategy, name: str, error: Exception) -> str:
    """The strategy's function that aggregates metrics where the exception came out of it, else its method."""
    attribute = linearity.FUNCTIONS[STAGES[name]]
    code = getattr(getattr(inner, attribute, None), "__code__", None)
    through = code is not None and any(frame.f_code is code for frame, _ in traceback.walk_tb(error.__traceback__))
    return f"{type(inner).__name__}.{attribute if through else name}"


def _cause(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} ({error}) in {last.name}, line {last.lineno} of {last.filename}"


def _shown(replies: list[Message], withheld: list[str]) -> str:
    """What metrics the aggregation was given, and which of them are NaN."""
    contents = [reply.content for reply in replies if not reply.has_error()] or [RecordDict()]
    keys = sorted({key for record in contents[0].metric_records.values() for key in record})
    records = "".join(f", in the record {name!r}" for name in contents[0].metric_records)
    text = f"It was given the metrics {', '.join(keys)}{records}" if keys else "It was given no metrics"
    if arrays := ", ".join(map(repr, contents[0].array_records)):
        text += f", and arrays in {arrays}"
    if withheld:
        text += (
            f"; {', '.join(withheld)} {'are' if len(withheld) > 1 else 'is'} NaN, withheld for fewer hospitals than "
            "the floor could compute it: let the function pass NaN on, or leave such metrics out"
        )
    return text
