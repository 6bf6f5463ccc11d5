"""Every fault, in every phase: the exact sum of the survivors, or a typed error that names the phase and the party."""

from __future__ import annotations

import functools
import re
from itertools import chain, combinations
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsec.errors import ConfigurationError, DataError, FedsecError, TooFewParties
from fedsec.local import Fault, Kind, LocalFederation, Update
from fedsec.party.policy import Policy
from fedsec.protocol import SecureSum
from fedsec.strategies.additive import Additive
from fedsec.strategies.lightsecagg import LightSecAgg
from fedsec.strategies.packed_shamir import PackedShamir
from fedsec.strategies.paillier import Paillier
from fedsec.strategies.plain import Plain
from fedsec.strategies.secagg import SecAgg
from fedsec.strategies.secagg_plus import SecAggPlus
from fedsec.strategies.shamir import Shamir
from tests.tiers import exhaustive

KINDS: tuple[Kind, ...] = get_args(Kind)
SILENCING = set(KINDS) - {"duplicate", "repeat"}
"""What leaves no usable answer of the party that it strikes."""
WHY = {
    "drop": "no answer in time",
    "lose": "no answer in time",
    "delay": "no answer in time",
    "repeat": "OutOfPhase",
    "corrupt-request": "Error|BadMessage",
    "corrupt-reply": "Error|BadMessage",
    "replay": "stale or misdirected",
}


def drawn(parties: Any, seed: int, values: int = 3) -> dict[int, Any]:
    draw = np.random.default_rng(seed)
    return {party: draw.integers(0, 1 << 24, values, dtype=np.uint64) for party in parties}


def exact(data: dict[int, Any], included: Any) -> list[int]:
    return [int(value) for value in sum(data[party] for party in included)]


def ready(protocol: SecureSum[Any, Any], hospitals: int = 5) -> LocalFederation:
    federation = LocalFederation(protocol, hospitals)
    federation.enrol()
    return federation


@functools.cache
def kept(protocol: SecureSum[Any, Any]) -> LocalFederation:
    """One for all faults: after each, `strike` shows that it left no trace."""
    return ready(protocol)


def strike(federation: LocalFederation, kind: Kind, phase: str, party: int, asked: int) -> None:
    """One fault, then a round without: what the first may come to, and that it leaves no trace in the second."""
    protocol, everyone = federation.protocol, sorted(federation.states)
    needed = asked - {kind.__name__: count for kind, count in protocol.tolerance(everyone).items()}[phase]
    federation.faults = [Fault(kind, phase, party)]
    data = drawn(everyone, seed=1)
    try:
        total = federation.sum(data)
    except TooFewParties as error:
        assert kind in SILENCING and asked - 1 < needed
        assert error.phase == phase
        assert party not in error.answered
        assert re.search(f"party {party}: {phase}: .*({WHY[kind]})", str(error))
    else:
        assert kind not in SILENCING or asked - 1 >= needed
        lost = kind in SILENCING and phase == protocol.input_phase.__name__
        assert total.sum.included == set(everyone) - ({party} if lost else set())
        assert total.sum.vector.tolist() == exact(data, total.sum.included)
        noted = [one for one in total.incidents if "was not asked" not in one[2]]  # a late reply in the next phase
        assert {(name, who) for name, who, _ in noted} == ({(phase, party)} if kind in WHY else set())
        assert all(re.search(WHY[kind], reason) for _, _, reason in noted)
    federation.faults, data = (), drawn(everyone, seed=2)
    total = federation.sum(data)
    assert total.sum.included == set(everyone)
    assert total.sum.vector.tolist() == exact(data, everyone)
    assert all(kind == "delay" and who == party for _, who, _ in total.incidents)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("strategy", "phase"),
    [
        (strategy, phase)
        for strategy in (Plain(), Shamir(), Shamir(server="malicious", threshold=4))
        for phase in strategy.tolerance(range(1, 6))
    ],
)
def test_each_fault_in_each_phase(strategy: Any, phase: Any, kind: Kind) -> None:
    for party in (1, 3):
        strike(kept(strategy), kind, phase.__name__, party, asked=5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("phase", "party", "asked"), [("Encrypt", 4, 5), ("Encrypt", 1, 5), ("Witness", 2, 1), ("Open", 1, 1)]
)
def test_each_fault_in_each_phase_of_paillier(paillier: Any, phase: str, party: int, asked: int, kind: Kind) -> None:
    strike(paillier.federation, kind, phase, party, asked)


def subsets(parties: Any) -> list[tuple[int, ...]]:
    everyone = sorted(parties)
    return list(chain.from_iterable(combinations(everyone, size) for size in range(len(everyone) + 1)))


