"""What aggregators under additive, and hospitals under lightsecagg, refuse to a dishonest server."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import BadMessage, OutOfPhase, PolicyError, TooFewParties
from fedsec.protocol.complaints import SumReopened
from fedsec.protocol.flow import Toss
from fedsec.strategies import additive, lightsecagg
from fedsec.strategies.additive import Additive
from fedsec.strategies.lightsecagg import LightSecAgg, SumPieces


@pytest.fixture
def server(dishonest: Any) -> Any:
    """Before five hospitals under additive; the first three are aggregators."""
    return dishonest(Additive()).found()


def mask(server: Any, session: Any, request: Any) -> dict[int, Any]:
    return {party: server.ask(party, request, session) for party in session.cohort}


def inbox(masked: dict[int, Any], receiver: int, senders: Any = ()) -> dict[int, bytes]:
    return {sender: masked[sender].seeds[receiver] for sender in (senders or masked)}


@pytest.mark.parametrize("senders", [(2,), (1, 5), (4, 5)])
def test_masks_of_few_are_not_summed(server: Any, senders: tuple[int, ...]) -> None:
    session = server.session()
    masked = mask(server, session, additive.MaskInput())
    with pytest.raises(PolicyError, match=f"the seeds of {len(senders)} parties could be opened; the floor is 3"):
        server.ask(1, additive.SumMasks(inbox(masked, 1, senders)), session)
    with pytest.raises(PolicyError, match="the seeds of 0 parties"):
        server.ask(2, additive.SumMasks({}), session)


def test_an_aggregator_answers_one_sum_a_session(server: Any) -> None:
    session = server.session()
    masked = mask(server, session, additive.MaskInput())
    assert server.ask(1, additive.SumMasks(inbox(masked, 1, (1, 2, 3, 4))), session).included == {1, 2, 3, 4}
    with pytest.raises(OutOfPhase):
        server.ask(1, additive.SumMasks(inbox(masked, 1, (1, 2, 3))), session)


def test_aggregators_that_add_up_different_hospitals_give_no_sum(server: Any) -> None:
    """Two quorums, as a server that breaks the protocol would ask for: nothing cancels, and the flow says so."""
    session = server.session()
    flow = server.protocol.aggregate(session.cohort, None)
    next(flow)
    masked = mask(server, session, additive.MaskInput())
    requests = flow.send(masked)
    sums = {party: server.ask(party, request, session) for party, request in requests.items() if party != 1}
    sums[1] = server.ask(1, additive.SumMasks(inbox(masked, 1, (1, 2, 3, 4))), session)
    with pytest.raises(TooFewParties, match=r"at most 2 of them for the same sum, and 3 are needed$"):
        flow.send(sums)


def test_seeds_of_other_rounds_receivers_or_strangers_do_not_count(server: Any) -> None:
    old, session = mask(server, server.session(), additive.MaskInput()), server.session([1, 2, 3, 4])
    masked = mask(server, session, additive.MaskInput())
    mixed = {**inbox(masked, 1), 3: masked[3].seeds[2], 4: old[4].seeds[1], 5: old[5].seeds[1]}
    assert server.ask(1, additive.SumMasks(mixed), session).digests.keys() == {3, 4}
    with pytest.raises(PolicyError, match="the seeds of 2 parties"):
        server.ask(1, SumReopened(mixed), session)


def test_only_aggregators_sum_masks(server: Any) -> None:
    session = server.session()
    mask(server, session, additive.MaskInput())
    with pytest.raises(PolicyError, match=r"party 4 is no aggregator of this cohort: those are \[1, 2, 3\]"):
        server.ask(4, additive.SumMasks({}), session)


def test_masks_of_other_lengths_do_not_count(server: Any) -> None:
    session = server.session()
    masked = mask(server, session, additive.MaskInput())
    context = server.context_of(2, session)
    sealed = context.seal(1, bytes(32) + (1 << 40).to_bytes(8, "little"), additive.SEED, server.federation.rng)
    complaint = server.ask(1, additive.SumMasks({**inbox(masked, 1), 2: sealed}), session)
    assert (set(complaint.digests), complaint.values) == ({2}, 2)
    answer = server.ask(1, SumReopened({**inbox(masked, 1), 2: sealed}), session)
    assert answer.included == {1, 3, 4, 5} and answer.vector.size == 2
    session, too_long = server.session(), bytes(32) + (1 << 40).to_bytes(8, "little")
    masked = mask(server, session, additive.MaskInput())
    long = {
        party: server.context_of(party, session).seal(1, too_long, additive.SEED, os.urandom)
        for party in session.cohort
    }
    with pytest.raises(BadMessage, match="masks of 1099511627776 values; at most 268435456"):
        server.ask(1, additive.SumMasks(long), session)


def test_pieces_of_few_are_not_summed(dishonest: Any) -> None:
    server = dishonest(LightSecAgg()).found()
    session = server.session()
    masked = mask(server, session, lightsecagg.MaskInput())
    for party, senders in ((1, ()), (2, (1,))):
        pieces = {sender: masked[sender].outbox[party] for sender in senders}
        with pytest.raises(PolicyError, match=f"the pieces of {len(senders) + 1} parties could be opened.*floor is 3"):
            server.ask(party, SumPieces(pieces), session)
    old = masked
    session = server.session()
    masked = mask(server, session, lightsecagg.MaskInput())
    mixed = {2: masked[2].outbox[1], 3: old[3].outbox[1], 4: masked[4].outbox[5], 5: b""}
    assert server.ask(1, SumPieces(mixed), session).digests.keys() == {3, 4, 5}
    with pytest.raises(PolicyError, match="the pieces of 2 parties"):
        server.ask(1, SumReopened(mixed), session)
    with pytest.raises(OutOfPhase):
        server.ask(1, SumPieces({sender: masked[sender].outbox[1] for sender in (2, 3, 4)}), session)


def test_masked_inputs_unlike_the_others_count_as_silence(dishonest: Any) -> None:
    """Of another length, of another word, or outside of the field: nothing is left of them in the sum."""
    for protocol, request in ((Additive(), additive.MaskInput()), (LightSecAgg(), lightsecagg.MaskInput())):
        server = dishonest(protocol).found()
        for vector in (np.zeros(3, np.uint32), np.zeros(2, np.uint64), np.zeros((1, 2), np.uint32), None):
            session = server.session()
            flow = protocol.aggregate(session.cohort, None)
            next(flow)
            masked = mask(server, session, request)
            if vector is None:
                vector = np.full(2, 0xFFFFFFFF if protocol.name == "additive" else (1 << 31) - 1, np.uint32)
            masked[4] = replace(masked[4], vector=vector)
            requests = flow.send(masked)
            answers = {party: server.ask(party, one, session) for party, one in requests.items()}
            with pytest.raises(StopIteration) as stop:
                flow.send(answers)
                flow.send(Toss())  # LightSecAgg asks its server for a seed first
            if protocol.name == "additive" and vector.shape == (2,) and vector.dtype == np.uint32:
                continue  # any words are a masked input there
            assert stop.value.value.included == {1, 2, 3, 5}
            assert stop.value.value.vector.tolist() == sum(server.inputs[party] for party in (1, 2, 3, 5)).tolist()
