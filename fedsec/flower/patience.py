"""How long a server waits for as many nodes as a secure sum needs, before it says so.

Flower's strategies wait without end for the nodes that they want, and say how many there are, but not what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from logging import WARNING

from flwr.serverapp import Grid
from flwr.supercore import log

from fedsec.errors import ConfigurationError
from fedsec.flower.simulation import in_simulation

SECONDS = 15.0


class Patience:
    """Notes how many nodes are connected; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._told = False

    def note(self, grid: Grid, connected: int, floor: int, text: Callable[[], str]) -> None:
        """Where fewer than `floor` have been connected for 15 s: warn once with `text`, until enough are there.

        Raises ConfigurationError with it in a simulation, where no node comes later.
        """
        if connected >= floor:
            self._since, self._told = None, False
            return
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._since < SECONDS or self._told:
            return
        if in_simulation() or any(kind.__name__ == "InMemoryGrid" for kind in type(grid).__mro__):
            raise ConfigurationError(text())
        self._told = True
        log(WARNING, "secure aggregation waits for nodes: %s", text())
