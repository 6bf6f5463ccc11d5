"""How far a prediction may be off, from sums that a run has anyway, so that nothing more leaves a hospital.

Of a probability: what became of rows that were given about the same one. Of a number: how far it was off on other rows.
An interval of the model's own mean would take one more sum, of all products of two features, and tell more of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.learning.calibration_measures import NORMAL_95, wilson
from fedsec.learning.clinical import LEAST

LOW, HIGH = "interval_low", "interval_high"
"""The columns of a scored file."""


class GroupOfRows(NamedTuple):
    """Rows that were given a probability from low to high, and how many of them are of class 1."""

    low: float
    high: float
    rows: int
    positive: int


@dataclass(frozen=True)
class Intervals:
    """What intervals of a model's predictions are made of: the groups of its rows, or their spread.

    whose: which rows, in words after their number, `rows`. groups: from low to high, for a classification. spread: the
    root mean square of the errors in the label's units, for a regression. Raises ValueError where these cannot be.
    """

    whose: str
    rows: int
    groups: tuple[GroupOfRows, ...] = ()
    spread: float = 0.0

    def __post_init__(self) -> None:
        ends = [end for one in self.groups for end in (one.low, one.high)]
        if ends != sorted(ends) or not all(0 <= one.positive <= one.rows and one.rows for one in self.groups):
            raise ValueError("groups of rows are not in order, or have more positive rows than rows")
        if self.rows < 1 or not 0.0 <= self.spread < math.inf or bool(self.groups) == bool(self.spread):
            raise ValueError(f"{self.rows} rows with a spread of {self.spread} and {len(self.groups)} groups")

    def of(self, predicted: Floats) -> Floats:
        """float64[rows, 2]: from and to, of float64[rows]; NaN where no rows were given a like probability.

        Of a probability it is the 95% interval of the share of class 1 in its group (Wilson, JASA 22, 1927): it need
        not hold the probability, and where it does not, the model is off. Between two groups the nearer one counts.
        Of a number it is where 95% of labels lie, if errors are normal and spread alike everywhere.
        """
        if not self.groups:
            reach = self.spread * student_95(self.rows)
            return np.column_stack([predicted - reach, predicted + reach])
        edges = [(one.high + after.low) / 2 for one, after in zip(self.groups, self.groups[1:], strict=False)]
        found = np.array([wilson(one.positive, one.rows) for one in self.groups])[np.searchsorted(edges, predicted)]
        within = (self.groups[0].low <= predicted) & (predicted <= self.groups[-1].high)
        return np.where(within[:, np.newaxis], found, math.nan)

    def words(self, label: str, positive: str) -> str:
        """What an interval says."""
        if self.groups:
            what = f"the share with {label} = {positive} of rows that were given about the same probability, at 95%"
        else:
            spread = f"root mean square {self.spread:.4g}"
            what = f"95% of {label} lie within, if errors are normal and spread alike everywhere ({spread})"
        return f"{what}; from {self.rows:,} {self.whose}"

    def to_document(self) -> dict[str, Any]:
        """As the model's file has it."""
        return {"whose": self.whose, "rows": self.rows, "groups": [list(one) for one in self.groups]} | (
            {"spread": self.spread} if self.spread else {}
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Intervals:
        """Of the model's file; raises KeyError, TypeError or ValueError where it is damaged."""
        groups = tuple(
            GroupOfRows(float(low), float(high), int(rows), int(positive))
            for low, high, rows, positive in document["groups"]
        )
        return cls(str(document["whose"]), int(document["rows"]), groups, float(document.get("spread", 0.0)))


def no_intervals(task: Task) -> str:
    """Why a model has none."""
    if task not in ("classification", "regression"):
        return f"There are no intervals: none are made for the task {task}."
    return (
        f"There are no intervals: the final model was not evaluated, or on fewer than {LEAST} rows of a class, or "
        "this is a model of an earlier release."
    )


def of_groups(whose: str, groups: Sequence[GroupOfRows]) -> Intervals | None:
    """Of a calibration curve; None without one, as where a class has too few rows."""
    return Intervals(whose, sum(one.rows for one in groups), tuple(groups)) if groups else None


def of_spread(whose: str, rows: int, spread: float) -> Intervals | None:
    """Of errors on these rows; None of fewer than LEAST, and where nothing is known of them."""
    return Intervals(whose, rows, spread=spread) if rows >= LEAST and 0.0 < spread < math.inf else None


def student_95(rows: int) -> float:
    """The 97.5% point of Student's distribution with so many degrees of freedom, 10 or more, to 4 digits.

    By the expansion in 1/rows of Abramowitz and Stegun, Handbook of mathematical functions, 26.7.5.
    """
    z = NORMAL_95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / rows + second / rows**2 + third / rows**3
