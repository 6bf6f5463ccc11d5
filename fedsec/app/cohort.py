"""The hospitals of a run: waiting until they are connected, and a grid that shows some of them only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from fedsec.app.config import FEWEST
from fedsec.errors import TooFewParties


def wait_for_hospitals(grid: Grid, expected: int, patience: float = 60.0) -> int:
    """How many hospitals are connected: `expected`, or, where that is 0, as many as come until a second brings no more.

    Flower starts the server before its nodes have registered. Raises TooFewParties after `patience` seconds.
    """
    deadline, before, since = time.monotonic() + patience, 0, time.monotonic()
    while time.monotonic() < deadline:
        now = len(list(grid.get_node_ids()))
        if now != before:
            before, since = now, time.monotonic()
        if (expected and now >= expected) or (not expected and now and time.monotonic() - since > 1.0):
            return now
        time.sleep(0.1)
    raise TooFewParties("connect", max(expected, FEWEST), range(before), range(max(expected, FEWEST)))


class Cohort(Grid):
    """A grid that shows some of its nodes only: the cohort of a whole run."""

    def __init__(self, grid: Grid, nodes: Sequence[int]) -> None:
        self._inner, self._nodes = grid, list(nodes)

    def get_node_ids(self) -> Iterable[int]:
        """The nodes of the cohort."""
        return list(self._nodes)

    def set_run(self, run: Any) -> None:
        """As the grid does."""
        self._inner.set_run(run)

    @property
    def run(self) -> Any:
        """As the grid has it."""
        return self._inner.run

    def create_message(self, *arguments: Any, **keywords: Any) -> Message:
        """As the grid does."""
        return self._inner.create_message(*arguments, **keywords)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As the grid does."""
        return self._inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """As the grid does."""
        return self._inner.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """As the grid does."""
        return self._inner.send_and_receive(messages, timeout=timeout)