@pytest.mark.slow
@pytest.mark.parametrize("hospitals", [3, 4, *exhaustive([5])])
@pytest.mark.parametrize("kind", ["drop", "lose"])
def test_every_subset_may_drop_out_in_either_phase(hospitals: int, kind: Kind) -> None:
    federation = ready(Shamir(), hospitals)
    everyone = set(federation.states)
    needed = hospitals // 2 + 1
    data = drawn(everyone, seed=hospitals)
    for phase, least in (("ShareInput", max(needed, 3)), ("SumShares", needed)):
        for silent in subsets(everyone):
            federation.faults = [Fault(kind, phase, party) for party in silent]
            if hospitals - len(silent) < least:
                with pytest.raises(
                    TooFewParties, match=f"phase {phase}: {hospitals - len(silent)} of {hospitals}"
                ) as caught:
                    federation.sum(data)
                assert caught.value.asked - caught.value.answered == set(silent)
                continue
            total = federation.sum(data)
            assert total.sum.included == (everyone - set(silent) if phase == "ShareInput" else everyone)
            assert total.sum.vector.tolist() == exact(data, total.sum.included)
            assert [(name, party) for name, party, _ in total.incidents] == [(phase, party) for party in silent]


@pytest.mark.slow
def test_every_pair_of_subsets_may_drop_out_phase_after_phase() -> None:
    federation = ready(Shamir(), 4)
    data = drawn(federation.states, seed=4)
    for first in subsets(federation.states):
        for second in subsets(set(federation.states) - set(first)):
            federation.faults = [Fault("drop", "ShareInput", party) for party in first]
            federation.faults += [Fault("lose", "SumShares", party) for party in second]
            if len(first) > 1 or 4 - len(first) - len(second) < 3:
                with pytest.raises(TooFewParties, match="ShareInput" if len(first) > 1 else "SumShares"):
                    federation.sum(data)
                continue
            total = federation.sum(data)
            assert total.sum.included == set(federation.states) - set(first)
            assert total.sum.vector.tolist() == exact(data, total.sum.included)


@pytest.mark.parametrize("phase", ["ShareInput", "SumShares"])
def test_late_replies_join_no_later_phase_or_round(phase: str) -> None:
    federation = ready(Shamir())
    federation.faults = [Fault("delay", phase, party, round=number) for number in (1, 2) for party in (2, 5)]
    for number in range(1, 5):
        data = drawn(federation.states, seed=number)
        total = federation.sum(data)
        late = number < 3 and phase == "ShareInput"
        assert total.sum.included == set(data) - ({2, 5} if late else set())
        assert total.sum.vector.tolist() == exact(data, total.sum.included)
        if phase == "SumShares" and number in (2, 3):
            stale = [
                (name, party) for name, party, reason in total.incidents if "a stale or misdirected answer" in reason
            ]
            assert stale == [("ShareInput", 2), ("ShareInput", 5)]
        if late:
            unasked = [(name, party) for name, party, reason in total.incidents if "was not asked" in reason]
            assert unasked == [("SumShares", 2), ("SumShares", 5)]


def test_late_replies_join_no_later_epoch() -> None:
    federation = ready(Plain())
    federation.faults = [Fault("delay", "SendInput", 2)]
    federation.sum(drawn(federation.states, seed=1))
    federation.faults = ()
    federation.enrol()
    assert sorted(federation.coordinator.roster) == [1, 2, 3, 4, 5]
    assert federation.sum(drawn(federation.states, seed=2)).sum.included == set(federation.states)


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        ([0.5], "vector of integers"),
        (["a"], "vector of integers"),
        ([[1]], "one-dimensional"),
        (7, "one-dim"),
        ([-1], r"must lie in 0..2\*\*24 - 1"),
        ([1 << 24], "must lie in"),
        ([1 << 70], "vector of integers"),
        ([True], "vector of integers"),
    ],
)
def test_inputs_that_are_no_sum_s(vector: Any, text: str) -> None:
    with pytest.raises(DataError, match=f"party 2's input .*{text}"):
        LocalFederation(Plain(), 3).sum({1: [1], 2: vector, 3: [1]})


