"""The owner and the hospital as Flower nodes: message by message here, and in a real run under the mark `campaign`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import numpy as np
import pytest
from flwr.app import RecordDict

from fedsec.errors import BadMessage
from fedsec.primitives import paillier
from fedsec.simulations.poster.encrypted_network import network, network_experiments, network_flower
from fedsec.simulations.poster.encrypted_network.encrypted_training import hold, train
from fedsec.simulations.poster.encrypted_network.model_owner import Owner
from fedsec.simulations.poster.encrypted_network.network import XOR, Plan
from fedsec.simulations.poster.encrypted_network.network_flower import _as_hospital, _as_owner
from fedsec.simulations.poster.encrypted_network.sigmoids import named

STEPS = 2
PLAN = Plan(named("interpolated-3"), 0.5, 40)


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The owner's and the hospital's, with a small key."""
    monkeypatch.setattr(network_flower, "MINIMUM_KEY_BITS", 512)
    monkeypatch.setattr(Owner, "fresh", classmethod(lambda cls, bits: cls(paillier.generate(bits, os.urandom))))
    config = {
        "sigmoid": PLAN.sigmoid.name,
        "eta": PLAN.rate,
        "precision": PLAN.precision,
        "iterations": STEPS,
        "seed": 0,
        "key_bits": 512,
    }
    settings = {"plan": json.dumps(config), "owner": str(tmp_path / "owner.json")}
    one, other = (SimpleNamespace(run_config=settings, state=RecordDict()) for _ in range(2))
    return one, other


def test_nodes_compute_what_one_process_does(contexts: tuple[Any, Any], tmp_path: Path) -> None:
    owner, hospital = contexts
    _, data = _as_owner("begin", b"", owner)
    kind, data = _as_hospital("begin", data, hospital)
    exchanges, sent, received = 0, 0, 0
    while kind == "ask":
        _, answer = _as_owner("ask", data, owner)
        exchanges, sent, received = exchanges + 1, sent + len(data), received + len(answer)
        kind, data = _as_hospital("answer", answer, hospital)
    assert kind == "open" and _as_owner("open", data, owner)[0] == "opened"
    first = network.start(3, 4, 0)
    twin = network.train_plain([XOR] * STEPS, first, PLAN.sigmoid, PLAN.step).weights
    found = json.loads((tmp_path / "owner.json").read_text())
    assert np.max(np.abs(np.array(found["weights"]) - twin.flat())) < 1e-9
    here = Owner.fresh(512)
    counted = here.hospital()
    train([XOR] * STEPS, hold(first, PLAN.precision, here.encrypt), PLAN, counted, lambda *_: None)
    assert (exchanges, sent, received) == (counted.exchanges, counted.sent, counted.received)


def test_the_hospital_never_holds_the_private_key(contexts: tuple[Any, Any]) -> None:
    owner, hospital = contexts
    _as_hospital("begin", _as_owner("begin", b"", owner)[1], hospital)
    kept = str(dict(hospital.state[network_flower.STATE]))
    assert str(owner.state[network_flower.STATE]["p"]) not in kept


def test_messages_out_of_order_are_refused(contexts: tuple[Any, Any]) -> None:
    owner, hospital = contexts
    with pytest.raises(BadMessage, match="has not come"):
        _as_owner("ask", b"", owner)
    with pytest.raises(BadMessage, match="has not come"):
        _as_hospital("answer", b"", hospital)
    _, data = _as_owner("begin", b"", owner)
    n, hs, body = msgpack.unpackb(data)
    with pytest.raises(BadMessage):
        _as_hospital("begin", msgpack.packb((n, hs, body[:-1])), hospital)
    with pytest.raises(BadMessage, match="weights came"):
        _as_hospital("begin", msgpack.packb((n, hs, body[: len(body) // 2])), hospital)


def test_messages_that_are_none_are_refused(contexts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    owner, hospital = contexts
    with pytest.raises(BadMessage, match="not a key and weights"):
        _as_hospital("begin", b"\xc1", hospital)
    _, data = _as_owner("begin", b"", owner)
    with pytest.raises(BadMessage, match="kind 'opne'; the owner answers"):
        _as_owner("opne", data, owner)
    with pytest.raises(BadMessage):
        _as_owner("open", b"\xc1", owner)
    n, hs, body = msgpack.unpackb(data)
    with pytest.raises(BadMessage):
        _as_hospital("begin", msgpack.packb((n, hs, bytes(len(body)))), hospital)
    monkeypatch.setattr(network_flower, "MINIMUM_KEY_BITS", 2048)
    with pytest.raises(BadMessage, match="a key of 512 bits; at least 2048"):
        _as_hospital("begin", data, hospital)


@pytest.mark.campaign
def test_a_real_run_carries_the_same_bytes() -> None:
    found = network_experiments.over_flower(Owner.fresh(2048), Plan(named("interpolated-5:5"), 0.5), 0, lambda *_: None)
    assert found["same_bytes"] and found["exchanges"] == 4 * network_experiments.PREFIX + 1
    assert found["largest_difference"] < 1e-9
