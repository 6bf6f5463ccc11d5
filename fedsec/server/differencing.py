"""What the released sums reveal about single parties, by linear algebra alone.

A server that sees a count summed over one cohort, and over another that differs by one party, knows that party's
count. In general a party's value follows from the released sums if and only if its unit vector lies in the row space of
the matrix that says who was in which sum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fedsec.protocol import PartyId


def determined(sums: Sequence[tuple[Collection[PartyId], float]]) -> Mapping[PartyId, float]:
    """The parties whose value follows from the sums, and the value.

    sums: who was in a sum, and what it came to. A party has the same value in each; where it has about the same, as a
    metric of a model that settles, what is returned is an estimate. Parties whose value stays open are left out.

    >>> determined([({1, 2, 3}, 60), ({1, 2, 3, 4}, 100), ({1, 2, 5}, 80)])
    {4: 40.0}
    """
    totals: dict[frozenset[PartyId], list[float]] = {}
    for parties, total in sums:
        totals.setdefault(frozenset(parties), []).append(total)
    everyone = sorted(set().union(*totals)) if totals else []
    if not everyone:
        return {}
    matrix = np.array([[party in cohort for party in everyone] for cohort in totals], dtype=np.float64)
    inverse = np.linalg.pinv(matrix)
    known = np.abs(np.einsum("ps,sp->p", inverse, matrix) - 1.0) < 1e-9
    values = inverse @ np.array([np.mean(repeated) for repeated in totals.values()])
    return {party: round(float(values[row]), 6) for row, party in enumerate(everyone) if known[row]}
