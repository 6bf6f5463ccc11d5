"""The conformance suite: what every strategy must do, ours and third parties' alike.

    from fedsec.testing import Conformance

    class TestMine(Conformance):
        strategy = "path/to/mine.py"      # or a name of the catalogue

and pytest does the rest, with default parameters unless `parameters` says otherwise. The leakage check must catch a
strategy that declares that it hides nothing (`private = False`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import is_dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsec import catalog
from fedsec.encoding import mean
from fedsec.encoding.fixed_point import MAX_BITS
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import BadMessage, ConfigurationError, FedsecError, TooFewParties
from fedsec.local import Fault, Kind, LocalFederation
from fedsec.party.party import PartyState
from fedsec.protocol import RECORDS, Exposure, Message, PartyId, SecureSum, State, Vector, headings
from fedsec.server.coordinator import Total
from fedsec.testing import leakage
from fedsec.testing.false_answers import changeable, changes, lying
from fedsec.wire import codec, envelope
from fedsec.wire.exchange import Phase, Refusal

DRAWN = settings(
    max_examples=min(20, settings().max_examples),  # fewer where the profile of hypothesis draws fewer
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


def inputs(parties: Collection[PartyId], values: int, bits: int, seed: int) -> dict[PartyId, Vector]:
    """Random inputs with the edges of the range among them."""
    draw = np.random.default_rng(seed)
    drawn = {party: draw.integers(0, 1 << bits, values, dtype=np.uint64) for party in parties}
    for vector in drawn.values():
        vector[:1], vector[1:2] = (1 << bits) - 1, 0
    return drawn


def exact(drawn: dict[PartyId, Vector], included: Collection[PartyId], values: int) -> list[int]:
    """The sum on Python integers."""
    return [sum(int(drawn[party][coordinate]) for party in included) for coordinate in range(values)]


def record(protocol: SecureSum[Any, Any], data: dict[PartyId, Vector]) -> leakage.Recording:
    """A recording of a set-up and one round."""
    recording = leakage.Recording()

    def tap(phase: Phase, party: PartyId, request: bytes, answer: bytes | Refusal | None) -> None:
        recording.add(request)
        assert isinstance(answer, bytes), f"party {party} refused {phase.name}: {answer}"
        recording.add(answer)

    LocalFederation(protocol, hospitals=len(data), tap=tap).sum(data)
    return recording


def wire_violations(protocol: SecureSum[Any, Any], hospitals: int = 3, values: int = 3000) -> list[str]:
    """What a strategy's wire shows and should not: four whole runs in process, compared."""
    parties = range(1, hospitals + 1)
    first = inputs(parties, values, protocol.value_bits, seed=1)
    other = inputs(parties, values, protocol.value_bits, seed=2)
    rotated = {party: first[party % hospitals + 1] for party in parties}
    return leakage.violations(*(record(protocol, data) for data in (first, first, other, rotated)))


def _sum_or_error(federation: LocalFederation, data: dict[PartyId, Vector]) -> Total | FedsecError:
    """The sum, or in which words the round failed."""
    try:
        return federation.sum(data)
    except FedsecError as error:
        return error


def _missed(found: Total | FedsecError, federation: LocalFederation) -> frozenset[PartyId]:
    """Of whom a failed round says that it gave no usable answer, without those of whom an incident says why."""
    missed = found.asked - found.answered if isinstance(found, TooFewParties) else frozenset()
    return missed - {party for _, party, _ in federation.incidents}


def _shown(answer: object) -> object:
    """An answer's length, and its public fields; a refusal as it is."""
    if not isinstance(answer, bytes):
        return answer
    body = envelope.read(answer).body
    message = codec.decode(body, Message)
    public = [field.name for field in codec.schema(type(message)) if field.exposure is Exposure.PUBLIC]
    return len(body), {name: codec.value_bytes(getattr(message, name)) for name in public}


