"""SecAgg+ on a sparse graph: above a hundred hospitals, with dropouts in every phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedsec.errors import ConfigurationError, PolicyError, TooFewParties
from fedsec.local import Fault, LocalFederation
from fedsec.strategies.secagg import AdvertiseKeys, ShareKeys
from fedsec.strategies.secagg_plus import SecAggPlus

HOSPITALS = 110


@pytest.fixture(scope="module")
def federation() -> LocalFederation:
    made = LocalFederation(SecAggPlus(dropout=0.2, corruption=0.05), HOSPITALS)
    made.enrol()
    return made


def check(federation: LocalFederation, silent: dict[str, list[int]]) -> None:
    rng = np.random.default_rng(7)
    data = {party: rng.integers(0, 1 << 24, 3, dtype=np.uint64) for party in federation.states}
    federation.faults = [Fault("drop", phase, party) for phase, parties in silent.items() for party in parties]
    total = federation.sum(data)
    before_masks = {party for phase in ("AdvertiseKeys", "ShareKeys", "MaskInput") for party in silent.get(phase, [])}
    assert total.sum.included == set(data) - before_masks
    assert total.sum.vector.tolist() == sum(data[party] for party in total.sum.included).tolist()


@pytest.mark.slow
def test_the_graph_is_sparse(federation: LocalFederation) -> None:
    protocol, everyone = federation.protocol, range(1, HOSPITALS + 1)
    assert protocol.degree(everyone) < 60 and protocol.shares_needed(everyone) > 5
    assert protocol.withstands(everyone) == 5 and set(protocol.tolerance(everyone).values()) == {22}


def test_seals_are_opened_to_fewer_neighbours_than_recover_a_secret() -> None:
    protocol, everyone = SecAggPlus(), range(1, 1001)
    assert protocol.openable(everyone) == protocol.shares_needed(everyone) - 1 < protocol.withstands(everyone) == 100


@pytest.mark.slow
def test_exact_with_dropouts_in_every_phase(federation: LocalFederation) -> None:
    mixed = {
        "AdvertiseKeys": range(1, 6),
        "ShareKeys": range(6, 11),
        "MaskInput": range(30, 36),
        "Unmask": range(50, 56),
    }
    check(federation, {phase: list(parties) for phase, parties in mixed.items()})


@pytest.mark.exhaustive
def test_exact_with_the_fewest_dropouts_and_the_most_and_an_error_beyond(federation: LocalFederation) -> None:
    check(federation, {})
    check(federation, {"MaskInput": list(range(40, 62))})
    for phase in ("AdvertiseKeys", "Unmask"):
        with pytest.raises(TooFewParties, match=f"phase {phase}: 87 of 110"):
            check(federation, {phase: list(range(40, 63))})


def test_a_hospital_counts_its_neighbours(dishonest: Any) -> None:
    server = dishonest(SecAggPlus(corruption=0.05, dropout=0.2), 101).found()
    session, protocol = server.session(), server.protocol
    keys = {party: server.ask(party, AdvertiseKeys(), session) for party in session.cohort}
    degree, needed = protocol.degree(session.cohort), protocol.shares_needed(session.cohort)
    few, many = sorted(keys)[: needed - 1], sorted(keys)[: degree + 2]
    with pytest.raises(PolicyError, match=f"{degree + 1} neighbours; {degree} are the most"):
        server.ask(1, ShareKeys({party: keys[party] for party in many}), session)
    with pytest.raises(
        PolicyError, match=f"keys of {needed - 1} parties, this one among them; {needed} are the fewest"
    ):
        server.ask(2, ShareKeys({party: keys[party] for party in few}), session)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"server": "malicious"}, "server is 'malicious' and the cohort has 101 clients"),
        ({"threshold": 60}, "threshold is 60; above 100 clients it follows from corruption and dropout"),
        ({"corruption": 0.45, "dropout": 0.5}, "no sparse graph on 101 clients"),
    ],
)
def test_what_no_sparse_graph_gives(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SecAggPlus(**parameters).check(range(1, 102))


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"corruption": -0.1}, "corruption is -0.1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"corruption": "x"}, "corruption is 'x'"),
        ({"corruption": 0.6, "dropout": 0.4}, "together they must stay below 1"),
        ({"server": "honest"}, "server is 'honest'; choose from semi-honest, malicious"),
    ],
)
def test_fractions_that_are_none(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SecAggPlus(**parameters)


def test_one_share_never_opens_a_secret() -> None:
    for corruption, dropout in ((0, 0), (0.0, 0.2), (0.005, 0.1)):
        protocol = SecAggPlus(corruption=corruption, dropout=dropout)
        protocol.check(range(101))
        assert protocol.shares_needed(range(101)) >= 2


def test_fractions_count_as_they_are_written() -> None:
    assert SecAggPlus(corruption=0.29).withstands(range(200)) == 58
    assert SecAggPlus(dropout=0.58).least_survivors(range(200)) == 200 - 116
