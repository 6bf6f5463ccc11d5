"""When a new set-up brings back a node that lost its state or missed the last set-up.

The evidence is the node's own word, so it is bounded: a node's first loss founds a new epoch at once, its k-th only
2**(k-1) aggregations after the one before. A node that always forgets forces a number of set-ups that grows with the
logarithm of the number of rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fedsec.errors import OutOfPhase
from fedsec.protocol import PartyId
from fedsec.wire.exchange import NO_ANSWER, NOT_ENROLLED, Incident
from fedsec.wire.membership import Adopt, Enrol

_LOST = f"{OutOfPhase.__name__}: {NOT_ENROLLED}"
_SETUP = (Enrol.__name__, Adopt.__name__)


class Rejoining:
    """Which nodes are outside of the epoch by loss or delay, how often each was, and from when it may return."""

    def __init__(self) -> None:
        self._aggregations = 0
        self._outside: set[int] = set()
        self._times: dict[int, int] = {}
        self._earliest: dict[int, int] = {}

    def note(self, incidents: Iterable[Incident], nodes: Mapping[PartyId, int]) -> None:
        """Take up what one aggregation or set-up found: who has not enrolled, and who missed the set-up."""
        for phase, party, reason in incidents:
            if reason == _LOST or (phase in _SETUP and reason == NO_ANSWER):
                self._outside.add(nodes[party])

    def passed(self) -> None:
        """One more aggregation is over."""
        self._aggregations += 1

    def due(self, present: Iterable[int]) -> list[int]:
        """The nodes, of those present, for whose return a new epoch may be founded now."""
        return sorted(
            node for node in self._outside & set(present) if self._aggregations >= self._earliest.get(node, 0)
        )

    def founded(self, due: Iterable[int]) -> None:
        """A new epoch is about to be founded with all present nodes, on account of these."""
        for node in due:
            self._times[node] = self._times.get(node, 0) + 1
            self._earliest[node] = self._aggregations + 2 ** self._times[node]
        self._outside.clear()

    def waits(self, present: Iterable[int]) -> dict[int, int]:
        """Nodes that are outside and not due yet: for how many aggregations more."""
        left = {node: self._earliest.get(node, 0) - self._aggregations for node in self._outside & set(present)}
        return {node: count for node, count in sorted(left.items()) if count > 0}
