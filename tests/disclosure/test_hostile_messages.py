"""A server that signs what it likes: cohorts and openings that an honest coordinator never sends."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedsec.encoding.ladder import Plan
from fedsec.errors import FedsecError, TooFewParties
from fedsec.flower import SecureAggregation
from fedsec.flower.records import content_hash
from fedsec.protocol import Replies, Requests, Sum, run
from fedsec.server.coordinator import Channel
from fedsec.strategies.shamir import ShareInput
from tests.disclosure.attacked import Real, Server, deployed, simulated
from tests.tiers import slow

HOSPITALS = 5
EVERYONE = range(1, HOSPITALS + 1)
UPDATES = np.random.default_rng(8).normal(0, 0.1, (HOSPITALS, 4))
OPTIONS: dict[str, Any] = {"weights": "equal", "clip": 4.0}


def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    return model + UPDATES[place], {}


def five(folder: Path, **changes: Any) -> Server:
    return deployed(folder, train, HOSPITALS, {"train": 9}, np.zeros(4), changes=changes, **OPTIONS)


def session_on(server: Server, secure: SecureAggregation, cohort: Sequence[int], value: float) -> Channel:
    """A session on a model of this value over a cohort that no coordinator checked."""
    content = RecordDict({"config": ConfigRecord(), "arrays": ArrayRecord({"w": Array(np.full(4, value))})})
    server.over(secure)._request = (content, "train", 600.0)
    return server.coordinator(secure).channel(cohort, stage="train", plan=Plan(content_hash(content)))


@pytest.mark.parametrize("cohort", [pytest.param((1, 2, 3, 3)), *slow([((1, 1, 1),), ((1, 2, 99),)])])
def test_a_cohort_with_a_party_twice_is_refused(tmp_path: Path, cohort: tuple[int, ...]) -> None:
    """It would count one hospital as several, up to the floor."""
    server = five(tmp_path, cohort="sampled")
    secure = server.founds()
    server.asks(secure, np.zeros(4))
    before = len(server.app.read)
    channel = session_on(server, secure, cohort, 1.0)
    assert channel.deliver({1: ShareInput()}) == {}
    (incident,) = channel.incidents
    assert "PolicyError: the cohort lists a party twice or one that is not on the roster" in incident[2]
    assert len(server.app.read) == before


def opened(server: Server, secure: SecureAggregation, channel: Channel, shares: Replies) -> Sum:
    """The sum of what these shared, as the protocol opens it within this session."""
    coordinator = server.coordinator(secure)

    def deliver(requests: Requests) -> Replies:
        first = next(iter(requests.values()))
        return shares if isinstance(first, ShareInput) else channel.deliver(requests)

    return run(coordinator.protocol.aggregate(EVERYONE, coordinator.public), deliver)


@pytest.mark.slow
def test_an_opening_is_not_answered_again_for_one_hospital_less(tmp_path: Path) -> None:
    """Two openings of one session would differ by that hospital's input; what Flower keeps of parties is set back."""
    for server in (simulated(train, HOSPITALS, **OPTIONS), five(tmp_path)):
        secure = server.founds()
        server.asks(secure, np.zeros(4))
        with server.here():
            channel = session_on(server, secure, EVERYONE, 1.0)
            shares = channel.deliver({party: ShareInput() for party in EVERYONE})
            kept = {node: copy.deepcopy(context.state) for node, context in server.grid.contexts.items()}
            whole = opened(server, secure, channel, shares).vector.astype(np.int64)
            for node, context in server.grid.contexts.items():
                context.state = kept[node]
            without = {party: reply for party, reply in shares.items() if party != HOSPITALS}
            if server.agreement is None:
                part = opened(server, secure, channel, without).vector.astype(np.int64)
                step = OPTIONS["clip"] / 2 ** (secure.protocol.value_bits - 1)
                change = ((whole - part)[:4] - 2 ** (secure.protocol.value_bits - 1)) * step
                assert np.allclose(change, UPDATES[-1], atol=2 * step)
            else:
                with pytest.raises(TooFewParties, match="0 of 4 parties answered"):
                    opened(server, secure, channel, without)
                assert sum("OutOfPhase: phase 2 of session" in why for _, _, why in channel.incidents) == HOSPITALS - 1


def test_no_error_of_a_hospital_names_a_file(tmp_path: Path) -> None:
    """What is wrong with its own files is for its own log."""
    server = five(tmp_path)
    for context, key in zip(server.grid.contexts.values(), ("agreement", "identity", "journal"), strict=False):
        context.node_config[f"fedsec-{key}"] = str(tmp_path / "not there" / "secret name")
    with pytest.raises(FedsecError):
        server.asks(server.founds(), np.ones(4), nodes=range(3))
    assert len(server.grid.reasons) >= 3
    assert not any("secret name" in reason or str(tmp_path) in reason for reason in server.grid.reasons)
