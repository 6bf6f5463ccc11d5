"""Training on shares with hospitals as parties and dealer: node by node without Flower, and once on Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fedsec.errors import AuthenticationError, Stale
from fedsec.mpc.ring_fixed_point import FixedPointOverflow
from fedsec.simulations.poster.shared_training import (
    training_flower,
    training_network,
    training_node,
    training_on_shares,
)
from fedsec.simulations.poster.shared_training.training_node import DEALER, NODES, Node


class Relay:
    """What the server does, with each node made anew from its state for every request."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = [{} for _ in range(NODES)]
        self.passed: list[bytes] = []

    def ask(self, asks: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        replies = {}
        for me, ask in asks.items():
            node = Node(me, 2, "clipped-3", self.states[me])
            replies[me] = node.answer(ask)
            self.states[me] = node.state
            self.passed += [value for value in replies[me].values() if isinstance(value, bytes)]
        return replies


def begun() -> Relay:
    relay = Relay()
    publics = [reply["public"] for reply in relay.ask({node: {"kind": "keys"} for node in range(NODES)}).values()]
    shared = relay.ask({node: {"kind": "share", "publics": publics} for node in range(NODES)})
    for party in (0, 1):
        rows = [shared[node][f"to-{party}"] for node in range(NODES)]
        relay.ask({party: {"kind": "take", "seed": shared[DEALER][f"seed-{party}"], "rows": rows}})
    return relay


def test_nodes_train_what_one_process_trains() -> None:
    relay = begun()
    for number in range(3):
        training_flower.iteration(relay, number)  # type: ignore[arg-type]
    shares = relay.ask({party: {"kind": "reveal"} for party in (0, 1)})
    learnt = relay.ask(
        {node: {"kind": "learn", "weights": [shares[p]["weights"][node] for p in (0, 1)]} for node in range(NODES)}
    )
    assert len({(one["accuracy"], one["loss"]) for one in learnt.values()}) == 1
    _, loss, _ = training_on_shares.on_shares(2, "clipped-3", 2)["curve"][-1]
    assert abs(learnt[0]["loss"] - loss) < 1e-3
    assert (
        abs(learnt[0]["loss"] - training_on_shares.on_shares(2, "clipped-3", 1)["curve"][0][1]) > 1e-3
    )  # it did train


def test_what_the_server_passes_on_is_sealed() -> None:
    """No public row, share or weight is among the bytes; and what is changed on the way is refused."""
    relay = begun()
    training_flower.iteration(relay, 0)  # type: ignore[arg-type]
    octets = np.frombuffer(b"".join(relay.passed), np.uint8)
    counts = np.bincount(octets, minlength=256)
    expected = octets.size / 256
    assert abs(float(((counts - expected) ** 2 / expected).sum()) - 255) / np.sqrt(510) < 6
    dealt = relay.ask({DEALER: {"kind": "deal", "number": 1}})[DEALER]["corrections"]
    changed = dealt[:-1] + bytes([dealt[-1] ^ 1])
    with pytest.raises(AuthenticationError):
        relay.ask({1: {"kind": "open", "number": 1, "step": 0, "corrections": changed}})
    with pytest.raises(AuthenticationError):  # one iteration's corrections in another
        other = relay.ask({DEALER: {"kind": "deal", "number": 2}})[DEALER]["corrections"]
        relay.ask({1: {"kind": "open", "number": 1, "step": 0, "corrections": other}})


@pytest.mark.parametrize(("number", "step"), [(0, 0), (2, 0), (1, 1)])
def test_a_party_answers_no_iteration_twice_and_none_out_of_turn(number: int, step: int) -> None:
    """Its masks are a function of the iteration's number: they serve once."""
    relay = begun()
    training_flower.iteration(relay, 0)  # type: ignore[arg-type]
    relay.states[0]["openings"] = [b""] if step else []
    with pytest.raises(Stale, match="iteration 1 is due"):
        relay.ask({0: {"kind": "open", "number": number, "step": step, "opening": b""}})


@pytest.mark.campaign
def test_a_prefix_runs_on_ray() -> None:
    found = training_flower.prefix(2)
    assert found["iterations"] == 2 and len(set(found["loss"])) == 1
    assert found["exchanges"] == 2 * (2 + training_network.network(2, "clipped-3").rounds)


def test_nodes_look_at_the_weights_and_go_on_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a look after every iteration: the next is due only after it, and a large weight ends the training."""
    monkeypatch.setattr(training_node, "GUARDED", 1)
    relay = begun()
    for number in (0, 1, -1, 2):
        training_flower.iteration(relay, number)  # type: ignore[arg-type]
    with pytest.raises(Stale, match="iteration -2 is due"):
        relay.ask({0: {"kind": "open", "number": 3, "step": 0}})
    words = np.frombuffer(relay.states[0]["weights"][0], "<u8").copy()
    words[3] += np.uint64(1 << 40)
    relay.states[0]["weights"][0] = words.tobytes()
    with pytest.raises(FixedPointOverflow, match="iteration 2: 1 weights lie beyond"):
        training_flower.iteration(relay, -2)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["keys", "share", "take"])
def test_what_begins_a_training_is_answered_once(kind: str) -> None:
    """A server that sends the shares again would have masks serve twice."""
    relay = begun()
    training_flower.iteration(relay, 0)  # type: ignore[arg-type]
    training_flower.iteration(relay, 1)  # type: ignore[arg-type]
    with pytest.raises(Stale, match=f"{kind} was asked for again"):
        relay.ask({0: {"kind": kind}})
