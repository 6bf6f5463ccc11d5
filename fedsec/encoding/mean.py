"""The weighted mean of named arrays and metrics over any SecureSum.

A client's arrays travel as the clipped difference to the global model. Its number of examples, the number of its
clipped coordinates and all its metrics are further coordinates of the same sum, so nothing is sent beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from fedsec.encoding.fixed_point import FixedPoint, from_limbs, to_limbs
from fedsec.errors import BadMessage, ConfigurationError, DataError
from fedsec.protocol import Exposure, Message, Sum, Vector

Arrays = Mapping[str, NDArray[Any]]
Metrics = Mapping[str, float | Sequence[float]]

METRIC_STEPS = 1 << 52
"""A metric is rounded to its range / 2**52 and multiplied by the integer weight: weighted sums are exact from there."""
COUNT_BITS = 40
"""Bits for the number of clipped coordinates."""


@dataclass(frozen=True)
class MeanSpec(Message, tag="fedsec.mean_spec/1"):
    """How updates become integers: the same for all parties, public, and independent of anybody's data.

    clip            largest absolute change of a coordinate in one round; beyond it, coordinates are clipped
    largest_weight  largest number of examples at one client
    metric_range    what a metric may be where `ranges` does not say
    ranges          what single metrics may be, by key
    weight_key      the metric that holds the number of examples
    """

    clip: Annotated[float, Exposure.PUBLIC] = 4.0
    largest_weight: Annotated[int, Exposure.PUBLIC] = 10_000
    metric_range: Annotated[tuple[float, float], Exposure.PUBLIC] = (-1e6, 1e6)
    ranges: Annotated[Mapping[str, tuple[float, float]], Exposure.PUBLIC] = field(default_factory=dict)
    weight_key: Annotated[str, Exposure.PUBLIC] = "num-examples"

    def __post_init__(self) -> None:
        # Whole numbers are welcome, and are the same specification, so the same bytes, as floats.
        ranges = {key: (float(low), float(high)) for key, (low, high) in self.ranges.items()}
        low, high = self.metric_range
        for name, value in (
            ("clip", float(self.clip)),
            ("metric_range", (float(low), float(high))),
            ("ranges", ranges),
        ):
            object.__setattr__(self, name, value)
        FixedPoint(2, self.clip)
        if type(self.largest_weight) is not int or not 1 <= self.largest_weight < 1 << 40:
            raise ConfigurationError(
                f"largest_weight is {self.largest_weight!r}; a whole number from 1 to 2**40 - 1 was expected"
            )
        for key, (low, high) in {"(default)": self.metric_range, **self.ranges}.items():
            if not (math.isfinite(high - low) and low < high):
                raise ConfigurationError(f"the range of metric {key} is {low}..{high}; it must be finite and rising")

    def range_of(self, key: str) -> tuple[float, float]:
        """The declared range of a metric."""
        return self.ranges.get(key, self.metric_range)


@dataclass(frozen=True)
class ArraySpec(Message, tag="fedsec.array_spec/1"):
    """The name, shape and dtype of one array."""

    name: Annotated[str, Exposure.PUBLIC]
    shape: Annotated[tuple[int, ...], Exposure.PUBLIC]
    dtype: Annotated[str, Exposure.PUBLIC]


@dataclass(frozen=True)
class Layout(Message, tag="fedsec.layout/1"):
    """What the coordinates of a contribution stand for. In clear, and identical for all contributors of a round."""

    arrays: tuple[ArraySpec, ...]
    metrics: Annotated[Mapping[str, int], Exposure.PUBLIC]
    """Number of values by key; 0 is a scalar."""

    @property
    def coordinates(self) -> int:
        """How many array coordinates there are."""
        return sum(math.prod(spec.shape) for spec in self.arrays)


@dataclass(frozen=True)
class Mean:
    """A weighted mean. `clipped` is how many coordinates, of all contributors together, were clipped."""

    arrays: dict[str, NDArray[Any]]
    metrics: dict[str, float | list[float]]
    weight: int
    clipped: int
    included: frozenset[int]


def arrays_layout(arrays: Arrays) -> tuple[ArraySpec, ...]:
    """The layout of a model, sorted by name; raises DataError on dtypes that have no mean."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise DataError(f"array {name!r} has dtype {array.dtype}; floating or integer numbers were expected")
        if array.dtype.kind in "iu" and array.size and max(abs(int(array.min())), int(array.max())) > 1 << 53:
            raise DataError(f"array {name!r} holds integers beyond 2**53, which have no exact mean in float64")
    return tuple(
        ArraySpec(name, tuple(map(int, array.shape)), array.dtype.str) for name, array in sorted(arrays.items())
    )


def encode(
    arrays: Arrays, reference: Arrays, metrics: Metrics, weight: float, spec: MeanSpec, bits: int
) -> tuple[Vector, Layout]:
    """One client's contribution: a uint64 vector below 2**bits, and its layout.

    `arrays` are what the client trained from `reference`, the global model; both may be empty (evaluation). Raises
    DataError on NaN, infinities, shapes or dtypes other than the model's, a weight or metric out of range.
    """
    model = _fitting(arrays, reference)
    weight = _checked_weight(weight, spec)
    numbers = {key: _numbers(key, value) for key, value in metrics.items()}
    layout = Layout(model, {key: 0 if isinstance(metrics[key], Real) else len(numbers[key]) for key in metrics})
    point = FixedPoint(bits, spec.clip)
    vector = np.empty(layout.coordinates + _scalar_limbs(layout, spec, bits), np.uint64)
    clipped = start = 0
    for name, array in sorted(arrays.items()):
        with np.errstate(over="ignore", invalid="ignore"):  # what they would warn of is refused here
            change = np.subtract(array, reference[name], dtype=np.float64).ravel()
            if not (math.isfinite(float(change.sum())) or np.isfinite(change).all()):
                _refuse_not_finite(name, array)
        clipped += point.encode(change, weight / spec.largest_weight, vector[start : start + change.size])
        start += change.size
    scalars = to_limbs(weight, bits, _limbs(_weight_bits(spec), bits))
    scalars += to_limbs(clipped, bits, _limbs(COUNT_BITS, bits))
    for key in sorted(numbers):
        for item in numbers[key]:
            scalars += to_limbs(_metric_steps(key, item, spec) * weight, bits, _limbs(_metric_bits(spec), bits))
    vector[start:] = scalars
    return vector, layout


