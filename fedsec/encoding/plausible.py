"""What comes out of a sum is checked before it is used: what no honest contributions add up to makes the round void.

One hospital can send any integers in place of its update, and a secure sum hides whose they are. So it can make a
round void, which is noticed and not attributed. Within the bounds that all parties agreed on it is not noticed.

Rounding is allowed for: each contributor rounds a coordinate by at most half a step, and floating point adds a
relative 2^-40 at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage
from fedsec.protocol import Vector

RELATIVE = 2.0**-40
"""What floating point may add to a bound."""
UNTOLD = "one hospital's input is enough for this, and a secure sum does not tell whose"


def check_sums(vector: Vector, addends: int, bits: int) -> None:
    """Raise BadMessage where a coordinate is above what so many values of `bits` bits come to."""
    largest, limit = int(vector.max(initial=0)), addends * ((1 << bits) - 1)
    if largest > limit:
        raise BadMessage(
            f"a coordinate of the sum is {largest}, and {addends} values of {bits} bits come to {limit} at most: "
            f"{UNTOLD}"
        )


def check_counts(counts: Mapping[str, int], addends: int) -> None:
    """Raise BadMessage where a count, by what it counts, is above the number of contributors."""
    for what, number in counts.items():
        if number > addends:
            raise BadMessage(f"the sum counts {number} hospitals {what}, and {addends} contributed: {UNTOLD}")


def check_disjoint(counts: Mapping[str, int], addends: int) -> None:
    """Raise BadMessage where counts of which no hospital is in two are together above the number of contributors."""
    if sum(counts.values()) > addends:
        parts = " and ".join(f"{number} {what}" for what, number in counts.items())
        raise BadMessage(
            f"the sum counts {parts}; no hospital is counted in two of these, and {addends} contributed: {UNTOLD}"
        )


def check_bands(bands: Sequence[int], unusable: int, addends: int) -> None:
    """Raise BadMessage unless each contributor is in one band of sizes at most, and only these are counted as coarse.

    bands: the hospitals in each, and last those for whom one limb is too coarse.
    """
    *sizes, coarse = bands
    check_disjoint({"without a usable update": unusable, "with a change": sum(sizes)}, addends)
    if coarse > sum(sizes):
        raise BadMessage(f"the sum counts {coarse} hospitals with a coarse change and {sum(sizes)} with any: {UNTOLD}")


def check_histograms(largest: Sequence[int], typical: Sequence[int], unusable: int, addends: int) -> None:
    """Raise BadMessage unless each contributor is at one rung of each histogram at most.

    A hospital with a typical change has a largest one.
    """
    check_bands((*largest, sum(typical)), unusable, addends)


def check_weight(total: int, steps: int, heaviest: float, rule: str, addends: int) -> None:
    """Raise BadMessage unless so many contributors can have this total weight, in multiples of 1 / steps.

    heaviest: of one contributor. rule: as of `MeanSpec.weights`; the sum of n powers of two has at most n bits set.
    """
    weight = total / steps
    if not 0 < total <= addends * heaviest * steps:
        raise BadMessage(
            f"the total weight is {weight:g}; {addends} contributors of at most {heaviest:g} each were included: "
            f"{UNTOLD}"
        )
    if rule == "equal" and total != addends * steps:
        raise BadMessage(f"the total weight is {weight:g}; each of {addends} contributors weighs 1: {UNTOLD}")
    if rule == "powers-of-two" and total.bit_count() > addends:
        raise BadMessage(f"the total weight is {weight:g}, no sum of {addends} powers of two: {UNTOLD}")


def check_within(what: str, values: NDArray[np.float64], low: float, high: float, step: float, addends: int) -> None:
    """Raise BadMessage where a mean leaves the range that each contributor's values lie in.

    step: of the fixed point, in the mean.
    """
    if not values.size:
        return
    slack = addends * step / 2 + RELATIVE * max(abs(low), abs(high))
    for value, limit, beyond in (
        (float(values.min()), low, float(values.min()) < low - slack),
        (float(values.max()), high, float(values.max()) > high + slack),
    ):
        if beyond:
            raise BadMessage(f"the mean of {what} is {value:g}, beyond its limit of {limit:g}: {UNTOLD}")


class ChangeBounds:
    """What a mean's change of the parameters may be: each contributor's lies within these bounds, so their mean does.

    largest  of a coordinate
    norms    L2 norms of groups of arrays, by the pattern that names the group
    step     of the fixed point, in the mean
    """

    def __init__(self, largest: float, norms: Mapping[str, float], step: float, addends: int) -> None:
        self.largest, self.norms, self.step, self.addends = largest, norms, step, addends
        self._groups: dict[str, tuple[float, int]] = {}

    def add(self, name: str, change: NDArray[np.float64], group: tuple[str, float] | None) -> None:
        """Raise BadMessage where a coordinate of an array's change is beyond its bound; count it with its group."""
        check_within(f"the change of array {name!r}", change, -self.largest, self.largest, self.step, self.addends)
        if group is not None:
            squares, size = self._groups.get(group[0], (0.0, 0))
            flat = change.ravel()
            self._groups[group[0]] = squares + float(np.einsum("i,i->", flat, flat)), size + flat.size

    def check_norms(self) -> None:
        """Raise BadMessage where a group's change is longer than its bound."""
        for group, (squares, size) in self._groups.items():
            norm, limit = math.sqrt(squares), self.norms[group]
            if norm > limit * (1 + RELATIVE) + math.sqrt(size) * self.addends * self.step / 2:
                raise BadMessage(
                    f"the mean's change of the arrays {group!r} has the L2 norm {norm:g}, beyond its limit of "
                    f"{limit:g}: {UNTOLD}"
                )
