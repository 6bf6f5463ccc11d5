"""How far a protocol trusts the server."""

from __future__ import annotations

from enum import StrEnum


class ServerModel(StrEnum):
    """What a strategy assumes of the server; a strategy that has variants takes it as its parameter `server`."""

    SEMI_HONEST = "semi-honest"
    """It follows the protocol, and learns what it can from what it sees."""
    MALICIOUS = "malicious"
    """It does as it likes: relays other lists to one party than to another, forges messages, withholds them."""
