"""How many honest hospitals a corrupt one can cost their place under secagg, by what it says of seals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from fedsec.primitives.ring import R32
from fedsec.strategies.secagg import MaskedInput, agreeing


def lost(hospitals: int, corrupt: frozenset[int], without: Mapping[int, frozenset[int]]) -> int:
    """How many honest hospitals are left out, where each masked without these."""
    everyone = frozenset(range(1, hospitals + 1))
    masked = {
        party: MaskedInput(np.zeros(1, np.uint32), everyone - {party} - without.get(party, frozenset()), b"")
        for party in everyone
    }
    return len(everyone - corrupt - agreeing(masked, dict.fromkeys(everyone, everyone), R32))


def subsets(parties: frozenset[int]) -> Iterator[frozenset[int]]:
    for size in range(len(parties) + 1):
        yield from map(frozenset, itertools.combinations(sorted(parties), size))


@pytest.mark.parametrize("hospitals", [4, 5])
def test_one_corrupt_hospital_costs_two_honest_ones_at_most(hospitals: int) -> None:
    """All that it can claim, and all whom it can seal garbage to, whatever its number."""
    worst = 0
    for corrupt in range(1, hospitals + 1):
        honest = frozenset(range(1, hospitals + 1)) - {corrupt}
        for claims, victims in itertools.product(subsets(honest), subsets(honest)):
            without = {corrupt: claims} | {victim: frozenset({corrupt}) for victim in victims}
            worst = max(worst, lost(hospitals, frozenset({corrupt}), without))
    assert worst == 2


def test_two_corrupt_hospitals_can_cost_six() -> None:
    without = {1: frozenset({9, 10, 3, 4}), 2: frozenset({9, 10, 5, 6})}
    assert lost(10, frozenset({1, 2}), without) == 6
