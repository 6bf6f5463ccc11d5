"""A hospital of the shared training under Flower: an owner of rows, and a compute party or the dealer.

A step is pure: the state before and the server's request in, the state after and the reply out. State holds what came
in, and the program is read again from there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsec.errors import RunFailed, Stale
from fedsec.mpc.bounds import GUARDED, beyond, safe_weight
from fedsec.mpc.compute_party import ComputeParty
from fedsec.mpc.dealer import Blank, Dealer
from fedsec.mpc.gradient_descent import check_rows, finish, iterate, load, outside
from fedsec.mpc.roles import Wire
from fedsec.mpc.sharing import from_seed, split
from fedsec.mpc.streams import Corrections, Stream, derived
from fedsec.primitives import sealing
from fedsec.primitives.key_agreement import AgreementKey, agree
from fedsec.primitives.prg import SEED_BYTES
from fedsec.simulations.poster.shared_training import training_data, training_network

NODES, DEALER = 3, 2
ONCE = {"keys": "key", "share": "publics", "take": "seed"}
"""Requests that are answered once, and what stands in the state from then on."""
Fields = dict[str, Any]


def following(number: int, guarded: bool) -> int:
    """What comes after: 0 loads the rows, n > 0 is an iteration, and -n the look at the weights after it."""
    if number < 0:
        return 1 - number
    return -number if guarded and number and number % GUARDED == 0 else number + 1


class Node:
    """A hospital that is also a compute party (0, 1) or the dealer (2)."""

    def __init__(self, me: int, layers: int, activation: str, state: Fields) -> None:
        self.me, self.state = me, state
        self.network, self.rows = training_network.network(layers, activation), training_data.diabetes()
        counts = [len(target) for _, target in self.rows.hospitals(NODES)]
        columns = self.rows.features.shape[1]
        self.shapes = [[(count, columns), (count, 1)] for count in counts]
        self.whole = (sum(counts), columns), (sum(counts), 1)

    @property
    def safe(self) -> float:
        """Weights below which no value overflows before the next look at them."""
        return safe_weight(self.network, self.whole[0][0], GUARDED)

    def answer(self, ask: Fields) -> Fields:
        """The reply to a request. What begins a training is done once: masks and shares serve one purpose."""
        kind: str = ask["kind"]
        if ONCE.get(kind) in self.state:
            raise Stale(f"{kind} was asked for again; a training begins once")
        reply: Fields = getattr(self, f"on_{kind}")(ask)
        return reply

    def _key(self, other: int, way: bytes) -> bytes:
        mine = AgreementKey(self.state["key"])
        return agree(mine, self.state["publics"][other], b"fedsec shared training " + way)

    def seal(self, other: int, data: bytes, occasion: str) -> bytes:
        """To one node, for one occasion."""
        return sealing.seal(self._key(other, b"%d-%d" % (self.me, other)), data, occasion.encode(), os.urandom)

    def unseal(self, other: int, data: bytes, occasion: str) -> bytes:
        """From one node; raises AuthenticationError."""
        return sealing.unseal(self._key(other, b"%d-%d" % (other, self.me)), data, occasion.encode())

    def on_keys(self, ask: Fields) -> Fields:
        """A fresh key pair."""
        key = AgreementKey.generate(os.urandom)
        self.state["key"] = key.raw
        return {"public": key.public}

    def on_share(self, ask: Fields) -> Fields:
        """Split my rows, and as first hospital the weights; the dealer draws the seeds."""
        self.state["publics"] = ask["publics"]
        features, target = self.rows.hospitals(NODES)[self.me]
        check_rows(features, target, self.network)
        values = [features, target]
        if self.me == 0:
            values += training_network.initial(self.network.shapes, 0)
            if self.network.activation.bounded and (many := sum((abs(w) > self.safe).sum() for w in values[2:])):
                raise beyond(0, int(many), self.safe)
        parts = [split(one, self.network.fixed, os.urandom) for one in values]
        seeds = b"".join(seed for seed, _ in parts)
        words = b"".join(other.tobytes() for _, other in parts)
        out: Fields = {"to-0": self.seal(0, seeds, "rows"), "to-1": self.seal(1, words, "rows")}
        if self.me == DEALER:
            self.state["seeds"] = [os.urandom(SEED_BYTES), os.urandom(SEED_BYTES)]
            for party in (0, 1):
                out[f"seed-{party}"] = self.seal(party, self.state["seeds"][party], "seed")
        return out

    def on_take(self, ask: Fields) -> Fields:
        """As a party: the hospitals' shares, and the dealer's seed."""
        self.state["seed"] = self.unseal(DEALER, ask["seed"], "seed")
        parts: list[list[Any]] = []
        for node, sealed in enumerate(ask["rows"]):
            data, shapes = self.unseal(node, sealed, "rows"), [*self.shapes[node]]
            shapes += self.network.shapes if node == 0 else []
            parts.append(self._read(data, shapes))
        rows = [np.concatenate([part[which] for part in parts]) for which in (0, 1)]
        self.state["rows"] = [one.tobytes() for one in rows]
        self.state["weights"] = [one.tobytes() for one in parts[0][2:]]
        return {}

    def _read(self, data: bytes, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
        if self.me == 0:
            return [from_seed(data[SEED_BYTES * n : SEED_BYTES * (n + 1)], shape) for n, shape in enumerate(shapes)]
        return _arrays(data, shapes)

    def on_deal(self, ask: Fields) -> Fields:
        """As the dealer: party 1's corrections of an iteration, which depend on shapes alone."""
        number = int(ask["number"])
        masks = finish(load(self._dealer(0), *map(Blank, self.whole)))
        dealer, blanks = self._dealer(number), [Blank(shape) for shape in self.network.shapes]
        if number == 0:
            finish(load(dealer, *map(Blank, self.whole)))
        elif number < 0:
            finish(outside(dealer, self.network, blanks, self.safe))
        else:
            finish(iterate(dealer, self.network, masks[0], masks[1], blanks))
        return {"corrections": self.seal(1, dealer.corrections().tobytes(), f"corrections {number}")}

    def _dealer(self, number: int) -> Dealer:
        one, other = (_stream(seed, party, number) for party, seed in enumerate(self.state["seeds"]))
        return Dealer((one, other))

    def on_open(self, ask: Fields) -> Fields:
        """As a party: one round of an iteration. The program is read from the iteration's start, on what came in."""
        number, step, due = int(ask["number"]), int(ask["step"]), int(self.state.get("due", 0))
        if number != due or (step and step != len(self.state["openings"]) + 1):  # else masks would serve twice
            raise Stale(f"iteration {number}, round {step} was asked for; iteration {due} is due")
        if step == 0:
            corrections = self.unseal(DEALER, ask["corrections"], f"corrections {number}") if self.me == 1 else b""
            self.state |= {"corrections": corrections, "openings": []}
        else:
            opening = self.unseal(1 - self.me, ask["opening"], f"opening {number} {step - 1}")
            self.state["openings"] = [*self.state["openings"], opening]
        role = self._party(number, self.state["corrections"])
        program = self._load(role) if number == 0 else self._iterate(role) if number > 0 else self._guard(role)
        try:
            mine = next(program)
            for opening in self.state["openings"]:
                mine = program.send(opening)
        except StopIteration as stop:
            self.state["due"] = following(number, self.network.activation.bounded)
            if number < 0 and stop.value:
                raise beyond(-number, stop.value, self.safe) from None
            if number == 0:
                self.state["loaded"] = [self.state["corrections"], *self.state["openings"]]
            elif number > 0:
                self.state["weights"] = [matrix.tobytes() for matrix in stop.value]
            return {"done": 1}
        return {"opening": self.seal(1 - self.me, mine, f"opening {number} {step}")}

    def _party(self, number: int, corrections: bytes) -> ComputeParty:
        stream = _stream(self.state["seed"], self.me, number)
        return ComputeParty(self.me, stream, Corrections(corrections) if self.me == 1 else None)

    def _load(self, role: ComputeParty) -> Any:
        features, target = (
            _arrays(data, [shape])[0] for data, shape in zip(self.state["rows"], self.whole, strict=True)
        )
        return load(role, features, target)

    def _iterate(self, role: ComputeParty) -> Any:
        corrections, *openings = self.state["loaded"]
        wires = self._replayed(self._load(self._party(0, corrections)), openings)
        return iterate(role, self.network, wires[0], wires[1], self._weights())

    def _guard(self, role: ComputeParty) -> Any:
        return outside(role, self.network, self._weights(), self.safe)

    def _weights(self) -> list[Any]:
        return [_arrays(d, [s])[0] for d, s in zip(self.state["weights"], self.network.shapes, strict=True)]

    @staticmethod
    def _replayed(program: Any, openings: Sequence[bytes]) -> list[Wire]:
        try:
            next(program)
            for opening in openings:
                program.send(opening)
        except StopIteration as stop:
            wires: list[Wire] = stop.value
            return wires
        raise RunFailed("the rows were not loaded")

    def on_reveal(self, ask: Fields) -> Fields:
        """As a party: my shares of the weights, to each hospital."""
        data = b"".join(self.state["weights"])
        return {"weights": [self.seal(node, data, "weights") for node in range(NODES)]}

    def on_learn(self, ask: Fields) -> Fields:
        """As a hospital: the weights from both parties, and what they achieve."""
        parts = [_arrays(self.unseal(n, ask["weights"][n], "weights"), self.network.shapes) for n in (0, 1)]
        weights = [self.network.fixed.decode(one + other) for one, other in zip(*parts, strict=True)]
        value = self.network.activation.value
        return {
            "accuracy": training_network.accuracy(weights, self.rows, value),
            "loss": training_network.loss(weights, self.rows, value),
        }


def _stream(seed: bytes, party: int, number: int) -> Stream:
    return Stream(derived(seed, f"guard {party}" if number < 0 else f"party {party}", abs(number)))


def _arrays(data: bytes, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    words = np.frombuffer(data, "<u8")
    parts = np.split(words, np.cumsum([int(np.prod(shape)) for shape in shapes]))
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]
