"""What is predicted: two classes, several, a number, a count, or the time to an event; and what rows have of it.

A row's label is one float64, its target: 0 or 1 of two classes, the class's place in `classes` of several, the number
or the count itself, and of a survival time the time, which is negative, -0.0 too, where the row is censored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError, expect, shown, unknown

Task = Literal["classification", "regression", "count", "survival", "multiclass"]
TASKS: tuple[Task, ...] = get_args(Task)
MOST_CLASSES, MOST_INTERVALS = 20, 100
INTERVALS = 10
"""Into which a survival time is cut where nothing else is said."""
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Label:
    """What is predicted.

    name: its column; of a survival time, the column of times. low, high: the range of a number, a count or a time; the
    latter two are 0 or more. positive: the class that counts as 1, and negative: the words of the other classes; where
    there are none, one other word is allowed, whichever it is. drop_unlabelled: whether a row without a label is left
    out, and not refused. classes: of several. event: the column that says whether a time is that of the event
    (`positive`) or that at which a row was last seen without it (`negative`). intervals: of a survival time, within
    which a hazard is taken to be constant: how many of equal width, or their edges, rising from 0 to high.
    """

    name: str
    task: Task
    low: float = 0.0
    high: float = 1.0
    positive: str = "1"
    negative: tuple[str, ...] = ()
    drop_unlabelled: bool = False
    classes: tuple[str, ...] = ()
    event: str = ""
    intervals: int | tuple[float, ...] = INTERVALS

    def __post_init__(self) -> None:
        expect("schema: the label's name", self.name, str, "a text")
        expect("schema: the label's task", self.task, str, "classification or regression")
        if self.task not in TASKS:
            raise unknown("task of the label", str(self.task), TASKS)
        self._check_range()
        for field in ("negative", "classes"):
            words = getattr(self, field)
            what = "other classes" if field == "negative" else "classes"
            expect(f"schema: the label's {what}", words, tuple, "a tuple of texts")
            for word in words:
                expect(f"schema: one of the label's {what}", word, str, "a text")
        if self.positive in self.negative:
            raise ConfigurationError(f"schema: the label's class {self.positive!r} is both positive and negative")
        self._check_task()

    def _check_range(self) -> None:
        """Raise ConfigurationError where low and high are no range of the task."""
        for bound in (self.low, self.high):
            expect(f"schema: a bound of column {self.name!r}", bound, (int, float), "a number")
        try:
            finite = math.isfinite(self.low) and math.isfinite(self.high) and math.isfinite(self.high - self.low)
        except OverflowError:
            finite = False
        if not (finite and self.low < self.high):
            raise ConfigurationError(
                f"schema: column {self.name!r} has range {self.low} to {self.high}; low must be below high, and both "
                "finite"
            )
        if self.task in ("count", "survival") and self.low != 0:
            raise ConfigurationError(
                f"schema: low of the label {self.name!r} is {self.low:g}; a {self.task} begins at 0: leave it out"
            )

    def _check_task(self) -> None:
        """Raise ConfigurationError where a field is missing that the task needs, or is there and means nothing."""
        expect("schema: the label's column of events", self.event, str, "the name of a column")
        if (self.task == "survival") != bool(self.event) or (self.event and self.event == self.name):
            raise ConfigurationError(
                f"schema: event of the label {self.name!r} is {self.event!r}; a survival time needs the name of a "
                "second column there, and no other task has one"
            )
        several = len(set(self.classes))
        if self.task == "multiclass" and not (2 < several == len(self.classes) <= MOST_CLASSES):
            raise ConfigurationError(
                f"schema: classes of the label {self.name!r} are {list(self.classes)}; list 3 to {MOST_CLASSES} "
                "different words, or make it a classification with the class that counts as positive"
            )
        if self.classes and self.task != "multiclass":
            raise ConfigurationError(
                f"schema: the label {self.name!r} is a {self.task} and has classes; leave them out, or set task to "
                "multiclass"
            )
        self._check_intervals()

    def _check_intervals(self) -> None:
        given, edges = self.intervals, list(self.intervals) if isinstance(self.intervals, tuple) else []
        real = all(isinstance(one, int | float) and not isinstance(one, bool) for one in edges)
        rising = real and len(edges) > 1 and (edges[0], edges[-1]) == (0, self.high) and sorted(set(edges)) == edges
        count = given if type(given) is int else len(edges) - 1 if rising else 0
        if not 1 <= count <= MOST_INTERVALS:
            raise ConfigurationError(
                f"schema: intervals of the label {self.name!r} is {shown(edges or given)}; a whole number from 1 to "
                f"{MOST_INTERVALS} was expected, or a list of up to {MOST_INTERVALS + 1} rising edges, the first 0 "
                f"and the last {self.high:g}"
            )

    def __str__(self) -> str:
        left_out = ", rows without it left out" if self.drop_unlabelled else ""
        return f"the label, {self.task}, {self._about()}{left_out}"

    def _about(self) -> str:
        if self.task == "multiclass":
            return f"classes {', '.join(map(repr, self.classes))}"
        span = f"range {self.low:g} to {self.high:g}"
        if self.task in ("regression", "count"):
            return span
        words = f"class {self.positive!r}" + (
            f" against {', '.join(map(repr, self.negative))}" if self.negative else ""
        )
        if self.task == "classification":
            return words
        return f"{span} in {self.outputs} intervals, event {self.event} of {words}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is read from."""
        return (self.name, self.event) if self.event else (self.name,)

    @property
    def outputs(self) -> int:
        """How many scores a model has for a row: one a class of several, one an interval, and else 1."""
        return len(self.classes) if self.task == "multiclass" else len(self.edges) - 1 if self.event else 1

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """The edges of the intervals of a survival time, from 0 to high; none of another label."""
        if not self.event:
            return ()
        if isinstance(self.intervals, tuple):
            return tuple(map(float, self.intervals))
        return tuple(np.linspace(0.0, self.high, self.intervals + 1).tolist())

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that rows are told apart by, such as `died = 1`; none where the label is a number."""
        if self.task == "multiclass":
            return tuple(f"{self.name} = {one}" for one in self.classes)
        if self.task in ("regression", "count"):
            return ()
        column, words = self.event or self.name, self.negative
        other = f"{column} = {words[0]}" if len(words) == 1 else f"{column}: other"
        return other, f"{column} = {self.positive}"

    def group_of(self, target: NDArray[np.float64]) -> NDArray[np.int64]:
        """int64[rows]: the place of each row's group; 0 where there are none."""
        return groups_of(self.task, target) if self.groups else np.zeros(len(target), np.int64)

    def stratum(self, target: NDArray[np.float64]) -> NDArray[np.int64]:
        """int64[rows]: the group, or where there are none the quartile, 0 to 3, for parts that are to be alike."""
        if self.groups:
            return self.group_of(target)
        return np.searchsorted(np.quantile(target, QUARTILES), target).astype(np.int64)

    def sums(self, target: NDArray[np.float64]) -> list[float]:
        """What hospitals add up of it: rows of each class of several; else the label, scaled to 0 to 1, and its square;
        and of a survival time the rows with the event."""
        if self.task == "multiclass":
            return list(map(float, np.bincount(self.group_of(target), minlength=len(self.classes))))
        scaled = (np.abs(target) if self.event else target) - self.low
        scaled = scaled / (self.high - self.low)
        events = [float(self.group_of(target).sum())] if self.event else []
        return [float(scaled.sum()), float((scaled**2).sum()), *events]

    @property
    def summed(self) -> int:
        """How many numbers `sums` has."""
        return len(self.classes) or (3 if self.event else 2)

    def sizes(self, sums: Sequence[float], rows: int) -> list[int]:
        """The rows of each group, of so many rows with these `sums`; all of them where there are no groups."""
        if self.task == "multiclass":
            return [round(float(one)) for one in sums]
        if not self.groups:
            return [rows]
        positive = round(float(sums[-1] if self.event else sums[0]))
        return [rows - positive, positive]

    def table(self) -> dict[str, Any]:
        """The table [label] of a schema's file."""
        about: dict[str, Any] = {"name": self.name, "task": self.task}
        if self.task == "multiclass":
            about |= {"classes": list(self.classes)}
        if self.event:
            about |= {"event": self.event}
        if self.event or self.task == "classification":
            about |= {"positive": self.positive} | ({"negative": list(self.negative)} if self.negative else {})
        if self.task == "regression":
            about |= {"low": self.low}
        if self.task in ("regression", "count", "survival"):
            about |= {"high": self.high}
        if self.event:
            about |= {"intervals": list(self.intervals) if isinstance(self.intervals, tuple) else self.intervals}
        return about | ({"drop_unlabelled": True} if self.drop_unlabelled else {})


