"""The specification of a mean: how updates and metrics become integers, the same for all parties and public."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from numbers import Real
from typing import Annotated, Any, Literal, get_args

from fedsec.encoding import ladder, wide
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.encoding.ladder import Plan, Scale
from fedsec.errors import ConfigurationError, expect, shown, unknown
from fedsec.protocol import Exposure, Message

WeightRule = Literal["exact", "powers-of-two", "equal"]
"""How much a hospital counts: by its number of examples, by the power of two at or below it, or as much as any other.

Exact weights label the addends of a sum: from coordinates of equal size the row counts and signs can be derived.
"""
LARGEST_WEIGHT = (1 << 40) - 1
WEIGHT_STEPS = 1 << 32
"""Weights are rounded to multiples of 2^-32, and so is a buffer times its weight."""
VALUES = float(1 << 31)
"""Buffers, and metrics without a range of their own, lie within ±2^31; beyond it they are saturated, and counted."""
GRID = 2.0**-10
"""What metrics are rounded to where weights hide row counts and nothing else is said: about a thousandth."""


@dataclass(frozen=True)
class MeanSpec(Message, tag="fedsec.mean_spec/5"):
    """How updates become integers: the same for all parties, public, and independent of anybody's data.

    clip            largest absolute change of a parameter in one round; a larger update is scaled down as a whole
    largest_weight  largest number of examples at one client
    metric_range    what a metric may be where `ranges` does not say; beyond it, it is saturated and counted
    ranges          what single metrics may be, by key
    weight_key      the metric that holds the number of examples
    bounds          largest L2 norm of the changes of a group of arrays, by pattern: a larger one is scaled down, its
                    direction kept. An array is of one group: that of its very name, or else of the longest pattern that
                    matches, and of these the first in alphabetical order; so the order of patterns does not matter
    buffers         patterns of arrays that travel as values, beside PyTorch's buffers and integers
    rungs           the ladder of scales: its lowest and its highest power of two
    weights         how much a hospital counts: `exact`, `powers-of-two` or `equal`
    metric_grid     a metric times its weight is rounded to a multiple of this times the heaviest weight, that rounded
                    down to a power of two; None: 2^-10 with equal weights and with powers of two up to a largest one,
                    and otherwise as finely as it can be
    grids           the grid of single metrics, by key; where it leaves few steps, they travel in as few bits
    totals          patterns of metrics that add up over a hospital's rows, as counts do: they are on no grid, for no
                    row count divides them, and a hospital without usable rows adds 0. Equal weights only. A grid of 1
                    says that such a metric is a whole number

    With both clip and largest_weight their product is the scale, with equal weights clip alone. Otherwise the scale is
    measured, on the ladder.
    """

    clip: Annotated[float | None, Exposure.PUBLIC] = None
    largest_weight: Annotated[int | None, Exposure.PUBLIC] = None
    metric_range: Annotated[tuple[float, float], Exposure.PUBLIC] = (-VALUES, VALUES)
    ranges: Annotated[Mapping[str, tuple[float, float]], Exposure.PUBLIC] = field(default_factory=dict)
    weight_key: Annotated[str, Exposure.PUBLIC] = "num-examples"
    bounds: Annotated[Mapping[str, float], Exposure.PUBLIC] = field(default_factory=dict)
    buffers: Annotated[tuple[str, ...], Exposure.PUBLIC] = ()
    rungs: Annotated[tuple[int, int], Exposure.PUBLIC] = ladder.LADDER
    weights: Annotated[str, Exposure.PUBLIC] = "exact"
    metric_grid: Annotated[float | None, Exposure.PUBLIC] = None
    grids: Annotated[Mapping[str, float], Exposure.PUBLIC] = field(default_factory=dict)
    totals: Annotated[tuple[str, ...], Exposure.PUBLIC] = ()

    def __post_init__(self) -> None:
        # Whole numbers are welcome, and are the same specification, so the same bytes, as floats.
        expect("ranges", self.ranges, Mapping, "a range for each key")
        expect("bounds", self.bounds, Mapping, "a norm for each pattern")
        _patterns("bounds", list(self.bounds))
        expect("grids", self.grids, Mapping, "a grid for each key")
        expect("weight_key", self.weight_key, str, "a text")
        for name, value in (
            ("clip", None if self.clip is None else _real("clip", self.clip)),
            ("metric_range", _pair("metric_range", self.metric_range)),
            ("ranges", {key: _pair(f"the range of metric {key}", pair) for key, pair in self.ranges.items()}),
            ("bounds", {name: _real(f"the bound of {name!r}", norm) for name, norm in self.bounds.items()}),
            ("buffers", _patterns("buffers", self.buffers)),
            ("totals", _patterns("totals", self.totals, 'metrics\' names, as ["rows.*"],')),
            ("metric_grid", None if self.metric_grid is None else _real("metric_grid", self.metric_grid)),
            ("grids", {key: _real(f"the grid of metric {key!r}", grid) for key, grid in self.grids.items()}),
        ):
            object.__setattr__(self, name, value)
        if self.clip is not None:
            FixedPoint(2, self.clip)
        weight = self.largest_weight
        if weight is not None and (type(weight) is not int or not 1 <= weight <= LARGEST_WEIGHT):
            raise ConfigurationError(f"largest_weight is {weight!r}; a whole number from 1 to 2**40 - 1 was expected")
        for key, (low, high) in {"(default)": self.metric_range, **self.ranges}.items():
            if not (math.isfinite(high - low) and low < high):
                raise ConfigurationError(f"the range of metric {key} is {low}..{high}; it must be finite and rising")
        for pattern, norm in self.bounds.items():
            if not (math.isfinite(norm) and norm > 0):
                raise ConfigurationError(f"the bound of {pattern!r} is {norm}; a norm above 0 was expected")
        if self.weights not in get_args(WeightRule):
            raise unknown("weights", self.weights, get_args(WeightRule))
        lowest, highest = self.rungs
        if not ladder.LADDER[0] <= lowest <= highest <= ladder.LADDER[1]:
            raise ConfigurationError(
                f"rungs is {self.rungs}; powers of two from {ladder.LADDER[0]} to {ladder.LADDER[1]}, the lowest "
                "first, were expected"
            )
        self._check_grids()

    def _check_grids(self) -> None:
        if self.totals and self.weights != "equal":
            raise ConfigurationError(
                f"totals are {list(self.totals)} and weights are {self.weights}; totals need equal weights, for other "
                "weights multiply a metric by rows already: send shares or means of rows, and leave totals out"
            )
        if self.metric_grid is None:
            object.__setattr__(self, "metric_grid", default_grid(self.weights, self.largest_weight))
        if self.heaviest is None and (self.grids or self.metric_grid is not None):
            raise ConfigurationError(
                "metrics have a grid and largest_weight is not named; a grid is in units of the heaviest weight: name "
                "largest_weight, or leave the grid out"
            )
        keys = dict.fromkeys((*self.ranges, *self.grids))
        for key, grid in {"(default)": self.metric_grid, **{key: self.grid_of(key) for key in keys}}.items():
            finest = 1 / metric_steps(*self.range_of(key)) / self._unit
            if grid is not None and not (math.isfinite(grid) and grid >= finest):
                raise ConfigurationError(
                    f"the grid of metric {key} is {grid:g}; a number of at least {finest:.3g} was expected, the finest "
                    "in its range"
                )

    @property
    def _unit(self) -> float:
        """What a grid is in units of: the power of two at or below the heaviest weight."""
        return math.ldexp(0.5, math.frexp(self.heaviest or 1.0)[1])

    @property
    def heaviest(self) -> float | None:
        """The largest weight by the rule of weights; None where it is not known before a session."""
        return 1.0 if self.weights == "equal" else self.largest_weight

    @property
    def fixed(self) -> tuple[float, float] | None:
        """Clip and heaviest weight where they are named, and so fix the scale; None where it is measured."""
        return None if self.clip is None or self.heaviest is None else (self.clip, self.heaviest)

    @property
    def measured(self) -> bool:
        """Whether the scale is measured, and not named by clip and largest_weight."""
        return self.fixed is None

    def scale(self, plan: Plan, bits: int) -> Scale:
        """The scale of a session's parameters; raises BadMessage where the plan names none."""
        if self.fixed is not None:
            return Scale(self.fixed[0] * self.fixed[1])
        return plan.scale(self.rungs, bits)

    def range_of(self, key: str) -> tuple[float, float]:
        """The declared range of a metric."""
        return self.ranges.get(key, self.metric_range)

    def is_total(self, key: str) -> bool:
        """Whether a metric adds up over a hospital's rows."""
        return any(fnmatchcase(key, pattern) for pattern in self.totals)

    def grid_of(self, key: str) -> float | None:
        """What a metric is rounded to, in the mean if all weights are the heaviest; None where it is on no grid."""
        return None if self.is_total(key) else self.grids.get(key, self.metric_grid)

    def steps_of(self, key: str) -> float:
        """How many steps a metric times its weight has in 1."""
        grid = self.grids.get(key) if self.is_total(key) else self.grid_of(key)
        return metric_steps(*self.range_of(key)) if grid is None else 1 / (grid * self._unit)

    def width_of(self, key: str) -> int:
        """How many bits a metric travels in, times its weight: as many as its own grid leaves steps for, or all."""
        if key not in self.grids or self.heaviest is None:
            return wide.WIDE_BITS
        steps = max(map(abs, self.range_of(key))) * self.heaviest * self.steps_of(key)
        needed = (math.ceil(steps) + 1).bit_length() + 1
        return needed if needed <= wide.MOST_NARROW else wide.WIDE_BITS

    def neutral_of(self, key: str) -> float:
        """What stands for a metric that could not be computed."""
        return 0.0 if self.is_total(key) else sum(self.range_of(key)) / 2

    def bound_of(self, name: str) -> tuple[str, float] | None:
        """The group that an array belongs to, and its largest norm; None where none is named."""
        matching = (entry for entry in self.bounds.items() if entry[0] == name or fnmatchcase(name, entry[0]))
        return min(matching, key=lambda entry: (entry[0] != name, -len(entry[0]), entry[0]), default=None)


