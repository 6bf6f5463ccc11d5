"""Whether the clients of this process are simulated: code of this machine says so, or Ray does; no message can."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SIMULATED = ContextVar("simulated", default=False)


@contextmanager
def simulating() -> Iterator[None]:
    """Within the block, this thread simulates all clients: `in_simulation` is true."""
    token = _SIMULATED.set(True)
    try:
        yield
    finally:
        _SIMULATED.reset(token)


def in_simulation() -> bool:
    """Whether clients are simulated here: within `simulating`, or because this process is one of Ray's actors.

    An app that uses Ray itself is a driver, not an actor.
    """
    if _SIMULATED.get():
        return True
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
