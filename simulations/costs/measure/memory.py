"""The memory that a round takes, and whether its sum is exact: what does not depend on time."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fedsec.encoding.fixed_point import FixedPoint
from fedsec.protocol import PartyId, Sum
from fedsec.simulations.costs.federation import Federation, MeasuredRound
from fedsec.simulations.costs.setting import CLIP, KINDS, LARGEST_WEIGHT, WEIGHT, Setting, contribution, update
from fedsec.wire.exchange import Phase as Exchanged
from fedsec.wire.exchange import Refusal


class MemoryAndAccuracy(NamedTuple):
    """Bytes that one step of a hospital, and the server, allocated at most; and how exact the sum is.

    Without a sum, where one hospital alone sent its input, the latter is None.
    """

    exact: bool | None
    error: float | None
    bound: float | None
    memory_hospital: int
    memory_server: int


class TracedFederation(Federation):
    """Counts the bytes that are allocated: by one hospital's step, and by the server beside the hospitals' state."""

    def __init__(self, setting: Setting, parameters: int | None = None) -> None:
        super().__init__(setting, parameters)
        self.hospital = self.server = self.before = 0
        self.tracing = False

    def trace(self, step: Callable[[], MeasuredRound]) -> MeasuredRound:
        """One round with all allocations traced but those of the inputs."""
        self.prepare()
        gc.collect()
        self.hospital = self.server = 0
        tracemalloc.start(1)
        self.tracing, self.before = True, tracemalloc.get_traced_memory()[0] - self._state_bytes()
        try:
            measured = step()
            self._note_server()
        finally:
            self.tracing = False
            tracemalloc.stop()
        return measured

    def footprint(self) -> tuple[int, int]:
        """The most bytes that a round takes in this process, with all hospitals and with one."""
        self.trace(self.run_round)
        inputs = 2 * KINDS * 8 * self.parameters  # integers, and the numbers that they are made of
        return self.server + self._state_bytes() + self.hospital + inputs, self.hospital + inputs

    def _state_bytes(self) -> int:
        return sum(len(state) for state in self.states.values())

    def _note_server(self) -> None:
        self.server = max(self.server, tracemalloc.get_traced_memory()[1] - self._state_bytes() - self.before)

    def ask(self, party: PartyId, request: bytes) -> bytes | Refusal:
        """One request, with what the step allocates noted; the state that it keeps is part of it."""
        if not self.tracing:
            return super().ask(party, request)
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        answer = super().ask(party, request)
        self.hospital = max(self.hospital, tracemalloc.get_traced_memory()[1] - held + len(request))
        return answer

    def exchange(self, phase: Exchanged, requests: Mapping[PartyId, bytes]) -> Any:
        """The exchange; before and after it the server computes."""
        if self.tracing:
            self._note_server()
        answers = super().exchange(phase, requests)
        if self.tracing:
            tracemalloc.reset_peak()
        return answers


def measure_memory(setting: Setting, parameters: int | None = None, all_hospitals: bool = True) -> MemoryAndAccuracy:
    """Run one round with so many parameters, or one hospital's part where not `all_hospitals`."""
    federation = TracedFederation(setting, parameters)
    federation.enrol()
    measured = federation.trace(federation.run_round if all_hospitals else federation.run_one_input)
    exact, error, bound = None, None, None
    if measured.sum is not None:
        exact, error, bound = accuracy(setting, federation.parameters, measured.sum)
    return MemoryAndAccuracy(exact, error, bound, federation.hospital, federation.server)


def accuracy(setting: Setting, parameters: int, total: Sum) -> tuple[bool, float, float]:
    """Whether the sum is exact; the largest error of a coordinate of the mean against plain arithmetic; its bound."""
    addends = [party % KINDS for party in total.included]
    times = {kind: addends.count(kind) for kind in set(addends)}
    plain = np.zeros_like(total.vector)
    for kind, count in times.items():
        plain += contribution(parameters, setting.bits, kind)[0] * np.uint64(count)
    point = FixedPoint(setting.bits, CLIP)
    decoded = point.decode(np.ascontiguousarray(total.vector[:parameters]), len(addends))
    decoded *= LARGEST_WEIGHT / (WEIGHT * len(addends))
    exact = sum(update(parameters, kind) * count for kind, count in times.items()) / len(addends)
    bound = point.error_bound(len(addends), LARGEST_WEIGHT, WEIGHT * len(addends))
    return bool(np.array_equal(plain, total.vector)), float(np.abs(decoded - exact).max()), bound
