"""The in-process transport: parties are called directly, with scripted faults.

Each party's state passes through the codec after every step, as it does under Flower, and faults are exact: which
party, which phase, which round, what happens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fedsec.encoding import mean as means
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import Arrays
from fedsec.errors import BadMessage, ConfigurationError, DataError, FedsecError
from fedsec.metering import Ledger, Meter
from fedsec.party.journal import Journal
from fedsec.party.party import Party, PartyState
from fedsec.party.policy import Policy
from fedsec.primitives.randomness import Random
from fedsec.protocol import PartyId, SecureSum, Vector
from fedsec.server.averaging import Averaging
from fedsec.server.coordinator import Coordinator, Total
from fedsec.wire import codec
from fedsec.wire.envelope import NO_HASH
from fedsec.wire.exchange import Phase, Refusal

Kind = Literal["drop", "lose", "delay", "duplicate", "repeat", "corrupt-request", "corrupt-reply", "replay"]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    drop: the request never arrives · lose: the reply never arrives · delay: it arrives in the next exchange ·
    duplicate: it arrives twice · repeat: the request arrives twice · corrupt-*: the bit `bit` is flipped ·
    replay: the reply of the party's previous exchange arrives instead. `round` None means every round.
    """

    kind: Kind
    phase: str
    party: PartyId
    round: int | None = None
    bit: int = 12_345

    def strikes(self, phase: Phase, party: PartyId) -> bool:
        """Whether this fault concerns `party` in `phase`."""
        return (self.phase, self.party) == (phase.name, party) and self.round in (None, phase.round)


@dataclass(frozen=True)
class Update:
    """What one client contributes to a mean: trained arrays, metrics (means over its examples), number of examples."""

    arrays: Arrays
    metrics: means.Metrics
    weight: float


Tap = Callable[[Phase, PartyId, bytes, "bytes | Refusal | None"], None]
"""Sees each request and its answer, at the party."""


