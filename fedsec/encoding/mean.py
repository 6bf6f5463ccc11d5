"""The weighted mean of named arrays and metrics over any SecureSum.

A parameter travels as its weighted change from the global model, in fixed point at the round's scale (ladder.py).
Buffers and metrics travel as weighted values in limbs (wide.py), so that they are never clipped as changes. The
number of examples, and counts of what did not fit, are further coordinates of the same sum: nothing is sent beside it
but the layout (layout.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.encoding import ladder, plausible, wide
from fedsec.encoding.fixed_point import CHUNK, FixedPoint
from fedsec.encoding.ladder import Plan, Scale
from fedsec.encoding.layout import Arrays, ArraySpec, Layout, array_layout
from fedsec.encoding.mean_spec import LARGEST_WEIGHT, VALUES, WEIGHT_STEPS, MeanSpec
from fedsec.errors import BadMessage, DataError, LayoutError, shown
from fedsec.protocol import Sum, Vector

Metrics = Mapping[str, float | Sequence[float]]

_SAMPLE = 1 << 16
"""How many values the typical change is taken from."""
_SMALL = 0.1
_COUNTED = ("unusable", "saturated", "bounded")
_NO_PLAN = Plan(b"")


@dataclass(frozen=True)
class Contribution:
    """What one hospital adds to a sum: its integers, their layout, and why its update was not usable, if so."""

    vector: Vector
    layout: Layout
    unusable: str = ""


@dataclass(frozen=True)
class Mean:
    """A weighted mean, and what its sum counted.

    arrays        the averaged arrays, in the model's dtypes
    weight        the total weight: a whole number where it is one
    clipped       hospitals whose update was scaled down, to the clip, a bound or the round's scale
    unusable      hospitals that had no usable update: they count as no change, at their weight where they have one
    saturated     hospitals with a buffer beyond ±2^31, which was cut there
    step          the fixed point's step, of a coordinate of the mean
    typical       the magnitude that one in ten of the mean's changes stays below, without zeros; 0 where none changed
    counts        what the next session's scale follows from
    uncomputed    hospitals that could not compute a metric, by key: it counts as the middle of its range there,
                  and as 0 where it is a total
    out_of_range  hospitals whose metric was cut to its range, by key
    withheld      metrics that fewer hospitals than the floor could compute: they are not among `metrics`
    """

    arrays: dict[str, NDArray[Any]]
    metrics: dict[str, float | list[float]]
    weight: int | float
    included: frozenset[int]
    clipped: int = 0
    unusable: int = 0
    saturated: int = 0
    step: float = 0.0
    typical: float = 0.0
    counts: tuple[int, ...] = ()
    uncomputed: Mapping[str, int] = field(default_factory=dict)
    out_of_range: Mapping[str, int] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()

    @property
    def coarse(self) -> bool:
        """Whether less than a hundred steps of the fixed point make a typical change of the mean."""
        lost = self.typical == 0 and bool(self.counts) and self.counts[-1] > 0
        return lost or 0 < self.typical < 100 * self.step


def contribution(
    arrays: Arrays, reference: Arrays, metrics: Metrics, weight: Any, spec: MeanSpec, bits: int, plan: Plan = _NO_PLAN
) -> Contribution:
    """One client's contribution to a session: a uint64 vector below 2**bits, and its layout.

    `arrays` are what the client trained from `reference`, the global model; both may be empty (evaluation). An update
    with NaN, infinities or an impossible weight is no reason to drop out, which would tell of rows: it contributes no
    change, and is counted. Raises LayoutError on arrays and metrics that do not fit the model, and BadMessage where
    the plan names no scale.
    """
    layout = layout_of(arrays, reference, metrics)
    try:
        counted = _checked_weight(weight, spec)
        for each in layout.arrays:
            _check_range(each, arrays[each.name])
        for each in layout.buffers(spec.buffers):
            if not np.isfinite(arrays[each.name]).all():
                _refuse_not_finite(each.name, arrays[each.name])
        changes = _Changes(arrays, reference, layout.parameters(spec.buffers), spec, counted)
    except DataError as error:
        return neutral(layout, reference, weight, spec, bits, plan, str(error), metrics)
    if plan.measuring:
        return Contribution(_measurement(changes, spec), layout)
    return Contribution(_encoded(changes, arrays, metrics, counted, layout, spec, bits, plan), layout)


def neutral(
    layout: Layout,
    reference: Arrays,
    weight: Any,
    spec: MeanSpec,
    bits: int,
    plan: Plan,
    reason: str,
    metrics: Metrics | None = None,
) -> Contribution:
    """The contribution of a client that has no usable update: no change, at its weight if that is one, and counted."""
    if plan.measuring:
        return Contribution(_measurement(None, spec), layout, reason)
    try:
        counted = _checked_weight(weight, spec)
    except DataError:
        counted = float(spec.weights == "equal")
    arrays = {each.name: reference.get(each.name, np.zeros(each.shape)) for each in layout.arrays}
    model = {each.name: arrays[each.name] for each in layout.arrays}
    if metrics is None:
        metrics = {key: [spec.neutral_of(key)] * (length or 1) for key, length in layout.metrics.items()}
    changes = _Changes(arrays, model, layout.parameters(spec.buffers), spec, counted)
    vector = _encoded(changes, arrays, metrics, counted, layout, spec, bits, plan, unusable=1)
    return Contribution(vector, layout, reason)


def _check_range(spec: ArraySpec, array: NDArray[Any]) -> None:
    """Raise DataError where an update's values are beyond the range of the model's dtype."""
    dtype = np.dtype(spec.dtype)
    if array.dtype == dtype or not array.size:
        return
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    lowest, highest = array.min(), array.max()
    if np.isfinite(lowest) and np.isfinite(highest) and (lowest < limits.min or highest > limits.max):
        raise DataError(
            f"array {spec.name!r} has values from {lowest:g} to {highest:g}, beyond the range of the model's dtype, "
            f"{dtype}"
        )


def layout_of(arrays: Arrays, reference: Arrays, metrics: Metrics) -> Layout:
    """The layout of an update; raises LayoutError where it has no place in a mean."""
    return Layout(
        array_layout(arrays, reference),
        {key: 0 if isinstance(value, Real) else len(_numbers(key, value)) for key, value in metrics.items()},
    )


class _Changes:
    """The parameters' changes of one update, scaled down to its bounds; in chunks, so that none is held whole.

    Raises DataError where an array is not finite.
    """

    def __init__(
        self, arrays: Arrays, reference: Arrays, specs: Sequence[ArraySpec], spec: MeanSpec, weight: float
    ) -> None:
        self.arrays, self.reference, self.specs, self.weight = arrays, reference, specs, weight
        self.size = sum(each.size for each in specs)
        largest: dict[str, float] = {}
        squares: dict[str, float] = {}
        for each in specs:
            group = spec.bound_of(each.name)
            largest[each.name], squared = self._extent(each.name, group is not None)
            if group is not None:
                squares[group[0]] = squares.get(group[0], 0.0) + squared
        self.factors = {each.name: _shrunk(spec.bound_of(each.name), squares) for each in specs}
        peak = max((largest[name] * factor for name, factor in self.factors.items()), default=0.0)
        self.bounded = any(factor < 1 for factor in self.factors.values())
        self.clipped = False
        if spec.clip is not None and peak > spec.clip:
            self.clipped, peak = True, self._shrink(spec.clip / peak, spec.clip)
        self.largest = weight * peak

    def _shrink(self, factor: float, peak: float) -> float:
        self.factors = {name: before * factor for name, before in self.factors.items()}
        return peak

    def fit(self, bound: float) -> bool:
        """Scale the update down to |w·v| <= bound; whether it had to be."""
        if self.largest <= bound:
            return False
        self._shrink(bound / self.largest, bound)
        return True

    @property
    def typical(self) -> float:
        """The magnitude that one in ten weighted changes stays below, without zeros, from evenly spaced ones; 0 where
        all are. Not the median: where arrays differ in size, the small ones matter too."""
        stride = max(1, self.size // _SAMPLE)
        parts = [
            np.abs(np.subtract(*self._flat(each.name, slice(None, None, stride)), dtype=np.float64))
            * (self.factors[each.name] * self.weight)
            for each in self.specs
        ]
        return _typical(np.concatenate(parts)) if parts else 0.0

    def _flat(self, name: str, part: slice) -> tuple[NDArray[Any], NDArray[Any] | float]:
        model = self.reference.get(name)
        return self.arrays[name].ravel()[part], 0.0 if model is None else model.ravel()[part]

    def chunks(self, name: str) -> Iterator[NDArray[np.float64]]:
        """The changes of one array, a chunk at a time, not yet scaled."""
        for start in range(0, self.arrays[name].size, CHUNK):
            with np.errstate(over="ignore", invalid="ignore"):  # what they would warn of is refused
                chunk = np.subtract(*self._flat(name, slice(start, start + CHUNK)), dtype=np.float64)
            yield chunk

    def _extent(self, name: str, norm: bool) -> tuple[float, float]:
        """The largest magnitude of an array's changes, and, where the norm is asked for, the sum of their squares."""
        largest = squared = 0.0
        for chunk in self.chunks(name):
            peak = float(np.abs(chunk).max())
            if not math.isfinite(peak):
                _refuse_not_finite(name, self.arrays[name])
            largest = max(largest, peak)
            if norm:
                with np.errstate(over="ignore"):
                    squared += float(np.einsum("i,i->", chunk, chunk))  # not by BLAS, whose threads cost more
        return largest, squared


