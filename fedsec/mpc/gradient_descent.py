"""Gradient descent of a sigmoid network on shared rows: one program for parties, dealer and twin.

Full-batch descent on the squared error, the gradient summed over the rows (not averaged): delta = (a - y) a (1 - a) at
the output, (delta W^T) a (1 - a) before it. Rows, targets and weights are shared; shapes, rate and activation public.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedsec.errors import ConfigurationError, DataError
from fedsec.mpc.activation import Activation, activate
from fedsec.mpc.ring_fixed_point import Fixed, Floats, Multiplier, multiplier
from fedsec.mpc.roles import MOST_CUT, Program, Returned, Role, Share, Truncation, Wire

RATE_BITS = 2
LARGEST_RATE, LEAST_RATE_BITS = 3, 38
LARGEST_FEATURE = 8.0
"""Features lie within ± this, and targets within ±1, so that bounds of what is computed from them are known."""


@dataclass(frozen=True)
class Network:
    """Columns of the rows, hidden units by layer, and one output; the bias is a column of the rows.

    widths: at least two. rate: the step, of which `step` is the nearest that shares compute with; from `smallest_rate`
    to LARGEST_RATE. Raises ConfigurationError for what shares cannot compute.
    """

    widths: tuple[int, ...]
    activation: Activation
    rate: float = 0.001
    fixed: Fixed = Fixed()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        whole = isinstance(self.widths, tuple) and all(type(width) is int for width in self.widths)
        if not whole or len(self.widths) < 2 or min(self.widths) < 1 or self.widths[-1] != 1:
            raise ConfigurationError(
                f"widths is {self.widths!r}; a tuple of two whole numbers above 0, or more, is needed, the last one 1"
            )
        for name, value, kind in (("activation", self.activation, Activation), ("fixed", self.fixed, Fixed)):
            if not isinstance(value, kind):
                raise ConfigurationError(f"{name} is {value!r}; an instance of {kind.__name__} was expected")
        number = isinstance(self.rate, int | float) and not isinstance(self.rate, bool)
        if not (number and 2.0**-self._most_shift <= self.rate <= LARGEST_RATE):
            raise ConfigurationError(
                f"rate is {self.rate!r}; with {self.fixed.bits} fractional bits and {self.layers} layers of weights it "
                f"must lie between 2^-{self._most_shift} ({self.smallest_rate:.3g}) and {LARGEST_RATE}"
            )
        self.activation.check(self.fixed, self._factors)

    @property
    def _factors(self) -> int:
        """Of how many numbers at `fixed` a sum before an activation is the product, at most."""
        return 2 if self.layers == 1 else 3

    @property
    def _most_shift(self) -> int:
        """The most bits that a gradient's truncation has left for the rate."""
        return min(LEAST_RATE_BITS, MOST_CUT - (self._factors - 1) * self.fixed.bits)

    @property
    def smallest_rate(self) -> float:
        """The least rate that shares compute with: 2^-38, or more where layers and fractional bits leave less room."""
        return 2.0**-self._most_shift

    @property
    def layers(self) -> int:
        """Matrices of weights."""
        return len(self.widths) - 1

    @property
    def step(self) -> Multiplier:
        """The rate as 1 or 3 times a power of two: more digits would take range from the gradients."""
        return multiplier(self.rate, RATE_BITS, self._most_shift)

    @property
    def steepest(self) -> float:
        """What a (1 - a) stays below in magnitude for each a that the activation can give."""
        largest = self.activation.largest(self.fixed) + self.fixed.unit
        return max(0.25, largest * (largest - 1)) + self.fixed.unit if math.isfinite(largest) else math.inf

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of the weights, from the first layer on."""
        return [(rows, columns) for rows, columns in zip(self.widths, self.widths[1:], strict=False)]

    @property
    def rounds(self) -> int:
        """Rounds of one iteration: weights, each activation, the output's error, three for each layer before."""
        return 1 + self.layers * self.activation.rounds + 3 + 3 * (self.layers - 1) + 1


@dataclass(frozen=True, eq=False, repr=False)
class Layer:
    """What the way forward leaves for the way back: the input of a layer, its weights, and a and a (1 - a) after it."""

    source: Wire
    weights: Wire
    output: Wire
    slope: Share