def groups_of(task: Task, target: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64[rows]: the place of each row's class, or of a survival time whether it is that of the event."""
    return (~np.signbit(target) if task == "survival" else target).astype(np.int64)


FIELDS = ("name", "task", "low", "high", "positive", "negative", "drop_unlabelled", "classes", "event", "intervals")


def of_table(source: str, about: Mapping[str, Any], words: Mapping[str, tuple[str, ...]]) -> Label:
    """The label of a schema's table [label]; raises ConfigurationError naming source, field and value.

    words: its lists of words, as they were read.
    """
    if set(about) - set(FIELDS) or not isinstance(about.get("name"), str):
        raise ConfigurationError(
            f"schema {source}: [label] needs a name; it may have {', '.join(FIELDS[1:-1])} and {FIELDS[-1]}"
        )
    low, high = about.get("low", 0.0), about.get("high", 1.0)
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in (low, high)):
        raise ConfigurationError(f"schema {source}: low and high of the label must be numbers")
    task = about.get("task", "classification")
    if task in ("count", "survival") and "high" not in about:
        raise ConfigurationError(f"schema {source}: [label] needs high, the largest {task} that there can be")
    drop, intervals = about.get("drop_unlabelled", False), about.get("intervals", INTERVALS)
    expect(f"schema {source}: drop_unlabelled of the label", drop, bool, "true or false")
    return Label(
        about["name"],
        task,
        float(low),
        float(high),
        str(about.get("positive", "1")),
        words["negative"],
        drop,
        words["classes"],
        about.get("event", ""),
        tuple(intervals) if isinstance(intervals, list) else intervals,
    )