def _shrunk(group: tuple[str, float] | None, squares: Mapping[str, float]) -> float:
    if group is None:
        return 1.0
    norm = math.sqrt(squares[group[0]])
    return group[1] / norm if norm > group[1] else 1.0


def _measurement(changes: _Changes | None, spec: MeanSpec) -> Vector:
    """The contribution to a session that measures: both histograms, and whether there is no usable update."""
    figures = (changes.largest, changes.typical) if changes else (0.0, 0.0)
    counts = [number for value in figures for number in ladder.histogram(value, spec.rungs)]
    return np.array([*counts, int(changes is None)], np.uint64)


def read_measurement(total: Sum, spec: MeanSpec, floor: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The histograms of the largest and of the typical |w·v| that a measuring session opened.

    Raises DataError where fewer hospitals than the floor had a usable update, and BadMessage where no contributions
    sum to this.
    """
    rungs = spec.rungs[1] - spec.rungs[0] + 1
    if total.vector.size != 2 * rungs + 1:
        raise BadMessage(f"the sum has {total.vector.size} coordinates; a measurement has {2 * rungs + 1}")
    *numbers, unusable = map(int, total.vector.tolist())
    largest, typical, addends = tuple(numbers[:rungs]), tuple(numbers[rungs:]), len(total.included)
    plausible.check_histograms(largest, typical, unusable, addends)
    _check_usable(unusable, addends, floor)
    return largest, typical


def _check_usable(unusable: int, included: int, floor: int) -> None:
    if included - unusable < floor:
        raise DataError(
            f"{unusable} of {included} hospitals had no usable update, and at least {floor} are needed; each has the "
            "cause in its own log"
        )


def _encoded(
    changes: _Changes,
    arrays: Arrays,
    metrics: Metrics,
    weight: float,
    layout: Layout,
    spec: MeanSpec,
    bits: int,
    plan: Plan,
    unusable: int = 0,
) -> Vector:
    shape = _Shape(layout, spec, bits, plan)
    vector = np.empty(shape.size, np.uint64)
    counts = [unusable, 0, int(changes.bounded), *[0] * ladder.COUNTS]
    if changes.specs:
        counts[len(_COUNTED) :] = _write_parameters(changes, shape, spec, vector)
    values = np.concatenate(
        [np.ones(1), *(arrays[each.name].astype(np.float64).ravel() for each in layout.buffers(spec.buffers))]
    )
    bounded = np.clip(values, -VALUES, VALUES)
    counts[1] = int(np.any(bounded != values))
    wide.encode(bounded, weight * WEIGHT_STEPS, shape.part(vector, shape.values), bits)
    numbers, uncomputed, cut = _metric_numbers(metrics, layout, spec)
    place = 0
    for keys, width in shape.widths:
        count = sum(layout.metrics[key] or 1 for key in keys)
        part = np.concatenate([numbers[key] for key in keys])
        end = place + count * wide.limbs(bits, width)
        wide.encode(part, weight, shape.part(vector, shape.metrics)[place:end], bits, width)
        place = end
    shape.part(vector, shape.counts)[:] = [*counts, *uncomputed, *cut]
    return vector


def _write_parameters(changes: _Changes, shape: _Shape, spec: MeanSpec, vector: Vector) -> list[int]:
    """Write the parameters' limbs; what they add to the session's counts."""
    scale, bits = shape.scale, shape.bits
    counts = ladder.count(changes.largest, changes.typical, scale, bits)
    if changes.clipped or changes.fit(scale.bound):
        counts[: len(ladder.DOWN)] = [1, *[0] * (len(ladder.DOWN) - 1)]
    factor = changes.weight * shape.point.steps / scale.bound
    if spec.fixed is not None:
        factor = changes.weight / spec.fixed[1] * shape.point.steps / spec.fixed[0]
    place, high = 0, changes.size
    for each in changes.specs:
        for chunk in changes.chunks(each.name):
            lowest = vector[place : place + chunk.size]
            shape.point.quantise(chunk, changes.factors[each.name] * factor, lowest)
            if scale.limbs == 2:
                np.right_shift(lowest, np.uint64(bits), out=vector[high + place : high + place + chunk.size])
                np.bitwise_and(lowest, np.uint64((1 << bits) - 1), out=lowest)
            place += chunk.size
    return counts


def _metric_numbers(
    metrics: Metrics, layout: Layout, spec: MeanSpec
) -> tuple[dict[str, NDArray[np.float64]], list[int], list[int]]:
    """The metrics times their steps, which of them could not be computed, and which were cut to their range."""
    numbers, uncomputed, cut = dict[str, NDArray[np.float64]](), list[int](), list[int]()
    for key in sorted(layout.metrics):
        low, high = spec.range_of(key)
        values = np.array(_numbers(key, metrics[key]))
        missing = not np.isfinite(values).all()
        bounded = np.clip(values, low, high)
        cut.append(int(not missing and np.any(bounded != values)))
        uncomputed.append(int(missing))
        numbers[key] = (np.full(values.size, spec.neutral_of(key)) if missing else bounded) * spec.steps_of(key)
    return numbers, uncomputed, cut


def scale_of(layout: Layout, spec: MeanSpec, plan: Plan, bits: int) -> Scale:
    """The scale of a session's parameters, with the limbs that they take in this layout."""
    return _Shape(layout, spec, bits, plan).scale


class _Shape:
    """Where each part of a contribution stands: parameters, counts, weight and buffers, metrics."""

    def __init__(self, layout: Layout, spec: MeanSpec, bits: int, plan: Plan) -> None:
        parameters = sum(each.size for each in layout.parameters(spec.buffers))
        self.bits = bits
        self.scale = spec.scale(plan, bits) if parameters else Scale(1.0)
        if spec.measured and parameters <= ladder.SMALL:
            self.scale = replace(self.scale, limbs=2)
        self.point = FixedPoint(self.scale.width(bits), self.scale.bound)
        self.widths = _widths(layout, spec)
        sizes = (
            parameters * self.scale.limbs,
            len(_COUNTED) + ladder.COUNTS + 2 * len(layout.metrics),
            (1 + sum(each.size for each in layout.buffers(spec.buffers))) * wide.limbs(bits),
            sum((layout.metrics[key] or 1) * wide.limbs(bits, width) for keys, width in self.widths for key in keys),
        )
        ends = np.cumsum(sizes).tolist()
        self.parameters, self.counts, self.values, self.metrics = zip([0, *ends[:-1]], ends, strict=True)
        self.size: int = ends[-1]

    @staticmethod
    def part(vector: Vector, place: tuple[int, int]) -> Vector:
        """One part of a vector of this shape."""
        return vector[place[0] : place[1]]


def _widths(layout: Layout, spec: MeanSpec) -> list[tuple[list[str], int]]:
    """The metrics in the order that they travel in, those of one width together, and that width: the widest first."""
    widths = {key: spec.width_of(key) for key in sorted(layout.metrics)}
    order = sorted(set(widths.values()), reverse=True)
    return [([key for key, width in widths.items() if width == one], one) for one in order]


def decode(
    total: Sum, layout: Layout, reference: Arrays, spec: MeanSpec, bits: int, plan: Plan = _NO_PLAN, floor: int = 1
) -> Mean:
    """The weighted mean that a sum of contributions stands for.

    Arrays of the model that the layout does not name keep their values. Raises BadMessage where the sum does not fit
    its layout, the layout not the model, or no contributions within their bounds add up to it; and DataError where
    fewer hospitals than the floor had a usable update, or a mean leaves its dtype's range.
    """
    shape, addends = _Shape(layout, spec, bits, plan), len(total.included)
    if total.vector.size != shape.size:
        raise BadMessage(f"the sum has {total.vector.size} coordinates, which its layout does not explain")
    _check_model(layout, reference)
    plausible.check_sums(total.vector, addends, bits)
    counts = list(map(int, shape.part(total.vector, shape.counts).tolist()))
    unusable, saturated, bounded, *rest = counts
    bands = tuple(rest[: ladder.COUNTS])
    uncomputed, cut = rest[ladder.COUNTS :][: len(layout.metrics)], rest[ladder.COUNTS + len(layout.metrics) :]
    missing = dict(zip(sorted(layout.metrics), uncomputed, strict=True))
    plausible.check_counts({"with a buffer cut to its range": saturated}, addends)
    plausible.check_disjoint({"without a usable update": unusable, "bounded": bounded}, addends)
    plausible.check_bands(bands, unusable, addends)
    for without, beyond in zip(uncomputed, cut, strict=True):
        plausible.check_disjoint({"without a metric": without, "with that metric cut to its range": beyond}, addends)
    _check_usable(unusable, addends, floor)
    values = wide.decode(shape.part(total.vector, shape.values), addends, bits)
    weight = values[0]
    plausible.check_weight(weight, WEIGHT_STEPS, spec.heaviest or LARGEST_WEIGHT, spec.weights, addends)
    parameters, typical = _decoded_parameters(total, layout, reference, spec, shape, weight / WEIGHT_STEPS)
    arrays = {**dict(reference), **parameters, **_decoded_buffers(values, layout, spec, addends)}
    withheld = tuple(key for key, number in missing.items() if number and addends - unusable - number < floor)
    metrics = _decoded_metrics(shape.part(total.vector, shape.metrics), layout, spec, weight, addends, shape)
    return Mean(
        {name: arrays[name] for name in (*reference, *sorted(arrays.keys() - reference.keys()))},
        {key: value for key, value in metrics.items() if key not in withheld},
        weight // WEIGHT_STEPS if weight % WEIGHT_STEPS == 0 else weight / WEIGHT_STEPS,
        total.included,
        clipped=max(bounded, bands[0]),
        unusable=unusable,
        saturated=saturated,
        step=shape.scale.bound / shape.point.steps / (weight / WEIGHT_STEPS),
        typical=typical,
        counts=bands,
        uncomputed={key: number for key, number in missing.items() if number},
        out_of_range={key: number for key, number in zip(sorted(layout.metrics), cut, strict=True) if number},
        withheld=withheld,
    )


def _check_model(layout: Layout, reference: Arrays) -> None:
    """Raise BadMessage unless every array of the layout has its place in the model."""
    for each in layout.arrays:
        model = reference.get(each.name)
        known = not reference if model is None else model.shape == each.shape
        if not known:
            raise BadMessage("the contributions' layout is not that of the model they were asked for")


def _decoded_parameters(
    total: Sum, layout: Layout, reference: Arrays, spec: MeanSpec, shape: _Shape, weight: float
) -> tuple[dict[str, NDArray[Any]], float]:
    """The parameters' means, and the typical magnitude of their changes."""
    arrays: dict[str, NDArray[Any]] = {}
    place, high = 0, shape.parameters[1] // 2
    stride, sample = max(1, shape.parameters[1] // _SAMPLE), [np.zeros(0)]
    addends, step = len(total.included), shape.scale.bound / shape.point.steps / weight
    largest = min(addends * shape.scale.bound / weight, math.inf if spec.clip is None else spec.clip)
    bounds = plausible.ChangeBounds(largest, spec.bounds, step, addends)
    for each in layout.parameters(spec.buffers):
        part = total.vector[place : place + each.size]
        if shape.scale.limbs == 2:
            part = part + (total.vector[high + place : high + place + each.size] << np.uint64(shape.bits))
        mean = shape.point.decode(part, addends).reshape(each.shape)
        mean /= weight
        bounds.add(each.name, mean, spec.bound_of(each.name))
        sample.append(np.abs(mean.ravel()[::stride]))
        if (model := reference.get(each.name)) is not None:
            mean += model
        arrays[each.name] = _cast(each, mean)
        place += each.size
    bounds.check_norms()
    return arrays, _typical(np.concatenate(sample))


def _typical(magnitudes: NDArray[np.float64]) -> float:
    """What one in ten of those above zero stays below; 0 where none is."""
    above = magnitudes[magnitudes > 0]
    return float(np.quantile(above, _SMALL, method="lower")) if above.size else 0.0


def _decoded_buffers(values: Sequence[int], layout: Layout, spec: MeanSpec, addends: int) -> dict[str, NDArray[Any]]:
    """Buffers' means: sums of weighted values over the sum of weights, which stands first."""
    arrays, place = {}, 1
    for each in layout.buffers(spec.buffers):
        mean = np.array([value / values[0] for value in values[place : place + each.size]], np.float64)
        plausible.check_within(f"buffer {each.name!r}", mean, -VALUES, VALUES, 1 / values[0], addends)
        if each.never_negative:
            np.maximum(mean, 0.0, out=mean)
        arrays[each.name] = _cast(each, mean.reshape(each.shape))
        place += each.size
    return arrays


def _cast(spec: ArraySpec, mean: NDArray[np.float64]) -> NDArray[Any]:
    """A mean in its dtype; raises DataError where it leaves that dtype's range."""
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if mean.size and not (limits.min <= mean.min() and mean.max() <= limits.max):
            raise DataError(f"the mean of array {spec.name!r} is beyond the range of the model's dtype, {dtype}")
        return np.asarray(np.rint(mean)).astype(dtype)
    with np.errstate(over="ignore"):
        found = np.asarray(mean).astype(dtype)
    if not np.isfinite(found).all():
        raise DataError(f"the mean of array {spec.name!r} is beyond the range of the model's dtype, {dtype}")
    return found


def _decoded_metrics(
    part: Vector, layout: Layout, spec: MeanSpec, weight: int, addends: int, shape: _Shape
) -> dict[str, float | list[float]]:
    sums, place = dict[str, list[int]](), 0
    for keys, width in shape.widths:
        sizes = [layout.metrics[key] or 1 for key in keys]
        end = place + sum(sizes) * wide.limbs(shape.bits, width)
        each = iter(wide.decode(part[place:end], addends, shape.bits, width))
        sums |= {key: [next(each) for _ in range(size)] for key, size in zip(keys, sizes, strict=True)}
        place = end
    metrics: dict[str, float | list[float]] = {}
    for key, length in sorted(layout.metrics.items()):
        low, high = spec.range_of(key)
        steps = spec.steps_of(key)
        values = [number / weight * (WEIGHT_STEPS / steps) for number in sums[key]]
        step = WEIGHT_STEPS / steps / weight
        plausible.check_within(f"metric {key!r}", np.array(values), low, high, step, addends)
        values = [min(max(value, low), high) for value in values]  # a grid's multiples may lie beyond it
        metrics[key] = values if length else values[0]
    return metrics


def _checked_weight(weight: Any, spec: MeanSpec) -> float:
    """What a weight counts by the rule of weights, as a multiple of 2^-32.

    Raises DataError where it is none above 0 and up to the largest, or rounds to 0.
    """
    limit = spec.largest_weight or LARGEST_WEIGHT
    number = isinstance(weight, Real) and not isinstance(weight, bool)
    if not (number and 0 < weight <= limit):
        raise DataError(
            f"{spec.weight_key} is {shown(weight)}; it must lie above 0 and at most at {limit} (largest_weight)"
        )
    counted = round(float(weight) * WEIGHT_STEPS) / WEIGHT_STEPS
    if spec.weights == "equal":
        return 1.0
    if not counted:
        raise DataError(f"{spec.weight_key} is {shown(weight)} and rounds to 0, for weights are multiples of 2^-32")
    return math.ldexp(0.5, math.frexp(counted)[1]) if spec.weights == "powers-of-two" else counted


def weight_error(weight: float) -> float:
    """How far a weight is from what it counts as, relatively: weights are multiples of 2^-32."""
    return abs(round(weight * WEIGHT_STEPS) / WEIGHT_STEPS - weight) / weight if 0 < weight < math.inf else 0.0


def _numbers(key: str, value: object) -> list[float]:
    """A metric's values as Python floats; raises LayoutError where it is not a number or a list of numbers."""
    items = [value] if isinstance(value, Real) else list(value) if isinstance(value, list | tuple) else []
    if not items or not all(isinstance(item, Real) for item in items):
        kind = "an empty list" if isinstance(value, list) and not value else f"a {type(value).__name__}"
        raise LayoutError(f"metric {key!r} is {kind}; a number or a list of numbers was expected")
    try:
        return [float(item) for item in items if isinstance(item, Real)]
    except OverflowError:
        return [math.nan] * len(items)


def _refuse_not_finite(name: str, array: NDArray[Any]) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        raise DataError(f"array {name!r} is not finite at {tuple(map(int, bad[0]))} ({len(bad)} such values)")
    raise DataError(f"array {name!r}: the update's difference to the model is not finite")
