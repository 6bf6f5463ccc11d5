"""What tests of the Flower glue share: a process that passes for a simulation."""

from __future__ import annotations

import pytest
from flwr.supercore.task_identity import TaskIdentity

from fedsec.flower import client


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parties of this process are those of a simulation, unless their node's configuration says otherwise."""
    monkeypatch.setattr(client, "in_simulation", lambda: True)
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # Flower's runtime sets them once
