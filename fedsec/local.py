"""The in-process transport: parties are called directly, with scripted faults.

Each party's state passes through the codec after every step, as it does under Flower, and faults are exact: which
party, which phase, which round, what happens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedsec.encoding import mean as means
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import Arrays, unfit_name
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import BadMessage, ConfigurationError, DataError, FedsecError, by_reason, expect, unknown
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
from fedsec.wire.exchange import Incident, Phase, Refusal

Kind = Literal["drop", "lose", "delay", "duplicate", "repeat", "corrupt-request", "corrupt-reply", "replay"]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    drop: the request never arrives · lose: the reply never arrives · delay: it arrives in the next exchange ·
    duplicate: it arrives twice · repeat: the request arrives twice · corrupt-*: the bit `bit` is flipped ·
    replay: the reply of the party's previous exchange arrives instead. `round` None means every round.
    Raises ConfigurationError for another kind.
    """

    kind: Kind
    phase: str
    party: PartyId
    round: int | None = None
    bit: int = 12_345

    def __post_init__(self) -> None:
        expect("kind", self.kind, str, f"one of {', '.join(get_args(Kind))}")
        expect("phase", self.phase, str, "a phase's name")
        expect("party", self.party, int, "a party's number")
        expect("round", self.round, (int, NoneType), "a round's number or None")
        expect("bit", self.bit, int, "a bit's number")
        if self.kind not in get_args(Kind):
            raise unknown("kind of fault", self.kind, get_args(Kind))

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

    A party's own words on why it gave no input are those of the error that it raised: all data are the caller's here.
    `incidents` are those of the last round: (phase, party, reason). Raises ConfigurationError, DataError or another
    FedsecError on what cannot work.

    >>> from fedsec.catalog import strategy
    >>> federation = LocalFederation(strategy("shamir")(), hospitals=3)
    >>> federation.sum({1: [1, 2], 2: [10, 20], 3: [100, 200]}).sum.vector
    array([111, 222], dtype=uint64)
    """

    protocol: SecureSum[Any, Any]
    hospitals: int = 5
    spec: MeanSpec = field(default_factory=MeanSpec)
    faults: Sequence[Fault] = ()
    policy: Policy = field(default_factory=lambda: Policy(simulation=True))
    ledger: Ledger = field(default_factory=Ledger)
    tap: Tap | None = None
    rng: Random = os.urandom
    journal: Journal | None = None
    unusable: dict[PartyId, str] = field(init=False, default_factory=dict)
    """Of the last mean, the hospitals whose update was not usable, and why."""

    def __post_init__(self) -> None:
        if type(self.hospitals) is not int or self.hospitals < 1:
            raise ConfigurationError(f"hospitals is {self.hospitals!r}; a whole number of at least 1 was expected")
        expect("protocol", self.protocol, SecureSum, "an instance of a strategy, such as strategy('shamir')(),")
        expect("spec", self.spec, MeanSpec, "a MeanSpec")
        expect("policy", self.policy, Policy, "a Policy")
        expect("ledger", self.ledger, Ledger, "a Ledger")
        expect("journal", self.journal, (Journal, NoneType), "a Journal or None")
        for name, value in (("rng", self.rng), *((("tap", self.tap),) if self.tap is not None else ())):
            if not callable(value):
                raise ConfigurationError(f"{name} is {value!r}; a function was expected")
        expect("faults", self.faults, Sequence, "a list of Faults")
        for fault in self.faults:
            expect("a fault", fault, Fault, "a Fault")
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
        vectors = {party: self._checked(party, vector) for party, vector in _by_party("inputs", inputs)}
        longest = max((vector.size for vector in vectors.values()), default=0)
        return self.aggregate({party: _giving(vector) for party, vector in vectors.items()}, values=longest)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Of the latest sum or mean, phase, party and reason of each answer that was not accepted, failed or not."""
        return self.averaging.incidents

    def mean(self, updates: Mapping[PartyId, Update], reference: Arrays, stage: str = "train") -> means.Mean:
        """The weighted mean of updates to the model `reference`.

        Empty for evaluation, or where training starts from nothing: arrays are then those of the updates. Where the
        scale is measured, a stage's first mean takes two sessions. An update with NaN or an impossible weight counts
        as no change, and `unusable` says why; a party whose update has no place in the mean is left out, and
        `incidents` says why. Raises DataError on a `reference` that is no model, and a FedsecError, with the reasons,
        where too few updates are left or layouts have no majority.
        """
        expect("stage", stage, str, "a text")
        model = _arrays("the model", reference)
        given = dict(_by_party("updates", updates))
        self._begin_round({party: self._encoder(party, update, model) for party, update in given.items()})
        self.unusable = {}
        holds_arrays = any(
            isinstance(update, Update) and isinstance(update.arrays, Mapping) and update.arrays
            for update in given.values()
        )
        try:
            with self.meter.session():
                shown = model if holds_arrays else None
                found, _ = self.averaging.mean(given, shown, stage=stage, round_number=self.round)
        except DataError as error:
            if not self.unusable:
                raise
            raise DataError(f"{error} ({by_reason(self.unusable)})") from error
        return found

    def _encoder(
        self, party: PartyId, update: Update, reference: Arrays
    ) -> Callable[[Plan | None], tuple[Vector, bytes]]:
        def contribute(plan: Plan | None) -> tuple[Vector, bytes]:
            if plan is None:
                raise BadMessage("a mean without a plan")
            if not (isinstance(update, Update) and isinstance(update.metrics, Mapping)):
                raise DataError(f"an Update with metrics by name was expected, and {_type(update)} came")
            arrays, bits = _arrays("the update", update.arrays), self.protocol.value_bits
            made = means.contribution(arrays, reference, update.metrics, update.weight, self.spec, bits, plan)
            if made.unusable:
                self.unusable[party] = made.unusable
            return made.vector, codec.encode(made.layout)

        return contribute

    def aggregate(
        self,
        inputs: Mapping[PartyId, Callable[[], tuple[Vector, bytes]]],
        stage: str = "train",
        plan: Plan | None = None,
        values: int | None = None,
    ) -> Total:
        """The sum of what these functions give: each a contributor's vector and its encoded layout.

        values: the most that a vector has, where that is known.
        """
        self.begin(inputs)
        with self.meter.session():
            return self.coordinator.aggregate(
                sorted(inputs), stage=stage, round_number=self.round, model=NO_HASH, plan=plan, values=values
            )

    def begin(self, inputs: Mapping[PartyId, Callable[[], tuple[Vector, bytes]]]) -> None:
        """A new round, in which each contributor's vector and layout are what its function gives."""
        self._begin_round({party: _planless(give) for party, give in inputs.items()})

    def _begin_round(self, inputs: Mapping[PartyId, Callable[[Plan | None], tuple[Vector, bytes]]]) -> None:
        if not self.coordinator.roster:
            self.enrol()
        self.round, self._inputs, self.averaging.earlier = self.round + 1, inputs, ()

    def _checked(self, party: PartyId, vector: ArrayLike) -> Vector:
        array = _array(f"party {party}'s input", vector)
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
            return Refusal.of(error, whole=self.policy.simulation)
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


