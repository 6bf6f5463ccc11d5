"""The conformance suite finds a strategy that opens a wrong sum from a false answer, or names an honest party."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from fedsec import catalog
from fedsec.errors import BadMessage, TooFewParties
from fedsec.local import LocalFederation
from fedsec.primitives import shamir as sharing
from fedsec.protocol import Exposure, Message, Sum, Vector, ask, complaints, total
from fedsec.strategies import shamir
from fedsec.strategies._sum_of_shares import Answer, Opened, open_sum
from fedsec.testing import Conformance
from fedsec.testing.false_answers import changeable, changes

PairwiseMasks: Any = catalog.strategy(str(Path(__file__).parents[2] / "docs" / "examples" / "pairwise_masks.py"))


class NamesTheSecond(shamir.Shamir):
    """Says of every round that party 2 answered falsely."""

    def aggregate(self, clients: Any, public: None) -> Any:
        found = yield from super().aggregate(clients, public)
        return Sum(found.vector, found.included, frozenset({2}))


def first_shares(phase: str, answers: dict[int, Answer], senders: Any, needed: int, *rest: Any) -> Opened:
    """Open the sum from as many shares as it takes, and look at no other."""
    some = {party: answers[party].share for party in sorted(answers)[:needed]}
    values, included = answers[min(answers)].values, answers[min(answers)].included
    _, field, pack, *_ = rest
    return Opened(sharing.combine(some, needed, field, values, pack), included, frozenset(), frozenset())


def check(protocol: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = LocalFederation(protocol, hospitals=6)
    Conformance().test_one_false_answer_names_nobody_honest(federation, monkeypatch)


def test_a_wrong_sum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    check(shamir.Shamir(), monkeypatch)
    monkeypatch.setattr(shamir, "open_sum", first_shares)
    with pytest.raises(AssertionError, match="outbox"):
        check(shamir.Shamir(), monkeypatch)


def test_an_honest_party_that_is_named_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="outbox"):
        check(NamesTheSecond(), monkeypatch)


def unchecked(requests: Any, reply: Any, possible: Any, at_least: int) -> Any:
    """Look at no outbox."""
    answered = yield from ask(requests, reply, at_least)
    return answered, frozenset()


def none_usable(*given: Any) -> Opened:
    """Say of all that they gave no usable answer, where their answers are for two sums."""
    try:
        return open_sum(*given)
    except TooFewParties as error:
        raise TooFewParties(error.phase, error.needed, (), error.asked) from None


@pytest.mark.slow
def test_a_party_that_answered_and_is_called_missing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that seals nothing to half of the others has these answer for another sum than the rest."""
    monkeypatch.setattr(complaints, "ask_possible", unchecked)
    check(shamir.Shamir(), monkeypatch)
    monkeypatch.setattr(shamir, "open_sum", none_usable)
    with pytest.raises(AssertionError, match="'outbox', 2"):
        check(shamir.Shamir(), monkeypatch)


class Refuses(PairwiseMasks):
    """Refuses an input of zeros."""

    def respond(self, me: Any, state: Any, request: Any, x: Any, rng: Any) -> Any:
        if x is not None and not x.any():
            raise BadMessage("nothing to send")
        return super().respond(me, state, request, x, rng)


class Tells(PairwiseMasks):
    """Says whether its input is small."""

    def respond(self, me: Any, state: Any, request: Any, x: Any, rng: Any) -> Any:
        after, answer = super().respond(me, state, request, x, rng)
        return after, TellsSize(answer.vector, int(x.max()) < 2)

    def aggregate(self, clients: Any, public: None) -> Any:
        sent = yield from ask(dict.fromkeys(clients, self.input_phase()), TellsSize, at_least=len(clients))
        return Sum(total(reply.vector for reply in sent.values()), frozenset(sent))


class Blames(PairwiseMasks):
    """Calls its first party false where a sum is as large as it can be."""

    def aggregate(self, clients: Any, public: None) -> Any:
        found = yield from super().aggregate(clients, public)
        large = bool(found.vector.max() >= len(clients) * ((1 << self.value_bits) - 1))
        return Sum(found.vector, found.included, frozenset({min(clients)} if large else ()))


@dataclass(frozen=True)
class TellsSize(Message, tag="tests.tells_size/1"):
    """A masked input, and whether it is small."""

    vector: Annotated[Vector, Exposure.MASKED]
    small: Annotated[bool, Exposure.PUBLIC]


@pytest.mark.parametrize(
    ("strategy", "match"), [(Refuses, "SendMasked"), (Tells, "depends on its input"), (Blames, "nobody lied")]
)
def test_answers_that_depend_on_rows_and_blame_without_a_lie_are_found(strategy: Any, match: str) -> None:
    check_alike = Conformance.test_what_an_input_holds_changes_no_answer
    with pytest.raises((AssertionError, TooFewParties), match=match):
        check_alike(Conformance(), LocalFederation(strategy(), hospitals=Conformance.hospitals))
    check_alike(Conformance(), LocalFederation(PairwiseMasks(), hospitals=Conformance.hospitals))


def test_every_kind_of_value_is_changed() -> None:
    answer = shamir.ShareOfSum(np.array([1, 2], np.uint32), 2, 31, frozenset({3, 4}))
    assert changeable(answer, {Exposure.SHARED}) == ["share"]
    assert changeable(answer, set(Exposure)) == ["share", "values", "prime_bits", "included"]
    (other,) = changes(answer, "share")
    assert isinstance(other, shamir.ShareOfSum) and other.share.tolist() == [0, 2] and answer.share.tolist() == [1, 2]
    for name, value in (("values", 3), ("prime_bits", 32), ("included", {4})):
        assert [getattr(other, name) for other in changes(answer, name)] == [value]
    sealed = shamir.Shares({5: b"ab", 6: b"cd", 7: b""})
    outboxes = [{5: b"ac", 6: b"cd", 7: b""}, {6: b"cd", 7: b""}, {7: b""}]
    assert changes(sealed, "outbox") == [shamir.Shares(outbox) for outbox in outboxes]
    assert changes(shamir.Shares({5: b""}), "outbox") == [shamir.Shares({})]
    assert changeable(shamir.Shares({}), set(Exposure)) == []
