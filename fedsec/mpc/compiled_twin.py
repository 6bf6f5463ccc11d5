"""The twin, compiled: the integers of `gradient_descent.iterate` row by row, a hundred times as fast as through a role.

Tested equal to `twin.Twin`, bit for bit, where both round to nearest. It also rounds by chance, as shares do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsec.mpc.activation import HALVINGS, Activation, in_u, lead_of
from fedsec.mpc.gradient_descent import Network
from fedsec.mpc.ring_fixed_point import Fixed, Floats, Multiplier, overflow
from fedsec.mpc.ring_kernels import Int, Integers
from fedsec.primitives.mersenne import jit

_LIMIT = 2.0**62
NEAREST = 0
"""The seed that rounds to nearest instead of by chance."""


@jit
def _low(shift: Int, state: NDArray[np.uint64]) -> Int:
    """What is added before a shift: half a unit, or low bits of splitmix64 (for experiments, no secret)."""
    if state[0] == np.uint64(0):
        return np.int64(1) << np.int64(shift - 1)
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    x = state[0]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((x ^ (x >> np.uint64(31))) & ((np.uint64(1) << np.uint64(shift)) - np.uint64(1)))


@jit
def _cut(value: Int, shift: Int, state: NDArray[np.uint64], worst: Floats) -> Int:
    """value >> shift, rounded; the largest magnitude goes to worst[0]."""
    size = abs(np.float64(value))
    if size > worst[0]:
        worst[0] = size
    return (value + _low(shift, state)) >> np.int64(shift)


@jit
def _mul(a: Int, b: Int, worst: Floats) -> Int:
    size = abs(np.float64(a) * np.float64(b))
    if size > worst[0]:
        worst[0] = size
    return a * b


@jit
def _activate(
    total: Int,
    factors: Int,
    bits: Int,
    kind: Int,
    level: Int,
    factor: Int,
    shift: Int,
    inner: Integers,
    state: NDArray[np.uint64],
    worst: Floats,
) -> Int:
    """polynomial.activate of one value: 2 * bits fractional bits. kind: 0 plain, 1 clipped to level, 2 pieces."""
    one = np.int64(1)
    z = _cut(total, (factors - 1) * bits, state, worst)
    raw = level << np.int64((factors - 1) * bits)
    if kind == 2:
        over, under = total < raw, total < -raw
        line = (z + level) if over and not under else np.int64(0)
        return (line + (np.int64(0) if over else one << np.int64(bits))) << np.int64(bits)
    if kind == 1:
        z = -level if total < -raw else (level if total >= raw else z)
    half = one << np.int64(2 * bits - 1)
    if inner.size == 1:
        return _mul(z, inner[0], worst) + half
    square = _mul(z, z, worst)
    value = _cut(_mul(square, factor, worst), bits + shift, state, worst)
    value += inner[inner.size - 2]
    if inner.size > 2:
        power = _cut(square, bits + 2 * HALVINGS, state, worst)
        for place in range(inner.size - 3, -1, -1):
            value = _cut(_mul(value, power, worst), bits, state, worst) + inner[place]
    return _mul(z, value, worst) + half


@jit
def _row(
    x: Integers,
    y: Int,
    widths: Integers,
    weights: Integers,
    gradient: Integers,
    bits: Int,
    kind: Int,
    level: Int,
    factor: Int,
    shift: Int,
    inner: Integers,
    wide: Integers,
    narrow: Integers,
    slope: Integers,
    delta: Integers,
    sizes: Floats,
    state: NDArray[np.uint64],
    worst: Floats,
) -> None:
    """One row forward and back; its part of the gradient is added, and that part's magnitude to `sizes`."""
    layers, start, last = widths.size - 1, 0, widths.size - 2
    one = np.int64(1) << np.int64(bits)
    for layer in range(layers):
        for j in range(widths[layer + 1]):
            total, size = np.int64(0), 0.0
            for k in range(widths[layer]):
                source = x[k] if layer == 0 else wide[layer - 1, k]
                weight = weights[start + k * widths[layer + 1] + j]
                total += source * weight
                size += np.float64(source) * np.float64(weight)
            if abs(size) > worst[0]:
                worst[0] = abs(size)
            factors = 2 if layer == 0 else 3
            wide[layer, j] = _activate(total, factors, bits, kind, level, factor, shift, inner, state, worst)
            a = _cut(wide[layer, j], bits, state, worst)
            narrow[layer, j] = a
            slope[layer, j] = _cut(_mul(a, one - a, worst), bits, state, worst)
        start += widths[layer] * widths[layer + 1]
    delta[last, 0] = _cut(_mul(narrow[last, 0] - y, slope[last, 0], worst), bits, state, worst)
    for layer in range(last, -1, -1):
        start -= widths[layer] * widths[layer + 1]
        for k in range(widths[layer]):
            source, back, returned = x[k] if layer == 0 else wide[layer - 1, k], np.int64(0), 0.0
            for j in range(widths[layer + 1]):
                place = start + k * widths[layer + 1] + j
                gradient[place] += source * delta[layer, j]
                sizes[place] += np.float64(source) * np.float64(delta[layer, j])
                back += _mul(delta[layer, j], weights[place], worst)
                returned += np.float64(delta[layer, j]) * np.float64(weights[place])
            if abs(returned) > worst[0]:
                worst[0] = abs(returned)
            if layer > 0:
                back = _cut(back, bits, state, worst)
                delta[layer - 1, k] = _cut(_mul(back, slope[layer - 1, k], worst), bits, state, worst)