def decode(total: Sum, layout: Layout, reference: Arrays, spec: MeanSpec, bits: int) -> Mean:
    """The weighted mean that a sum of contributions stands for; the model's arrays keep their dtypes."""
    if total.vector.size != layout.coordinates + _scalar_limbs(layout, spec, bits):
        raise BadMessage(f"the sum has {total.vector.size} coordinates, which its layout does not explain")
    if layout.arrays != arrays_layout(reference):
        raise BadMessage("the contributions' layout is not that of the model they were asked for")
    scalars = iter(total.vector[layout.coordinates :].tolist())

    def take(size: int) -> int:
        return from_limbs([next(scalars) for _ in range(_limbs(size, bits))], bits)

    weight, clipped = take(_weight_bits(spec)), take(COUNT_BITS)
    if not 0 < weight <= len(total.included) * spec.largest_weight:
        raise BadMessage(f"the total weight is {weight}; {len(total.included)} contributors were included")
    point = FixedPoint(bits, spec.clip)
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for name, array in sorted(reference.items()):
        part = point.decode(total.vector[start : start + array.size], len(total.included))
        mean = array + part.reshape(array.shape) * (spec.largest_weight / weight)
        arrays[name] = np.asarray(np.rint(mean) if array.dtype.kind in "iu" else mean).astype(array.dtype)
        start += array.size
    metrics: dict[str, float | list[float]] = {}
    for key, length in sorted(layout.metrics.items()):
        low, high = spec.range_of(key)
        values = [low + take(_metric_bits(spec)) / weight / METRIC_STEPS * (high - low) for _ in range(length or 1)]
        metrics[key] = values if length else values[0]
    return Mean({name: arrays[name] for name in reference}, metrics, weight, clipped, total.included)


def _fitting(arrays: Arrays, reference: Arrays) -> tuple[ArraySpec, ...]:
    """The model's layout; raises DataError unless the update has it too.

    An integer array fits a floating one of the model: Flower's strategies average integers to floats, while clients
    go on counting in integers.
    """
    expected, got = arrays_layout(reference), arrays_layout(arrays)
    if names := sorted(arrays.keys() ^ reference.keys()):
        raise DataError(f"arrays {names} are in the update or in the model, and not in both")
    for model, mine in zip(expected, got, strict=True):
        fits = model.dtype == mine.dtype or (np.dtype(model.dtype).kind == "f" and np.dtype(mine.dtype).kind in "iu")
        if model.shape != mine.shape or not fits:
            raise DataError(f"the update has array {_shape_of(mine)}; {_shape_of(model)} was expected")
    return expected


def _limbs(size: int, bits: int) -> int:
    return -(-size // bits)


def _weight_bits(spec: MeanSpec) -> int:
    return spec.largest_weight.bit_length()


def _metric_bits(spec: MeanSpec) -> int:
    return METRIC_STEPS.bit_length() + _weight_bits(spec)


def _scalar_limbs(layout: Layout, spec: MeanSpec, bits: int) -> int:
    metrics = sum(length or 1 for length in layout.metrics.values())
    return _limbs(_weight_bits(spec), bits) + _limbs(COUNT_BITS, bits) + metrics * _limbs(_metric_bits(spec), bits)


def _checked_weight(weight: float, spec: MeanSpec) -> int:
    number = isinstance(weight, Real) and not isinstance(weight, bool)
    if not (number and 1 <= weight <= spec.largest_weight and weight == int(weight)):
        raise DataError(
            f"{spec.weight_key} is {weight}; it must be a whole number from 1 to {spec.largest_weight} (largest_weight)"
        )
    return int(weight)


def _numbers(key: str, value: object) -> list[float]:
    """A metric's values as Python floats; raises DataError where it is not a number or a list of numbers."""
    items = [value] if isinstance(value, Real) else list(value) if isinstance(value, list | tuple) else []
    if not items or not all(isinstance(item, Real) for item in items):
        kind = "an empty list" if isinstance(value, list) and not value else f"a {type(value).__name__}"
        raise DataError(f"metric {key!r} is {kind}; a number or a list of numbers was expected")
    try:
        return [float(item) for item in items if isinstance(item, Real)]
    except OverflowError:
        raise DataError(f"metric {key!r} is beyond the largest floating-point number") from None


def _metric_steps(key: str, value: float, spec: MeanSpec) -> int:
    low, high = spec.range_of(key)
    if not low <= value <= high:
        raise DataError(f"metric {key!r} is outside its declared range {low}..{high}")
    return round((value - low) / (high - low) * METRIC_STEPS)


def _refuse_not_finite(name: str, array: NDArray[Any]) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        raise DataError(f"array {name!r} is not finite at {tuple(map(int, bad[0]))} ({len(bad)} such values)")
    raise DataError(f"array {name!r}: the update's difference to the model is not finite")


def _shape_of(spec: ArraySpec) -> str:
    return f"{spec.name!r} of shape {spec.shape} and dtype {np.dtype(spec.dtype)}"
