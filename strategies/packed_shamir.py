"""Shamir's sharing with several values in each share: a fraction of the bytes, for a fraction of the tolerance.

Reference: M. Franklin, M. Yung, STOC 1992; sums of shares as in M. Ben-Or, S. Goldwasser, A. Wigderson, STOC 1988.
Server learns: the sum, and who took part.
Trusts: the server is semi-honest and at most k hospitals collude; for a malicious server see `server`.
Tolerates: n-k-l dropouts; no sum below the cohort floor.
Costs: two phases, or three; up n-k sealed shares of 1/l of the values, k-1 seeds, then one share; 4 or 8 bytes a value.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedsec.errors import ConfigurationError
from fedsec.protocol import PartyId, parameter
from fedsec.strategies.shamir import Shamir


@dataclass(frozen=True)
class PackedShamir(Shamir):
    """Shamir's protocol with polynomials that carry `pack` values each; `threshold` is k+l.

    k is at least half of the cohort, and against a malicious server k+l is at least two thirds.
    """

    pack: int = parameter(
        0, "l, values in a share; 0: half of the hospitals that k leaves; the rest may drop out", low=0, unit="values"
    )

    def packed(self, clients: Collection[PartyId]) -> int:
        return self.pack or max((len(clients) - len(clients) // 2) // 2, 1)

    def columns(self, clients: Collection[PartyId], values: int) -> int:
        return -(-values // self.packed(clients))

    def check(self, clients: Collection[PartyId]) -> None:
        pack, needed = self.packed(clients), self.points_needed(clients)
        if not 1 <= pack < len(clients):
            raise ConfigurationError(f"pack is {pack}; it must lie between 1 and {len(clients) - 1} for this cohort")
        if needed <= pack:
            raise ConfigurationError(
                f"threshold is {needed}; it must exceed pack, which is {pack}, by the k that collude"
            )
        super().check(clients)
