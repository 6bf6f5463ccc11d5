"""The graph of SecAgg+: its shape, that it is drawn uniformly, and its tails against exact fractions."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.errors import ConfigurationError
from fedsec.primitives import graph
from fedsec.primitives.graph import harary, neighbours, permuted


@given(st.integers(3, 40), st.data())
def test_harary_is_regular_symmetric_and_connected(nodes: int, data: st.DataObject) -> None:
    degree = 2 * data.draw(st.integers(1, (nodes - 1) // 2))
    order = data.draw(st.permutations(range(100, 100 + nodes)))
    near = harary(order, degree)
    assert all(len(near[node]) == degree and node not in near[node] for node in order)
    assert all(one in near[other] for one in order for other in near[one])
    for place, node in enumerate(order):
        assert order[(place + 1) % nodes] in near[node]


@pytest.mark.parametrize(("nodes", "degree"), [(5, 3), (5, 0), (5, 6), (4, 4), (1, 2)])
def test_degrees_that_no_graph_has(nodes: int, degree: int) -> None:
    with pytest.raises(ConfigurationError, match=f"degree: {degree}; an even number from 2 to below {nodes}"):
        harary(range(nodes), degree)


def test_the_order_is_uniform_and_follows_from_the_seed() -> None:
    seeds = [number.to_bytes(32, "big") for number in range(6000)]
    counts = Counter(tuple(permuted([7, 8, 9], seed)) for seed in seeds)
    assert counts.keys() == set(itertools.permutations([7, 8, 9]))
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 30  # chi-square, 5 degrees: p < 2e-5
    assert permuted({9, 7, 8}, seeds[3]) == permuted([8, 9, 7], seeds[3])


def exact_tail(population: int, marked: int, drawn: int, least: int) -> Fraction:
    ways = sum(math.comb(marked, x) * math.comb(population - marked, drawn - x) for x in range(least, drawn + 1))
    return Fraction(ways, math.comb(population, drawn))


@given(st.integers(1, 300), st.data())
def test_tails_equal_exact_fractions(population: int, data: st.DataObject) -> None:
    marked, drawn = data.draw(st.integers(0, population)), data.draw(st.integers(0, population))
    least = data.draw(st.integers(0, drawn + 1))
    tail, exact = graph._log2_tail(population, marked, drawn, least), exact_tail(population, marked, drawn, least)
    if exact == 0:
        assert tail == -math.inf
    else:
        logarithm = math.log2(exact.numerator) - math.log2(exact.denominator)
        assert tail == pytest.approx(logarithm, rel=1e-9, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [101, 150, 300, 1000])
@pytest.mark.parametrize("corruption", [0.05, 0.1, 0.2, 1 / 3])
def test_the_neighbours_found_are_good_and_the_fewest(nodes: int, corruption: float) -> None:
    found = neighbours(nodes, corruption, 1 / 3)
    if found is None:
        assert corruption == 1 / 3 and nodes == 101
        return
    assert good(nodes, corruption, found.degree, found.threshold)
    smaller = found.degree - 2
    assert not any(good(nodes, corruption, smaller, threshold) for threshold in range(1, smaller + 1))


def good(nodes: int, corruption: float, degree: int, threshold: int) -> bool:
    """Bell et al., definition 3.1 with union bounds, on exact fractions."""
    corrupt, silent = graph.part(corruption, nodes), graph.part(1 / 3, nodes)
    alive, gone = nodes - silent, corrupt + silent
    apart = Fraction(nodes * math.comb(gone, degree // 2), math.comb(nodes, degree // 2))
    revealed = nodes * exact_tail(nodes - 1, corrupt, degree, threshold)
    half = Fraction(1, 1 << (graph.SECURITY_BITS + 1))
    if revealed > half or apart > half:
        return False
    of_silent = 1 - exact_tail(nodes - 1, alive, degree, threshold)
    of_survivor = 1 - exact_tail(nodes - 1, alive - 1, degree, threshold - 1)
    return nodes * max(of_silent, of_survivor) <= Fraction(1, 1 << graph.CORRECTNESS_BITS)


@pytest.mark.parametrize(("corruption", "degree"), [(0.1, 110), (0.2, 178), (1 / 3, 318)])
def test_a_thousand_hospitals_of_whom_a_third_may_fall_silent(corruption: float, degree: int) -> None:
    found = neighbours(1000, corruption, 1 / 3)
    assert found is not None and found.degree == degree