@dataclass
class LocalFederation:
    """A whole federation in one process.

    >>> from fedsec.catalog import strategy
    >>> federation = LocalFederation(strategy("shamir")(), hospitals=3)
    >>> federation.sum({1: [1, 2], 2: [10, 20], 3: [100, 200]}).sum.vector
    array([111, 222], dtype=uint64)
    """

    protocol: SecureSum[Any, Any]
    hospitals: int = 5
    spec: means.MeanSpec = field(default_factory=means.MeanSpec)
    faults: Sequence[Fault] = ()
    policy: Policy = field(default_factory=lambda: Policy(simulation=True))
    ledger: Ledger = field(default_factory=Ledger)
    tap: Tap | None = None
    rng: Random = os.urandom
    journal: Journal | None = None
    unusable: dict[PartyId, str] = field(init=False, default_factory=dict)
    """Of the last mean, the hospitals whose update was not usable, and why."""

    def __post_init__(self) -> None:
        if self.hospitals < 1:
            raise ConfigurationError(f"hospitals is {self.hospitals}; it must be at least 1")
        parties = range(1, self.hospitals + 1)
        self.states = {party: self._fresh() for party in parties}
        self.meter = Meter(self.exchange, self.ledger)
        self.coordinator = Coordinator(self.protocol, self.meter, mean=self.spec, rng=self.rng)
        self.averaging = Averaging(self.coordinator)
        self.round = 0
        self._inputs: Mapping[PartyId, Callable[[Plan | None], tuple[Vector, bytes]]] = {}
        self._late: list[tuple[PartyId, bytes | Refusal]] = []
        self._previous: dict[PartyId, bytes | Refusal] = {}

    def _fresh(self) -> bytes:
        return codec.encode(Party.fresh(self.policy, self.build, self.rng).state)

    def build(self, strategy: str, parameters: Mapping[str, Any]) -> SecureSum[Any, Any]:
        """The strategy of this federation, with the parameters that the server names."""
        if strategy != self.protocol.name:
            raise ConfigurationError(f"strategy {strategy!r} is not {self.protocol.name!r}")
        return type(self.protocol)(**parameters)

    def enrol(self) -> None:
        """Found an epoch with all hospitals."""
        with self.meter.session():
            self.coordinator.enrol(sorted(self.states))

    def sum(self, inputs: Mapping[PartyId, ArrayLike]) -> Total:
        """The sum of non-negative integer vectors below 2**value_bits, one for each contributor."""
        vectors = {party: self._checked(party, vector) for party, vector in inputs.items()}
        return self.aggregate({party: _giving(vector) for party, vector in vectors.items()})

    def mean(self, updates: Mapping[PartyId, Update], reference: Arrays, stage: str = "train") -> means.Mean:
        """The weighted mean of updates to the model `reference`.

        Empty for evaluation, or where training starts from nothing: arrays are then those of the updates. Where the
        scale is measured, a stage's first mean takes two sessions. An update that is not usable counts as no change,
        and `unusable` says why. Raises a FedsecError where the mean fails, as where layouts have no majority.
        """
        self._start({party: self._encoder(party, update, reference) for party, update in updates.items()})
        self.unusable = {}
        holds_arrays = any(update.arrays for update in updates.values())
        with self.meter.session():
            found, _ = self.averaging.mean(
                updates, reference if holds_arrays else None, stage=stage, round_number=self.round
            )
        return found

    def _encoder(
        self, party: PartyId, update: Update, reference: Arrays
    ) -> Callable[[Plan | None], tuple[Vector, bytes]]:
        def contribute(plan: Plan | None) -> tuple[Vector, bytes]:
            if plan is None:
                raise BadMessage("a mean without a plan")
            bits = self.protocol.value_bits
            made = means.contribution(update.arrays, reference, update.metrics, update.weight, self.spec, bits, plan)
            if made.unusable:
                self.unusable[party] = made.unusable
            return made.vector, codec.encode(made.layout)

        return contribute

    def aggregate(
        self,
        inputs: Mapping[PartyId, Callable[[], tuple[Vector, bytes]]],
        stage: str = "train",
        plan: Plan | None = None,
    ) -> Total:
        """The sum of what these functions give: each a contributor's vector and its encoded layout."""
        self.begin(inputs)
        with self.meter.session():
            return self.coordinator.aggregate(
                sorted(inputs), stage=stage, round_number=self.round, model=NO_HASH, plan=plan
            )

    def begin(self, inputs: Mapping[PartyId, Callable[[], tuple[Vector, bytes]]]) -> None:
        """A new round, in which each contributor's vector and layout are what its function gives."""
        self._start({party: _planless(give) for party, give in inputs.items()})

    def _start(self, inputs: Mapping[PartyId, Callable[[Plan | None], tuple[Vector, bytes]]]) -> None:
        if not self.coordinator.roster:
            self.enrol()
        self.round, self._inputs = self.round + 1, inputs

    def _checked(self, party: PartyId, vector: ArrayLike) -> Vector:
        array = np.asarray(vector)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise DataError(f"party {party}'s input must be a one-dimensional vector of integers")
        if array.size and (array.min() < 0 or int(array.max()) >> self.protocol.value_bits):
            raise DataError(f"party {party}'s input must lie in 0..2**{self.protocol.value_bits} - 1")
        return array.astype(np.uint64)

    def ask(self, party: PartyId, request: bytes) -> bytes | Refusal:
        """One request at one party, as any transport would hand it over."""
        state = codec.decode(self.states[party], PartyState)
        actor = Party(state, self.policy, self.build, self.rng, self.journal)
        try:
            return actor.respond(request, lambda session, plan, spec, bits: self._inputs[party](plan))
        except FedsecError as error:
            return Refusal.of(error)
        finally:
            self.states[party] = codec.encode(actor.state)

    def exchange(self, phase: Phase, requests: Mapping[PartyId, bytes]) -> Iterable[tuple[PartyId, bytes | Refusal]]:
        """The transport, with the faults that strike this phase."""
        answers, self._late = self._late, []
        for party, request in requests.items():
            kinds = {fault.kind: fault for fault in self.faults if fault.strikes(phase, party)}
            if "drop" in kinds:
                self._note(phase, party, request, None)
                continue
            if "corrupt-request" in kinds:
                request = flip(request, kinds["corrupt-request"].bit)
            answer = self.ask(party, request)
            self._note(phase, party, request, answer)
            if "repeat" in kinds:
                answers.append((party, self.ask(party, request)))
            if "corrupt-reply" in kinds and isinstance(answer, bytes):
                answer = flip(answer, kinds["corrupt-reply"].bit)
            if "delay" in kinds:
                self._late.append((party, answer))
            elif "replay" in kinds and party in self._previous:
                answers.append((party, self._previous[party]))
            elif "lose" not in kinds:
                answers += [(party, answer)] * (2 if "duplicate" in kinds else 1)
            self._previous[party] = answer
        return answers

    def _note(self, phase: Phase, party: PartyId, request: bytes, answer: bytes | Refusal | None) -> None:
        if self.tap is not None:
            self.tap(phase, party, request, answer)


def _planless(give: Callable[[], tuple[Vector, bytes]]) -> Callable[[Plan | None], tuple[Vector, bytes]]:
    return lambda plan: give()


def _giving(vector: Vector) -> Callable[[], tuple[Vector, bytes]]:
    return lambda: (vector, b"")


def flip(data: bytes, bit: int) -> bytes:
    """`data` with one bit flipped; `bit` wraps around."""
    index, shift = divmod(bit % (8 * len(data)), 8)
    return data[:index] + bytes([data[index] ^ (1 << shift)]) + data[index + 1 :]
