"""What a strategy declares of its trust, for parties to compare and for people to read: who may not collude."""

from __future__ import annotations

from dataclasses import dataclass

from fedsec.protocol.messages import PartyId


@dataclass(frozen=True)
class Coalition:
    """A group that together could open one hospital's input: any `count` of `parties`, and the server if `server`.

    who: what the parties are called, as in "3 of 5 hospitals", or "the witness" where it is one that the terms name.
    """

    parties: frozenset[PartyId]
    count: int
    who: str = "hospitals"
    server: bool = True


@dataclass(frozen=True)
class Role:
    """A task that the terms give some parties beside contributing, and what it shows them, as a sentence."""

    name: str
    parties: tuple[PartyId, ...]
    learns: str