UNSENT = "w\udc80"
"""A name with half of a pair of surrogates, as Python makes of bytes that are no text."""
MASKED = np.ma.array([0.5, 4000.0], mask=[False, True])
UPDATES = {party: Update({"w": np.array([0.5, 0.5])}, {"loss": 0.1}, 10) for party in range(1, 5)}
ZERO = {"w": np.zeros(2)}
UNUSABLE: list[tuple[Any, str]] = [
    (Update({"w": MASKED}, {}, 10), "the update's array 'w' is a masked array"),
    (Update({"w": np.ma.array([0.5, 0.5])}, {}, 10), "is a masked array"),  # with nothing hidden: by its kind
    (Update({"w": [np.ma.masked, 0.5]}, {}, 10), "is a masked array"),
    (Update({"w": np.array(["a", "b"])}, {}, 10), "array 'w' has dtype <U1"),
    (Update({"w": ["a", 0.5]}, {}, 10), "array 'w' has dtype <U"),
    (Update({"w": np.array([object(), 1])}, {}, 10), "array 'w' has dtype object"),
    (Update({"w": np.array([1j, 2])}, {}, 10), "array 'w' has dtype complex128"),
    (Update({"w": [[1.0], [1.0, 2.0]]}, {}, 10), "not an array of numbers"),
    (Update({1: np.ones(2)}, {}, 10), "array name 1 is of type int; a text was expected"),  # type: ignore[dict-item]
    (Update({UNSENT: np.ones(2)}, {}, 10), r"array name 'w\udc80' is no text that UTF-8 can encode"),
    (Update({"w": np.ones(2)}, {5: 0.1}, 10), "metric name 5 is of type int; a text was"),  # type: ignore[dict-item]
    (Update({"w": np.ones(2)}, {UNSENT: 0.1}, 10), r"metric name 'w\udc80' is no text that UTF-8 can encode"),
    (Update([np.ones(2)], {}, 10), "arrays by name were expected"),  # type: ignore[arg-type]
    (Update({"w": np.ones(2)}, [0.1], 10), "metrics by name"),  # type: ignore[arg-type]
    (0.5, "an Update with metrics by name was expected, and a value of type float came"),
    (None, "a value of type NoneType came"),
]


@pytest.mark.parametrize(("unusable", "text"), UNUSABLE, ids=[text for _, text in UNUSABLE])
def test_a_party_whose_update_cannot_be_averaged_is_left_out_and_the_reason_kept(unusable: Any, text: str) -> None:
    federation = LocalFederation(Shamir(), 4)
    assert federation.mean({**UPDATES, 3: unusable}, ZERO).included == {1, 2, 4}
    ((phase, party, reason),) = federation.incidents
    assert (phase, party) == ("ShareInput", 3) and re.match("(Data|Layout)Error: ", reason) and text in reason
    with pytest.raises(TooFewParties, match=re.escape(text)):
        federation.mean({1: UPDATES[1], 2: UPDATES[2], 3: unusable}, ZERO)
    assert federation.mean(UPDATES, ZERO).arrays["w"] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert federation.incidents == ()


@pytest.mark.parametrize(
    ("unusable", "text"),
    [
        (Update({"w": np.array([np.nan, 1])}, {"loss": 0.1}, 10), "not finite"),
        (Update({"w": np.ones(2)}, {"loss": 0.1}, "many"), "num-examples is 'many'"),  # type: ignore[arg-type]
        (Update({"w": np.ones(2)}, {"loss": 0.1}, 1e-20), "1e-20 and rounds to 0, for weights are multiples of 2^-32"),
    ],
)
def test_an_update_that_rows_made_unusable_is_counted_and_the_reason_kept(unusable: Update, text: str) -> None:
    federation = LocalFederation(Shamir(), 4)
    found = federation.mean({**UPDATES, 3: unusable}, ZERO)
    assert (found.included, found.unusable, federation.incidents) == ({1, 2, 3, 4}, 1, ())
    assert list(federation.unusable) == [3] and text in federation.unusable[3]
    assert federation.mean(UPDATES, ZERO).arrays["w"] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert federation.unusable == {}
    with pytest.raises(DataError, match=rf"4 of 4 hospitals had no usable .* \(party 1, 2, 3, 4: .*{re.escape(text)}"):
        federation.mean(dict.fromkeys((1, 2, 3, 4), unusable), ZERO)


def test_a_policy_of_a_deployment_keeps_the_reason_at_the_party() -> None:
    """The control: in full in a simulation alone."""
    federation = LocalFederation(Shamir(), 4, policy=Policy(simulation=True))
    federation.enrol()
    federation.policy = Policy(simulation=False, trusts_server=True)
    with pytest.raises(TooFewParties, match=r"party 3: ShareInput: DataError[;)]"):
        federation.mean({1: UPDATES[1], 2: UPDATES[2], 3: UNUSABLE[0][0]}, ZERO)


