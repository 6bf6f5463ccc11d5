"""The scale of a round's fixed point: a rung of a ladder of powers of two, which every party computes for itself.

A parameter's change v of a hospital with weight w travels as w·v in steps of 2^rung / 2^(bits - 1). Where the terms
name clip and largest weight, their product is the scale and nothing is measured. Elsewhere the first session of a
stage sums histograms of rungs (the largest and the typical |w·v| of each hospital); the rung of each later session
follows from counts that the sum of the session before it opened, as the clipping norm does in Andrew et al.,
"Differentially Private Learning with Adaptive Clipping", 2021, with the share within the bound kept at 1. Whoever is
not sampled in a session, or starts slowly, must find room in the next one: the scale has a wide margin and falls only
where even two limbs are too coarse; what a large scale costs is a second limb.

A scale that a server picked freely would be an attack: with one so large that all other hospitals round to zero, a
sum is one hospital's update. So histogram and counts travel in the plan of each session, the session is bound to the
plan, and a party refuses a plan that does not continue the one before it or leaves the terms' ladder.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fedsec.errors import BadMessage
from fedsec.protocol import Exposure, Message

LADDER = (-40, 48)
"""Lowest and highest rung where terms name no others: |w·v| from 2^-40, about 10^-12, to 2^48."""
MARGIN = 8
"""Rungs between the largest value that was measured and the scale: what comes later may be 256 times as large."""
UNKNOWN = 24
"""The rung where nothing changed while the stage was measured: two limbs carry what then comes."""
COARSE_BITS = 7
"""Where fewer than 2^7 steps, about a hundred, make a typical value, the scale is too coarse for it."""
SMALL = 1 << 16
"""Up to so many parameters take two limbs each wherever the scale is measured: it costs little, and rounds nothing."""
LIMBS_BITS = 48
"""Bits of a parameter in two limbs, or twice those of one where that is less."""
BANDS = (1.0, 1 / 4, 1 / 64, 1 / 4096)
"""A hospital's largest |w·v| is above the scale, or lies between two of these fractions of it, or below all."""
UP = 8
"""By how many rungs the scale rises where a hospital's value is above it."""
DOWN = (0, 0, 0, -4, -10)
"""By how many it falls where even two limbs are too coarse for most hospitals, by the highest band with a hospital."""
COUNTS = len(DOWN) + 1
"""What is counted in each session: the hospitals in each band, and those for whom its limbs are too coarse."""


@dataclass(frozen=True)
class Scale:
    """How parameters are encoded: |w·v| up to `bound`, in `limbs` values of the sum each."""

    bound: float
    limbs: int = 1

    def width(self, bits: int) -> int:
        """The bits of a parameter, where a value of the sum has `bits`."""
        return bits if self.limbs == 1 else min(max(LIMBS_BITS, bits), 2 * bits)