class Conformance:
    """Inherit in a class whose name starts with Test, and set `strategy`."""

    strategy: ClassVar[str]
    parameters: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    hospitals: ClassVar[int] = 6

    @pytest.fixture(scope="class")
    @classmethod
    def protocol(cls) -> SecureSum[Any, Any]:
        """The strategy, with its default parameters but for those that the class names."""
        return catalog.strategy(cls.strategy)(**cls.parameters)

    @pytest.fixture(scope="class")
    @classmethod
    def federation(cls, protocol: SecureSum[Any, Any]) -> LocalFederation:
        """One federation for all tests of the class: set-up may be slow."""
        federation = LocalFederation(protocol, hospitals=cls.hospitals)
        federation.enrol()
        return federation

    @pytest.fixture(autouse=True)
    def _without_faults(self, federation: LocalFederation) -> Iterator[None]:
        yield
        federation.faults, federation.tap = (), None
        federation.coordinator.false = frozenset()

    def test_opens_with_the_five_lines(self, protocol: SecureSum[Any, Any]) -> None:
        assert all(headings(type(protocol)).values())

    def test_parameters_rebuild_the_strategy(self, protocol: SecureSum[Any, Any]) -> None:
        assert catalog.build(protocol.name, protocol.parameters(), [self.strategy]) == protocol

    @pytest.mark.parametrize("malicious", [False, True])
    def test_no_coalition_is_smaller_than_what_the_strategy_withstands(
        self, protocol: SecureSum[Any, Any], malicious: bool
    ) -> None:
        cohort = range(1, self.hospitals + 1)
        groups = protocol.coalitions(cohort, malicious)
        assert any(group.server for group in groups)
        for group in groups:
            assert group.parties <= set(cohort) and group.who and 0 <= group.count <= len(group.parties)
            assert group.count > protocol.withstands(cohort, malicious) or not protocol.private
        assert all(role.name and role.learns and set(role.parties) <= set(cohort) for role in protocol.roles(cohort))
        assert (protocol.statistical_bits(cohort) or 40) >= 40
        assert 0 <= 2 * protocol.corrects(cohort, self.hospitals) <= self.hospitals

    def test_every_message_field_states_its_exposure(self, protocol: SecureSum[Any, Any]) -> None:
        rounds = protocol.rounds()
        assert protocol.input_phase in rounds and len(set(rounds)) == len(rounds)
        assert not set(protocol.dispute_phases) & set(rounds)
        asked = protocol.requests()
        assert [phase for phase in asked if phase in rounds] == [*rounds] and len(set(asked)) == len(asked)
        assert [phase for phase in asked if phase not in rounds] == [*protocol.dispute_phases]
        assert protocol.tolerance(range(1, self.hospitals + 1)).keys() <= set(rounds)
        own = {kind for kind in RECORDS.values() if kind.__module__ == type(protocol).__module__ and is_dataclass(kind)}
        for record in {*protocol.setup_phases, *rounds, *protocol.dispute_phases, *own}:
            codec.schema(record)

    @DRAWN
    @given(data=st.data())
    def test_sums_exactly(self, federation: LocalFederation, data: st.DataObject) -> None:
        everyone = sorted(federation.states)
        cohort = data.draw(st.sets(st.sampled_from(everyone), min_size=federation.protocol.floor), label="cohort")
        values = data.draw(st.integers(0, 300), label="values")
        drawn = inputs(cohort, values, federation.protocol.value_bits, data.draw(st.integers(0, 2**32), label="seed"))
        total = federation.sum(drawn)
        assert total.sum.included == cohort
        assert total.sum.vector.tolist() == exact(drawn, cohort, values)
        assert not total.sum.false and not federation.coordinator.false, "nobody lied"

    def test_the_largest_sum_is_exact(self, federation: LocalFederation) -> None:
        largest = (1 << federation.protocol.value_bits) - 1
        total = federation.sum({party: [largest] * 3 for party in federation.states})
        assert total.sum.vector.tolist() == [largest * self.hospitals] * 3

    def test_what_an_input_holds_changes_no_answer(self, federation: LocalFederation) -> None:
        """Inputs of zeros, of ones and of the largest value: all are answered, alike in length and in what is public.

        Whether a hospital answers, and what its answer shows, must not depend on its rows.
        """
        first = federation.sum(inputs(sorted(federation.states), 3, federation.protocol.value_bits, seed=8))
        assert not first.sum.false, "nobody lied"
        shown: list[dict[tuple[str, PartyId], object]] = []
        for value in (0, 1, (1 << federation.protocol.value_bits) - 1):
            seen: dict[tuple[str, PartyId], object] = {}

            def note(
                phase: Phase, party: PartyId, request: bytes, answer: object, seen: dict[Any, object] = seen
            ) -> None:
                seen[phase.name, party] = _shown(answer)

            federation.tap = note
            total = federation.sum({party: [value] * 3 for party in federation.states})
            federation.tap = None
            assert total.sum.vector.tolist() == [value * self.hospitals] * 3
            assert not total.sum.false and not federation.coordinator.false, "nobody lied"
            shown.append(seen)
        if federation.protocol.private:
            assert shown[0] == shown[1] == shown[2], "what a party answers depends on its input"

    def test_a_hospital_that_replaces_the_model_makes_the_round_void(self, federation: LocalFederation) -> None:
        """Its integers are in their range, and the mean that they lead to is beyond what any updates come to."""
        bits, spec = federation.protocol.value_bits, MeanSpec(clip=1.0, largest_weight=1000)
        if not 2 <= bits <= MAX_BITS:
            pytest.skip(f"means are of 2 to {MAX_BITS} value bits")
        made = [
            mean.contribution({"w": np.full(2, 0.5)}, {"w": np.zeros(2)}, {}, 10, spec, bits) for _ in federation.states
        ]
        vectors = dict(zip(federation.states, (one.vector for one in made), strict=True))
        found = mean.decode(federation.sum(vectors).sum, made[0].layout, {"w": np.zeros(2)}, spec, bits)
        assert abs(found.arrays["w"] - 0.5).max() <= found.step * len(made)
        vectors[max(vectors)][:2] = (1 << bits) - 1
        total = federation.sum(vectors).sum
        with pytest.raises(BadMessage, match="beyond its limit of 1"):
            mean.decode(total, made[0].layout, {"w": np.zeros(2)}, spec, bits)

    def _asked(self, federation: LocalFederation, data: dict[PartyId, Vector]) -> dict[str, list[PartyId]]:
        asked: dict[str, list[PartyId]] = {}
        federation.tap = lambda phase, party, request, answer: asked.setdefault(phase.name, []).append(party)
        federation.sum(data)
        federation.tap = None
        return asked

    @pytest.mark.parametrize("parties", [3, 4, 5, 6])
    def test_dropouts_phase_by_phase(self, federation: LocalFederation, parties: int) -> None:
        """In every phase: exact for every tolerated number of dropouts, and a typed error for one more and for all.

        A reply that is lost is one that was computed: the fewest, the most that are tolerated, and one more.
        """
        cohort = sorted(federation.states)[:parties]
        data = inputs(cohort, 5, federation.protocol.value_bits, seed=3)
        asked = self._asked(federation, data)
        for phase, tolerated in federation.protocol.tolerance(cohort).items():
            parties_asked = asked[phase.__name__]
            everyone, more = len(parties_asked), tolerated + 1
            strikes: set[tuple[Kind, int]] = {
                ("drop", count) for count in (*range(1, more + 1), everyone) if count <= everyone
            }
            strikes |= {("lose", count) for count in (1, tolerated, more) if 0 < count <= everyone}
            for kind, dropped in sorted(strikes):
                federation.faults = [Fault(kind, phase.__name__, party) for party in parties_asked[-dropped:]]
                if dropped > tolerated:
                    with pytest.raises(TooFewParties, match=phase.__name__):
                        federation.sum(data)
                    continue
                total = federation.sum(data)
                assert total.sum.vector.tolist() == exact(data, total.sum.included, 5)
                assert len(total.sum.included) >= federation.protocol.floor
                if phase is federation.protocol.input_phase and kind == "drop":
                    assert total.sum.included == set(data) - set(parties_asked[-dropped:])

    @DRAWN
    @given(data=st.data())
    def test_any_schedule_of_faults_gives_an_exact_sum_or_a_typed_error(
        self, federation: LocalFederation, data: st.DataObject
    ) -> None:
        phases = [phase.__name__ for phase in federation.protocol.rounds()]
        kinds = ["drop", "lose", "delay", "duplicate", "repeat", "corrupt-request", "corrupt-reply", "replay"]
        fault = st.builds(
            Fault,
            kind=st.sampled_from(kinds),
            phase=st.sampled_from(phases),
            party=st.sampled_from(sorted(federation.states)),
            bit=st.integers(0, 1 << 20),
        )
        federation.faults = data.draw(st.lists(fault, max_size=4), label="faults")
        drawn = inputs(sorted(federation.states), 4, federation.protocol.value_bits, data.draw(st.integers(0, 999)))
        try:
            total = federation.sum(drawn)
        except FedsecError:
            return
        assert total.sum.vector.tolist() == exact(drawn, total.sum.included, 4)
        assert len(total.sum.included) >= federation.protocol.floor

    def test_one_false_answer_names_nobody_honest(
        self, federation: LocalFederation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One party changes one field of one answer and signs it: any but its input itself.

        Of a mapping an entry is another one, or entries are missing. The sum is right or fails, if more parties answer
        the phase than it takes; nobody else is proven false, or answers and is said to have given no usable answer.
        """
        protocol = federation.protocol
        data = inputs(sorted(federation.states), 4, protocol.value_bits, seed=7)
        honest: dict[str, tuple[PartyId, Message]] = {}

        def note(phase: Phase, party: PartyId, request: bytes, answer: object) -> None:
            assert isinstance(answer, bytes)
            honest.setdefault(phase.name, (party, codec.decode(envelope.read(answer).body, Message)))

        federation.tap = note
        federation.sum(data)
        federation.tap = None
        for phase in protocol.rounds():
            if phase.__name__ not in honest:
                continue  # it waits for a dropout
            liar, answer = honest[phase.__name__]
            opening = set(Exposure) - {Exposure.METERING}
            asks_input = phase is protocol.input_phase
            same = changeable(answer, {Exposure.SEALED} if asks_input else opening)
            names = [*same, *(changeable(answer, {Exposure.MASKED}) if asks_input else [])]
            for name, which in [(each, which) for each in names for which in range(len(changes(answer, each)))]:
                with monkeypatch.context() as lie:
                    lie.setattr(federation, "ask", lying(federation, liar, phase, name, which))
                    found = _sum_or_error(federation, data)
                # Another masked value may be another input.
                if name in same and isinstance(found, Total) and protocol.tolerance(sorted(data)).get(phase, 0):
                    assert found.sum.vector.tolist() == exact(data, found.sum.included, 4), (phase, name, which)
                assert federation.coordinator.false | _missed(found, federation) <= {liar}, (phase, name, which)
                federation.coordinator.false = frozenset()

    def test_a_party_answers_in_order_and_once(self, federation: LocalFederation) -> None:
        """In no session does a party answer a phase after a later one, or any phase twice."""
        data = inputs(sorted(federation.states), 4, federation.protocol.value_bits, seed=4)
        sent: dict[type[Message], dict[PartyId, Message]] = {}

        def tap(phase: Phase, party: PartyId, request: bytes, answer: object) -> None:
            message = codec.decode(envelope.read(request).body, Message)
            sent.setdefault(type(message), {})[party] = message

        federation.tap = tap
        federation.sum(data)
        federation.tap = None
        table = [phase for phase in federation.protocol.rounds() if phase in sent]  # others wait for a dropout
        assert table == list(sent), "a round asks its phases in the order of rounds()"
        for later in range(len(table)):
            for earlier in range(later + 1):
                channel = federation.coordinator.channel(sorted(data), stage="train")
                channel.deliver(sent[table[later]])
                both = sent[table[earlier]].keys() & sent[table[later]].keys()
                assert not channel.deliver({party: sent[table[earlier]][party] for party in both})

    def test_replayed_requests_are_refused(self, federation: LocalFederation) -> None:
        data = inputs(sorted(federation.states), 4, federation.protocol.value_bits, seed=5)
        old: list[tuple[PartyId, bytes]] = []
        federation.tap = lambda phase, party, request, answer: old.append((party, request))
        federation.sum(data)
        federation.tap = None
        for _ in range(2):  # within the last session, and after a newer one
            for party, request in old:
                assert isinstance(federation.ask(party, request), Refusal)
            federation.sum(data)

    def test_parties_hold_the_cohort_floor_whatever_the_server_asks(self, federation: LocalFederation) -> None:
        protocol = federation.protocol
        data = inputs(sorted(federation.states), 4, protocol.value_bits, seed=6)
        federation.sum(data)  # so that every party has an input to give
        with pytest.raises(ConfigurationError, match="floor"):
            protocol.check([1, 2])
        flow = protocol.aggregate(sorted(data), federation.coordinator.public)
        requests = next(flow)
        flow.close()
        few = sorted(data, key=lambda party: (party not in requests, party))[: protocol.floor - 1]
        channel = federation.coordinator.channel(few, stage="train")
        asked = {party: request for party, request in requests.items() if party in few}
        assert not channel.deliver(asked)
        assert channel.reasons().keys() == asked.keys() != set()
        assert all("floor" in reason for reason in channel.reasons().values())

    def test_states_are_kept_as_bytes_and_never_printed(self, federation: LocalFederation) -> None:
        for kept in federation.states.values():
            state = codec.decode(kept, PartyState)
            assert codec.encode(state) == kept
            for inner in (state.after_setup, state.within):
                if inner is not None:
                    assert repr(codec.decode(inner, State)).endswith("redacted>")
            assert "redacted" in repr(state)

    def test_nothing_in_clear_on_the_wire(self, protocol: SecureSum[Any, Any]) -> None:
        violations = wire_violations(protocol)
        if protocol.private:
            assert not violations, "\n".join(violations)
        else:
            assert any("public, and differs" in violation for violation in violations), "the leakage check saw nothing"
