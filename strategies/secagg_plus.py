"""SecAgg on a sparse random graph: each hospital shares masks and secrets with its neighbours only.

Reference: J. H. Bell et al., Secure single-server aggregation with (poly)logarithmic overhead, CCS 2020, algorithm 2.
Server learns: the sum, and who took part.
Trusts: above 100 hospitals the server is semi-honest and at most a stated fraction colludes; up to 100 as secagg.
Tolerates: dropouts of a stated fraction; up to 100 hospitals as secagg.
Costs: four phases; one vector and k small shares up; k+1 masks; k grows with the logarithm of the cohort.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fedsec.errors import ConfigurationError
from fedsec.primitives.graph import SECURITY_BITS, Neighbours, harary, neighbours, part, permuted
from fedsec.protocol import PartyId, ServerModel, parameter
from fedsec.strategies.secagg import MaskKey, SecAgg

COMPLETE = 100
"""Up to so many hospitals, all are neighbours: a sparse graph would save nothing."""


@dataclass(frozen=True)
class SecAggPlus(SecAgg):
    """SecAgg among neighbours. Above 100 parties the number of neighbours and t follow from the two fractions.

    Up to 100 parties the graph is complete and the protocol is secagg's, so `server` and `threshold` are secagg's
    too. Above, Bell et al. need another way to draw the graph against a malicious server.
    """

    server: str = parameter(
        ServerModel.SEMI_HONEST, f"What the server may do; malicious is for at most {COMPLETE} hospitals"
    )
    threshold: int = parameter(
        0, f"t, for at most {COMPLETE} hospitals; 0: the fewest that `server` allows", low=0, unit="hospitals"
    )
    corruption: float = parameter(
        0.1, f"Largest fraction of the cohort that colludes, above {COMPLETE} hospitals", low=0, below=1
    )
    dropout: float = parameter(
        0.3, f"Largest fraction that drops out of a round, above {COMPLETE} hospitals", low=0, below=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.corruption + self.dropout >= 1:
            raise ConfigurationError(
                f"corruption and dropout are {self.corruption} and {self.dropout}; together they must stay below 1"
            )

    def sparse(self, clients: Collection[PartyId]) -> Neighbours | None:
        """k and t of the graph; None where it is complete."""
        if len(clients) <= COMPLETE:
            return None
        graph = neighbours(len(clients), float(self.corruption), float(self.dropout))
        if graph is None:
            raise ConfigurationError(
                f"no sparse graph on {len(clients)} clients withstands corruption {self.corruption} with dropout "
                f"{self.dropout}; lower one of them, or use the complete graph of secagg"
            )
        return graph

    def check(self, clients: Collection[PartyId]) -> None:
        graph = self.sparse(clients)
        if graph is None:
            super().check(clients)
            return
        if self.server == ServerModel.MALICIOUS:
            raise ConfigurationError(
                f"server is {str(self.server)!r} and the cohort has {len(clients)} clients; secagg_plus withstands a "
                f"malicious server with at most {COMPLETE}, secagg with any number"
            )
        if self.threshold:
            raise ConfigurationError(
                f"threshold is {self.threshold}; above {COMPLETE} clients it follows from corruption and dropout: "
                "leave it 0"
            )
        if len(clients) < self.floor:
            raise ConfigurationError(f"a cohort of {len(clients)} is below the floor of {self.floor} contributors")

    def shares_needed(self, clients: Collection[PartyId]) -> int:
        graph = self.sparse(clients)
        return super().shares_needed(clients) if graph is None else graph.threshold

    def degree(self, clients: Collection[PartyId]) -> int:
        graph = self.sparse(clients)
        return super().degree(clients) if graph is None else graph.degree

    def neighbourhoods(
        self, clients: Collection[PartyId], keys: Mapping[PartyId, MaskKey]
    ) -> dict[PartyId, frozenset[PartyId]]:
        """Each advertiser's neighbours that advertised too, and itself.

        The graph is drawn over the whole cohort, those who dropped out included, in an order that follows from the
        advertised keys: the server, semi-honest here, has no choice in it.
        """
        graph = self.sparse(clients)
        if graph is None:
            return super().neighbourhoods(clients, keys)
        drawn = hashlib.sha256(b"fedsec secagg_plus graph")
        for party, key in sorted(keys.items()):
            drawn.update(party.to_bytes(8, "big") + key.public)
        joined = harary(permuted(clients, drawn.digest()), graph.degree)
        return {party: (joined[party] | {party}) & keys.keys() for party in keys}

    def least_survivors(self, clients: Collection[PartyId]) -> int:
        if self.sparse(clients) is None:
            return super().least_survivors(clients)
        return max(len(clients) - part(self.dropout, len(clients)), self.floor)

    def least_openers(self, clients: Collection[PartyId]) -> int:
        return super().least_openers(clients) if self.sparse(clients) is None else self.least_survivors(clients)

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        if self.sparse(clients) is None:
            return super().withstands(clients, malicious)
        return -1 if malicious else part(self.corruption, len(clients))

    def statistical_bits(self, clients: Collection[PartyId]) -> int | None:
        return None if self.sparse(clients) is None else SECURITY_BITS
