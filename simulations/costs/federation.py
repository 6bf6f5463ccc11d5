"""The federation that runs rounds of real parties in one setting, in process."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fedsec.local import Fault, LocalFederation
from fedsec.metering import Row
from fedsec.primitives import mersenne
from fedsec.protocol import PartyId, Sum, Vector
from fedsec.simulations.costs.setting import KINDS, SPEC, Setting, contribution, plan


class Federation(LocalFederation):
    """A federation whose hospitals contribute `parameters` values each; the setting's last ones drop out."""

    def __init__(self, setting: Setting, parameters: int | None = None) -> None:
        mersenne.always_compile()
        self.setting, self.parameters = setting, parameters or setting.parameters
        protocol = setting.protocol()
        late = range(setting.hospitals - setting.dropouts + 1, setting.hospitals + 1)
        faults = [Fault("drop", protocol.input_phase.__name__, party) for party in late]
        super().__init__(protocol, setting.hospitals, SPEC, faults)

    def inputs(self) -> dict[PartyId, Callable[[], tuple[Vector, bytes]]]:
        """What each hospital contributes when it is asked."""
        bits = self.setting.bits
        return {
            party: functools.partial(contribution, self.parameters, bits, party % KINDS)
            for party in self.setting.clients
        }

    def resize(self, parameters: int) -> None:
        """Let the hospitals have models of another size, made now: no round is charged for it."""
        self.parameters = parameters
        contribution.cache_clear()
        self.prepare()

    def prepare(self) -> None:
        """Make what the hospitals will contribute."""
        for kind in range(min(KINDS, self.setting.hospitals)):
            contribution(self.parameters, self.setting.bits, (kind + 1) % KINDS)

    def run_round(self) -> MeasuredRound:
        """One round: its rows, seconds and sum."""
        first, began = len(self.ledger.rows), time.perf_counter()
        total = self.aggregate(self.inputs(), plan=plan(self.parameters, self.setting.bits))
        return MeasuredRound(self.ledger.rows[first:], time.perf_counter() - began, total.sum)

    def run_one_input(self) -> MeasuredRound:
        """The phases of a round up to the input, which only the last hospital that does not drop out sends: no sum."""
        first, began = len(self.ledger.rows), time.perf_counter()
        clients = list(self.setting.clients)
        self.begin(self.inputs())
        planned = plan(self.parameters, self.setting.bits)
        with self.meter.session():
            channel = self.coordinator.channel(clients, stage="train", round_number=self.round, plan=planned)
            flow = self.protocol.aggregate(clients, self.coordinator.public)
            requests = next(flow)
            while not any(isinstance(request, self.protocol.input_phase) for request in requests.values()):
                requests = flow.send(channel.answer(requests))
            last = self.setting.hospitals - self.setting.dropouts
            channel.deliver({last: requests[last]})
            flow.close()
        return MeasuredRound(self.ledger.rows[first:], time.perf_counter() - began, None)


class MeasuredRound(NamedTuple):
    """One round, or one set-up: the rows of its ledger, wall seconds, and the sum.

    reference_seconds: what a fixed piece of work took meanwhile (see `machine_speed`), where that was measured.
    """

    rows: Sequence[Row]
    wall: float
    sum: Sum | None
    reference_seconds: float | None = None


def set_up(setting: Setting, parameters: int | None = None) -> tuple[Federation, MeasuredRound]:
    """A federation that is set up, and what that cost."""
    federation = Federation(setting, parameters)
    began = time.perf_counter()
    federation.enrol()
    return federation, MeasuredRound(list(federation.ledger.rows), time.perf_counter() - began, None)
