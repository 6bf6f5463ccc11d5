"""When a run under Flower is stuck: the rule, apart from the clock and the processes that it judges by."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

STUCK = 120.0
"""Seconds without a sign of life after which a run is stuck."""
SETTLED = 60.0
"""Seconds after which a process of the app counts as working: one whose task token is refused ends sooner."""
ATTEMPTS = 3
"""A new process is waited for, unless as many before it have come and gone."""


class Vigil:
    """Watches the processes of an app, which Flower starts anew for as long as it refuses their task tokens.

    A process that has lived for SETTLED seconds, or that works already (Ray is up, the log grows), is a sign of life: a
    run with a living app is never stuck, however long it is silent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """The run is submitted now."""
        self._life, self._gone = self._clock(), 0
        self._first_seen: dict[int, float] = {}

    def stuck(self, apps: Collection[int], working: bool) -> bool:
        """Whether the run is stuck, now that these processes of its app are here.

        working: whether Ray runs, or the log has grown since the last look.
        """
        now = self._clock()
        self._gone += len(self._first_seen.keys() - set(apps))
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid in apps}
        if apps and (working or now - min(self._first_seen.values()) >= SETTLED):
            self._life, self._gone = now, 0
        return now - self._life >= STUCK and (not apps or self._gone >= ATTEMPTS)