def _by_party(name: str, given: Mapping[PartyId, Any]) -> list[tuple[PartyId, Any]]:
    """What was given for each party; raises ConfigurationError unless it is a mapping from parties."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{name}: a mapping from parties was expected, such as {{1: …}}; {_type(given)} came")
    if odd := [party for party in given if type(party) is not int]:
        raise ConfigurationError(f"{name}: party {odd[0]!r}; parties are numbered from 1")
    return list(given.items())


def _arrays(name: str, arrays: Arrays) -> Arrays:
    """Arrays by name; raises DataError on what is none, has no name to send, or hides values under a mask."""
    if not isinstance(arrays, Mapping):
        raise DataError(f"{name}: arrays by name were expected; {_type(arrays)} came")
    if odd := [(key, why) for key in arrays if (why := unfit_name(key))]:
        raise DataError(f"{name}: arrays by name were expected; array name {odd[0][0]!a} is {odd[0][1]}")
    return {key: _array(f"{name}'s array {key!r}", value) for key, value in arrays.items()}


def _array(name: str, value: ArrayLike) -> NDArray[Any]:
    """As an array; a mask is refused, for the values that it hides would count."""
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise DataError(
            f"{name} is a masked array, and what its mask hides would be counted; fill it in (.filled(value)), or "
            "leave masked values out (.compressed())"
        )
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is not an array of numbers: {error}") from None


def _type(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _giving(vector: Vector) -> Callable[[], tuple[Vector, bytes]]:
    return lambda: (vector, b"")


def flip(data: bytes, bit: int) -> bytes:
    """`data` with one bit flipped; `bit` wraps around."""
    index, shift = divmod(bit % (8 * len(data)), 8)
    return data[:index] + bytes([data[index] ^ (1 << shift)]) + data[index + 1 :]