@pytest.mark.parametrize("vector", [np.ma.array([1, 2], mask=[0, 1]), [np.ma.masked, 1], np.ma.masked, [[1], [1, 2]]])
def test_sums_of_what_is_no_vector(vector: Any) -> None:
    with pytest.raises(DataError, match="party 2's input"):
        LocalFederation(Plain(), 3).sum({1: [1, 1], 2: vector, 3: [1, 1]})


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ({"w": MASKED}, "the model's array 'w' is a masked array"),
        ({"w": np.array(["a", "b"])}, "dtype <U1"),
        ([1.0, 2.0], "the model: arrays by name"),
        ({UNSENT: np.zeros(2)}, "the model: arrays by name were expected; array name .* is no text that UTF-8 can"),
        ({1: np.zeros(2)}, "the model: arrays by name were expected; array name 1 is of type int"),
        (None, "the model: arrays by name"),
    ],
)
def test_a_model_that_is_none(reference: Any, text: str) -> None:
    with pytest.raises(FedsecError, match=text):
        LocalFederation(Plain(), 4).mean(UPDATES, reference)


def test_a_federation_of_what_is_none() -> None:
    for arguments, text in (
        ({"protocol": "shamir"}, "protocol is 'shamir'; an instance of a strategy, such as strategy"),
        ({"protocol": Shamir}, "an instance of a strategy"),
        ({"spec": 4.0}, "spec is 4.0; a MeanSpec was expected"),
        ({"policy": None}, "policy is None"),
        *(({"hospitals": odd}, "hospitals is") for odd in (0, -1, 2.5, True, "5", None)),
    ):
        with pytest.raises(ConfigurationError, match=text):
            LocalFederation(**{"protocol": Shamir(), **arguments})
    with pytest.raises(ConfigurationError, match="unknown kind of fault 'dorp'; did you mean 'drop'"):
        Fault("dorp", "ShareInput", 1)  # type: ignore[arg-type]
    for inputs in ([[1], [2], [3]], None, {"1": [1]}, {1.5: [1]}, {True: [1]}):
        with pytest.raises(ConfigurationError, match="inputs: "):
            LocalFederation(Shamir(), 3).sum(inputs)  # type: ignore[arg-type]


def test_the_smallest_and_the_empty() -> None:
    federation = LocalFederation(Shamir(), 3)
    assert federation.sum({1: [], 2: [], 3: []}).sum.vector.tolist() == []
    for few in ({}, {1: [1]}, {1: [1], 2: [2]}):
        with pytest.raises(ConfigurationError, match=f"cohort of {len(few)} is below the floor of 3"):
            federation.sum(few)
    with pytest.raises(ConfigurationError, match="hospitals is 0"):
        LocalFederation(Shamir(), 0)


def campaign(federation: LocalFederation, data: st.DataObject) -> None:
    """Rounds over drawn cohorts, with a drawn schedule of faults over all of them."""
    federation.round, federation._late, federation._previous = 0, [], {}
    everyone, phases = sorted(federation.states), [phase.__name__ for phase in federation.protocol.rounds()]
    fault = st.builds(
        Fault,
        kind=st.sampled_from(KINDS),
        phase=st.sampled_from(phases),
        party=st.sampled_from(everyone),
        round=st.integers(1, 3),
        bit=st.integers(0, 1 << 20),
    )
    federation.faults = data.draw(st.lists(fault, max_size=8), label="faults")
    for _ in range(3):
        cohort = data.draw(st.sets(st.sampled_from(everyone), min_size=3), label="cohort")
        inputs = drawn(cohort, data.draw(st.integers(0, 99)), values=2)
        try:
            total = federation.sum(inputs)
        except FedsecError:
            continue
        assert federation.protocol.floor <= len(total.sum.included)
        assert total.sum.included <= cohort
        assert total.sum.vector.tolist() == exact(inputs, total.sum.included)


ANY_SCHEDULE = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [Plain, Shamir])
def test_schedules_of_faults(strategy: Any) -> None:
    federation = ready(strategy(), 6)
    ANY_SCHEDULE(given(st.data())(lambda data: campaign(federation, data)))()


LONG = [
    Plain(),
    Additive(),
    Shamir(),
    Shamir(value_bits=40),
    Shamir(server="malicious"),
    PackedShamir(),
    LightSecAgg(),
    LightSecAgg(server="malicious"),
    SecAgg(),
    SecAgg(server="semi-honest"),
    SecAggPlus(),
    Paillier(key_bits=2048, policy="fast"),
]


@pytest.mark.campaign
@pytest.mark.parametrize("hospitals", [3, 4, 5, 6, 7])
@pytest.mark.parametrize("protocol", LONG, ids=lambda one: f"{one.name}-{getattr(one, 'server', '')}-{one.value_bits}")
def test_long_campaign_of_schedules(protocol: Any, hospitals: int) -> None:
    """More than 10,000 schedules over all strategies, of three rounds each."""
    federation = ready(protocol, hospitals)
    many = settings(ANY_SCHEDULE, max_examples=200 if protocol.name != "paillier" else 60)
    many(given(st.data())(lambda data: campaign(federation, data)))()