@jit
def _descend(
    x: Integers,
    y: Integers,
    widths: Integers,
    weights: Integers,
    bits: Int,
    kind: Int,
    level: Int,
    factor: Int,
    shift: Int,
    inner: Integers,
    step: Int,
    step_shift: Int,
    state: NDArray[np.uint64],
    iterations: Int,
    limit: Int,
    worst: Floats,
) -> Int:
    """Up to so many iterations in place; how many were made before a value overflowed or a weight passed `limit`."""
    layers, widest = widths.size - 1, widths.max()
    wide, narrow = np.zeros((layers, widest), np.int64), np.zeros((layers, widest), np.int64)
    slope, delta = np.zeros((layers, widest), np.int64), np.zeros((layers, widest), np.int64)
    for done in range(iterations):
        gradient, sizes = np.zeros(weights.size, np.int64), np.zeros(weights.size)
        for row in range(y.size):
            _row(
                x[row],
                y[row],
                widths,
                weights,
                gradient,
                bits,
                kind,
                level,
                factor,
                shift,
                inner,
                wide,
                narrow,
                slope,
                delta,
                sizes,
                state,
                worst,
            )
            if worst[0] >= _LIMIT:
                return done
        for place in range(weights.size):
            size = abs(sizes[place]) * step
            worst[0] = max(worst[0], size)
            if size >= _LIMIT:
                return done
            first = place < widths[0] * widths[1]
            cut = (bits if first else 2 * bits) + step_shift
            weights[place] -= _cut(gradient[place] * step, cut, state, worst)
        if np.abs(weights).max() > limit:
            return done
    return iterations


@dataclass
class CompiledTwin:
    """A network trained in fixed point in the clear. `weights` are int64 by layer, of network.fixed.bits.

    seed: of the roundings by chance, or NEAREST. limit: a larger weight ends the training.
    """

    network: Network
    features: Floats
    target: Floats
    weights: list[Integers]
    seed: int = NEAREST
    limit: float = 1e6
    iteration: int = 0

    def __post_init__(self) -> None:
        fixed, activation = self.network.fixed, self.network.activation
        self._x, self._y = fixed.encode(self.features), fixed.encode(self.target).reshape(-1)
        self._state, self._worst = np.array([self.seed], np.uint64), np.zeros(1)
        self._kind, self._level, self._factor, self._shift, self._inner = constants(activation, fixed)
        self.collapsed = False

    def run(self, iterations: int) -> bool:
        """Train on; False where a value left the fixed point or a weight passed the limit. `iteration` is where."""
        if self.collapsed:
            return False
        step, flat = self.network.step, np.concatenate([matrix.reshape(-1) for matrix in self.weights])
        widths = np.array(self.network.widths, np.int64)
        done = _descend(
            self._x,
            self._y,
            widths,
            flat,
            self.network.fixed.bits,
            self._kind,
            self._level,
            self._factor,
            self._shift,
            self._inner,
            step.factor,
            step.shift,
            self._state,
            iterations,
            min(int(self.limit * 2.0**self.network.fixed.bits), (1 << 63) - 1),
            self._worst,
        )
        parts = np.split(flat, np.cumsum([matrix.size for matrix in self.weights])[:-1])
        self.weights = [part.reshape(matrix.shape) for part, matrix in zip(parts, self.weights, strict=True)]
        self.collapsed = done < iterations
        self.iteration += done + self.collapsed
        return not self.collapsed

    def explain(self) -> str:
        """What ended the training, in words."""
        bits = 2 * self.network.fixed.bits
        if self._worst[0] >= _LIMIT:
            return str(overflow(f"iteration {self.iteration:,}", float(self._worst[0]) * 2.0**-bits, bits))
        return f"iteration {self.iteration:,}: a weight passed {self.limit:g}"

    def reveal(self) -> list[Floats]:
        """The weights as reals."""
        return [self.network.fixed.decode(matrix) for matrix in self.weights]


def constants(activation: Activation, fixed: Fixed) -> tuple[int, int, int, int, Integers]:
    """Kind, level, leading factor and shift, and the other coefficients, in integers."""
    if activation.piecewise:
        return 2, 1 << (fixed.bits - 1), 0, 0, np.zeros(1, np.int64)
    level = 0 if activation.bound is None else int(fixed.encode(activation.bound))
    scaled = in_u(activation.coefficients)
    lead = lead_of(scaled) if len(scaled) > 1 else Multiplier(0, 0)  # a line has no square
    return int(activation.bound is not None), level, lead.factor, lead.shift, fixed.encode(np.array(scaled))


def started(network: Network, weights: Sequence[Floats]) -> list[Integers]:
    """Weights as the twin takes them."""
    return [network.fixed.encode(matrix) for matrix in weights]