def _real(name: str, value: Any) -> float:
    expect(name, value, Real, "a number")
    try:
        return float(value)
    except OverflowError:
        raise ConfigurationError(f"{name} is beyond the largest floating-point number") from None


def _patterns(name: str, patterns: Any, of: str = 'arrays\' names, as ["bn.*"],') -> tuple[str, ...]:
    """Patterns of names; raises ConfigurationError on a single text, whose letters would be the patterns."""
    what = f"a list of patterns of {of}"
    if isinstance(patterns, str | bytes):
        raise ConfigurationError(f"{name} is {shown(patterns)}; {what} was expected")
    expect(name, patterns, Iterable, what)
    found = tuple(patterns)
    for pattern in found:
        expect(f"a pattern in {name}", pattern, str, "a text")
    return found


def _pair(name: str, pair: Any) -> tuple[float, float]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise ConfigurationError(f"{name} is {pair!r}; a lowest and a highest value were expected")
    return _real(name, pair[0]), _real(name, pair[1])


def default_grid(weights: str, largest_weight: int | None) -> float | None:
    """What metrics are rounded to where nothing is said, by the rule of weights; None where they are not."""
    known = weights == "equal" or (weights == "powers-of-two" and largest_weight is not None)
    return GRID if known else None


def metric_steps(low: float, high: float) -> float:
    """How many steps a metric of this range has in 1: the power of two that keeps weighted ones below 2^103."""
    return math.ldexp(1.0, wide.WIDE_BITS - 1 - LARGEST_WEIGHT.bit_length() - ladder.rung(max(abs(low), abs(high))))