@dataclass(frozen=True)
class Plan(Message, tag="fedsec.plan/1"):
    """How the contributions of one session are encoded: public, the same for all, and bound to the session.

    model      the SHA-256 of the model that contributors are sent
    measuring  whether this session sums the histograms and no update
    layout     the encoded layout of this stage, b"" where none is known yet: that of a hospital with no usable update
    largest    how many hospitals' largest |w·v| lay at each rung when the stage was measured; empty before
    typical    the same of the typical |w·v|
    counts     of each session of the stage since then, what its sum opened
    """

    model: Annotated[bytes, Exposure.PUBLIC]
    measuring: Annotated[bool, Exposure.PUBLIC] = False
    layout: Annotated[bytes, Exposure.PUBLIC] = b""
    largest: Annotated[tuple[int, ...], Exposure.OPENED] = ()
    typical: Annotated[tuple[int, ...], Exposure.OPENED] = ()
    counts: Annotated[tuple[tuple[int, ...], ...], Exposure.OPENED] = ()

    def check(self, ladder: tuple[int, int], before: Plan | None) -> None:
        """Raise BadMessage unless this plan is well formed and continues `before`, the last one of its stage."""
        rungs = ladder[1] - ladder[0] + 1
        sizes = {len(self.largest), len(self.typical)}
        if sizes not in ({0}, {rungs}) or any(len(counted) != COUNTS for counted in self.counts):
            raise BadMessage(f"a plan with histograms of {sizes} rungs; the ladder has {rungs}")
        numbers = [*self.largest, *self.typical, *(number for counted in self.counts for number in counted)]
        if any(number < 0 for number in numbers):
            raise BadMessage("a plan with a count below zero")
        if self.measuring and self.largest:
            raise BadMessage("a plan that measures what was measured before")
        if self.counts and not self.largest:
            raise BadMessage("a plan with counts of sessions, and none that measured the scale")
        if before is None or not before.largest:
            return
        if (self.largest, self.typical) != (before.largest, before.typical):
            raise BadMessage("the plan's histogram is not the one of this stage's earlier sessions")
        if self.counts[: len(before.counts)] != before.counts:
            raise BadMessage("the plan's counts do not continue those of this stage's earlier sessions")

    def scale(self, ladder: tuple[int, int], bits: int) -> Scale:
        """The scale that histograms and counts lead to: a pure function of what was opened, as each party computes it.

        bits: of a value of the sum. Raises BadMessage where nothing was measured.
        """
        if not self.largest:
            raise BadMessage("the plan names no scale: this stage was not measured")
        lowest, highest = ladder
        top, typical = _highest(self.largest), _highest(self.typical)
        rung = UNKNOWN if top is None else lowest + top + MARGIN
        rung = min(max(rung, lowest), highest)
        limbs = 2 if typical is None or _coarse(rung, lowest + typical, bits) else 1
        for *bands, coarse in self.counts:
            band, too_coarse = _lowest(bands), 2 * coarse > sum(bands)
            if band is None:
                continue
            move = UP if band == 0 else DOWN[band] if too_coarse and limbs == 2 else 0
            rung = min(max(rung + move, lowest), highest)
            limbs = 2 if too_coarse else limbs
        return Scale(math.ldexp(1.0, rung), limbs)


def plan_hash(plan: bytes) -> bytes:
    """SHA-256 of an encoded plan: what its session names as its model."""
    return hashlib.sha256(b"fedsec plan" + plan).digest()


def rung(value: float) -> int:
    """The lowest r with value <= 2^r, of a value above 0."""
    fraction, exponent = math.frexp(value)
    return exponent - 1 if fraction == 0.5 else exponent


def histogram(value: float, ladder: tuple[int, int]) -> list[int]:
    """A 1 at the rung of `value`, or at the ladder's nearest end, and zeros elsewhere; zeros alone for 0."""
    lowest, highest = ladder
    found = [0] * (highest - lowest + 1)
    if value > 0:
        found[min(max(rung(value), lowest), highest) - lowest] = 1
    return found


def count(largest: float, typical: float, scale: Scale, bits: int) -> list[int]:
    """What one hospital adds to the counts of a session, from its largest and its typical |w·v|."""
    found = [0] * COUNTS
    if largest > 0:
        band = next((place for place, share in enumerate(BANDS) if largest > share * scale.bound), len(BANDS))
        found[band] = 1
        found[-1] = int(typical > 0 and _coarse(rung(scale.bound), rung(typical), scale.width(bits)))
    return found


def _coarse(scale: int, typical: int, bits: int) -> bool:
    """Whether so many bits have too few steps for a value at this rung."""
    return scale - (bits - 1) + COARSE_BITS > typical - 1


def _highest(counts: Sequence[int]) -> int | None:
    places: Iterable[int] = (place for place, number in enumerate(counts) if number)
    return max(places, default=None)


def _lowest(counts: Sequence[int]) -> int | None:
    return next((place for place, number in enumerate(counts) if number), None)