def check_rows(features: Floats, target: Floats, network: Network) -> None:
    """Raise DataError unless one hospital's rows suit the network and lie within the reach that bounds count on."""
    wanted = (len(features), network.widths[0]), (len(features), 1)
    if (features.shape, target.shape) != wanted:
        raise DataError(f"features and target have shapes {features.shape} and {target.shape}; {wanted} are expected")
    for name, values, limit in (("features", features, LARGEST_FEATURE), ("target", target, 1.0)):
        largest = float(np.abs(values).max()) if values.size else 0.0
        if not largest <= limit:
            raise DataError(f"{name}: a value of magnitude {largest:.4g} was given; all must lie within ±{limit:g}")


def load(role: Role, features: Share, target: Share) -> Program[list[Wire]]:
    """Mask the shared rows once: features [rows, columns] and target [rows, 1], each under masks that stay."""
    return (yield from role.open(masked=[features, target]))


def forward(role: Role, network: Network, rows: Wire, weights: Sequence[Wire]) -> Program[list[Layer]]:
    """All layers; a hidden layer's output is opened twice in one round, under a mask for products and truncated."""
    bits, layers, source = network.fixed.bits, [], rows
    for number, matrix in enumerate(weights, start=1):
        total = role.matmul(source, matrix, f"layer {number}'s sum")
        factors = 2 if number == 1 else 3  # outputs keep twice the bits
        place = f"layer {number}'s activation"
        value = yield from activate(role, total, network.activation, network.fixed, place, factors)
        narrow = Truncation(value, bits, f"layer {number}'s output", 2 * bits)
        opened = yield from role.open(masked=[] if number == network.layers else [value], truncated=[narrow])
        slope = role.multiply(opened[-1], role.combine([(-1, opened[-1])], 1 << bits))
        slope = role.known(slope, network.steepest * 4.0**bits)
        layers.append(Layer(source, matrix, opened[-1], slope))
        source = opened[0]
    return layers


def backward(role: Role, network: Network, layers: Sequence[Layer], target: Wire) -> Program[list[Share]]:
    """The step of each layer's weights, at network.fixed.bits: rate times the gradient."""
    bits, step = network.fixed.bits, network.step
    slopes = yield from role.open(
        truncated=[Truncation(layer.slope, bits, f"layer {n}'s slope", 2 * bits) for n, layer in enumerate(layers, 1)]
    )
    error = role.combine([(1, layers[-1].output), (-1, target)])
    raw, steps = role.multiply(error, slopes[-1]), []
    for number in range(len(layers), 0, -1):
        layer, place = layers[number - 1], f"layer {number}'s error"
        (narrow,) = yield from role.open(truncated=[Truncation(raw, bits, place, 2 * bits)])
        (delta,) = yield from role.open(masked=[narrow.share])
        factors = 2 if number == 1 else 3
        gradient = role.times(
            role.matmul(role.transpose(layer.source), delta, f"layer {number}'s gradient"), step.factor
        )
        scale = factors * bits + step.shift
        steps.append(Truncation(gradient, scale - bits, f"layer {number}'s gradient", scale))
        if number > 1:
            back = role.matmul(delta, role.transpose(layer.weights), place)
            (narrow,) = yield from role.open(truncated=[Truncation(back, bits, place, 2 * bits)])
            raw = role.multiply(narrow, slopes[number - 2])
    opened = yield from role.open(truncated=steps[::-1])
    return [wire.share for wire in opened]


def iterate(role: Role, network: Network, rows: Wire, target: Wire, weights: Sequence[Share]) -> Program[list[Share]]:
    """One step of descent: the new weights, at network.fixed.bits."""
    matrices = yield from role.open(masked=list(weights))
    layers = yield from forward(role, network, rows, matrices)
    steps = yield from backward(role, network, layers, target)
    return [role.plus(old, role.times(step, -1)) for old, step in zip(weights, steps, strict=True)]


def outside(role: Role, network: Network, weights: Sequence[Share], limit: float) -> Program[int]:
    """How many weights lie beyond ±limit, in the clear to both parties. Seven rounds."""
    raw = int(network.fixed.encode(limit))
    whole = Truncation(role.flat(weights), 1, "a weight", network.fixed.bits, compared=True)
    (wire,) = yield from role.open(truncated=[whole])
    under, over = yield from role.below(wire, (-raw, raw))
    beyond = role.plus(under.share, role.plus_public(role.times(over.share, -1), 1))
    return (yield from role.announce(beyond))


def finish(program: Program[Returned]) -> Returned:
    """The result of a program that exchanges nothing: the dealer's or the twin's."""
    try:
        next(program)
    except StopIteration as stop:
        result: Returned = stop.value
        return result
    raise ConfigurationError("this role exchanges with a peer: it is run by a transport")
