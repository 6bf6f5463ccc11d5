"""What is predicted, one file a task: how scores become a loss, a prediction, and figures that hospitals add up.

outcome.py     what a task has to say
binary.py      two classes
multiclass.py  three classes or more
number.py      a number
counted.py     a count
survival.py    time to an event, with censoring
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fedsec.data.label import Task
from fedsec.errors import ConfigurationError
from fedsec.learning.auc import POSITIVE, auc_of_histogram
from fedsec.learning.outcomes.binary import Binary
from fedsec.learning.outcomes.counted import Count
from fedsec.learning.outcomes.multiclass import CONFUSION, Multiclass
from fedsec.learning.outcomes.number import Numeric
from fedsec.learning.outcomes.outcome import Outcome
from fedsec.learning.outcomes.survival import BINS, CENSORED, EVENTS, Survival

__all__ = ["OUTCOMES", "RANGES", "Outcome", "measured", "of", "of_metrics", "rows_in"]
OUTCOMES: Mapping[Task, type[Outcome]] = {one.task: one for one in (Binary, Multiclass, Numeric, Count, Survival)}
RANGES: Mapping[str, tuple[float, float]] = {
    key: value for one in OUTCOMES.values() for key, value in one.ranges.items()
}
"""Of every list of counts that any task has, as shares."""


def of(task: Task, outputs: int = 1) -> Outcome:
    """What this task makes of scores; raises ConfigurationError where no task has such a number of them."""
    fewest = {"multiclass": 2, "survival": 1}.get(task)
    if outputs != 1 if fewest is None else outputs < fewest:
        raise ConfigurationError(
            f"{task} with {outputs} scores of a row; {'1 was' if fewest is None else f'{fewest} or more were'} expected"
        )
    return OUTCOMES[task](outputs)


def of_metrics(metrics: Mapping[str, Any]) -> Outcome | None:
    """The task that an evaluation's metrics are of; None where they are of no task."""
    if POSITIVE in metrics:
        return Binary()
    if CONFUSION in metrics:
        return Multiclass(math.isqrt(len(metrics[CONFUSION])))
    if EVENTS in metrics:
        return Survival(len(metrics[EVENTS]) // BINS)
    if "target_log" in metrics:
        return Count()
    return Numeric() if "target_square" in metrics else None


def measured(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figure that models are compared by, under its name, from an evaluation's metrics; empty without one."""
    outcome = of_metrics(metrics)
    if isinstance(outcome, Binary):
        return {outcome.measure: auc_of_histogram(metrics)[0]}
    return {} if outcome is None else {outcome.measure: outcome.quality(metrics)[outcome.measure]}


def rows_in(metrics: Mapping[str, Any]) -> float | None:
    """What the counts of an evaluation add up to: rows, or 1 where they are shares; None where it has none."""
    if all(isinstance(metrics.get(key), float) for key in Binary.counts):
        return math.fsum(metrics[key] for key in Binary.counts)
    for keys in ((CONFUSION,), (EVENTS, CENSORED)):
        if all(isinstance(metrics.get(key), list | tuple) for key in keys):
            return math.fsum(each for key in keys for each in metrics[key])
    return None
