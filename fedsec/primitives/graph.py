"""The random k-regular graph of SecAgg+, and how many neighbours and shares it takes.

Source: J. H. Bell et al., Secure single-server aggregation with (poly)logarithmic overhead, CCS 2020, sections 3.3-3.5:
a Harary graph (each node joined to the k/2 next ones on either side of a circle) whose nodes are put in random order.
Bell et al. bound the tails; here they are summed, so k is as small as the definition of a good graph allows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fedsec.errors import ConfigurationError
from fedsec.primitives import prg
from fedsec.primitives.randomness import randbelow

SECURITY_BITS = 40
"""sigma: the graph is bad for some hospital's privacy with probability at most 2^-40."""
CORRECTNESS_BITS = 30
"""eta: a sum is lost although dropouts stayed within bounds with probability at most 2^-30."""


@dataclass(frozen=True)
class Neighbours:
    """`degree` (k) neighbours for each node, `threshold` (t) of whom recover what a node shared among them."""

    degree: int
    threshold: int


def part(fraction: float, nodes: int) -> int:
    """Return how many nodes a fraction is, at most: of the number as written, so that 0.29 of 200 is 58."""
    return math.floor(Fraction(str(fraction)) * nodes)


def permuted(nodes: Collection[int], seed: bytes) -> list[int]:
    """Return `nodes` in an order that is uniform over the 32-byte `seed`: Fisher and Yates' shuffle of their order."""
    order, draw = sorted(nodes), prg.expand(seed)
    for last in range(len(order) - 1, 0, -1):
        chosen = randbelow(last + 1, draw)
        order[last], order[chosen] = order[chosen], order[last]
    return order


def harary(order: Sequence[int], degree: int) -> dict[int, frozenset[int]]:
    """Return each node's neighbours: the degree/2 before it and after it on the circle `order`.

    Raises ConfigurationError for an odd degree, or one that is not below the number of nodes.
    """
    if degree % 2 or not 2 <= degree < len(order):
        raise ConfigurationError(f"degree: {degree}; an even number from 2 to below {len(order)} nodes is needed")
    circle = [*order, *order, *order]
    size, half = len(order), degree // 2
    return {
        node: frozenset(
            circle[size + position - half : size + position] + circle[size + position + 1 : size + position + half + 1]
        )
        for position, node in enumerate(order)
    }


@functools.lru_cache(maxsize=256)
def neighbours(nodes: int, corruption: float, dropout: float) -> Neighbours | None:
    """Return the fewest neighbours with which a random graph on `nodes` is good (Bell et al., definition 3.1).

    `corruption` and `dropout` are the largest fractions of nodes that collude and that drop out. Good means, in the
    numbers of corrupt neighbours X and surviving neighbours Y of a node, which are hypergeometric:
    no honest node has X >= t, and the honest survivors are connected, but with probability 2^-40; and no node has
    Y < t, but with probability 2^-30. None where no graph with k < nodes - 1 is good.
    """
    corrupt, dropped = part(corruption, nodes), part(dropout, nodes)
    for degree in range(2, nodes - 1, 2):
        threshold = _least_threshold(nodes, corrupt, degree)
        if threshold is None or _unconnected(nodes, corrupt + dropped, degree) > -SECURITY_BITS - 1:
            continue
        # A node that dropped out itself has one survivor more among the others, and lacks its own share.
        alive = nodes - dropped
        lost = max(
            _log2_tail(nodes - 1, nodes - 1 - alive, degree, degree - threshold + 1),
            _log2_tail(nodes - 1, nodes - alive, degree, degree - threshold + 2),
        )
        if lost + math.log2(nodes) <= -CORRECTNESS_BITS:
            return Neighbours(degree, threshold)
    return None


def _least_threshold(nodes: int, corrupt: int, degree: int) -> int | None:
    """The least t such that some honest node has t corrupt neighbours with probability at most 2^-(sigma + 1)."""
    low, high = 2, degree + 1  # one share alone would be the secret
    while low < high:
        middle = (low + high) // 2
        if _log2_tail(nodes - 1, corrupt, degree, middle) + math.log2(nodes) <= -SECURITY_BITS - 1:
            high = middle
        else:
            low = middle + 1
    return low if low <= degree else None


def _unconnected(nodes: int, gone: int, degree: int) -> float:
    """log2 of a bound on the chance that the nodes that stay are not connected: k/2 in a row are gone somewhere."""
    half = degree // 2
    if gone < half:
        return -math.inf
    return math.log2(nodes) + sum(math.log2((gone - i) / (nodes - i)) for i in range(half))


@functools.lru_cache(maxsize=1 << 16)
def _log2_tail(population: int, marked: int, drawn: int, least: int) -> float:
    """log2 of the probability that at least `least` of `drawn` out of `population` are among the `marked`.

    The terms of the tail are summed in logarithms, so that none underflows.
    """
    terms = [
        _log_comb(marked, x) + _log_comb(population - marked, drawn - x) - _log_comb(population, drawn)
        for x in range(max(least, drawn - population + marked, 0), min(marked, drawn) + 1)
    ]
    if not terms:
        return -math.inf
    largest = max(terms)
    return min(0.0, (largest + math.log(math.fsum(math.exp(term - largest) for term in terms))) / math.log(2))


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
