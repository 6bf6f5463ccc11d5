"""Training on shares as a Flower app on Ray: a prefix, with hospitals as compute parties and dealer, never the server.

Three hospitals share their rows. The first two also compute, the third also deals. Every message between nodes is
sealed end to end (X25519, HKDF, AES-256-GCM) and relayed by the server. The server passes public keys on unsigned:
it must follow the protocol. A party's step is pure: its state holds what came in, and the program is read again.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedsec.errors import RunFailed, Stale
from fedsec.mpc.dealer import Blank, Dealer
from fedsec.mpc.party import ComputeParty
from fedsec.mpc.roles import Wire
from fedsec.mpc.sharing import from_seed, split
from fedsec.mpc.streams import Corrections, Stream, derived
from fedsec.mpc.training import finish, iterate, load
from fedsec.primitives import sealing
from fedsec.primitives.key_agreement import AgreementKey, agree
from fedsec.primitives.prg import SEED_BYTES
from fedsec.simulations.app import wait_for_hospitals
from fedsec.simulations.flower_cli import Value
from fedsec.simulations.poster import training
from fedsec.simulations.runner import flower_run, make_app

COMPONENTS = ("fedsec.simulations.poster.training_flower:server", "fedsec.simulations.poster.training_flower:client")
NODES, DEALER = 3, 2
STATE, ASK = "fedsec-mpc", "ask"
Fields = dict[str, Any]

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """One step of a node: its state before and the server's request in, its state after and the reply out."""
    me, run = int(context.node_config["partition-id"]), context.run_config
    kept = context.state.config_records.get(STATE, ConfigRecord())
    node = Node(me, int(run["layers"]), str(run["activation"]), dict(kept))
    reply = node.answer(dict(message.content.config_records[ASK]))
    context.state[STATE] = ConfigRecord(node.state)
    return Message(RecordDict({ASK: ConfigRecord({"node": me, **reply})}), reply_to=message)


class Node:
    """A hospital that is also a compute party (0, 1) or the dealer (2)."""

    def __init__(self, me: int, layers: int, activation: str, state: Fields) -> None:
        self.me, self.state = me, state
        self.network, self.rows = training.network(layers, activation), training.diabetes()
        counts = [len(target) for _, target in self.rows.hospitals(NODES)]
        columns = self.rows.features.shape[1]
        self.shapes = [[(count, columns), (count, 1)] for count in counts]
        self.whole = (sum(counts), columns), (sum(counts), 1)

    def answer(self, ask: Fields) -> Fields:
        """The reply to a request."""
        kind: str = ask["kind"]
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
        values = list(self.rows.hospitals(NODES)[self.me])
        if self.me == 0:
            values += training.initial(self.network.shapes, 0)
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
        dealer = self._dealer(number)
        if number == 0:
            finish(load(dealer, *map(Blank, self.whole)))
        else:
            finish(iterate(dealer, self.network, masks[0], masks[1], [Blank(shape) for shape in self.network.shapes]))
        return {"corrections": self.seal(1, dealer.corrections().tobytes(), f"corrections {number}")}

    def _dealer(self, number: int) -> Dealer:
        one, other = self.state["seeds"]
        return Dealer((Stream(derived(one, "party 0", number)), Stream(derived(other, "party 1", number))))

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
        program = self._load(role) if number == 0 else self._iterate(role)
        try:
            mine = next(program)
            for opening in self.state["openings"]:
                mine = program.send(opening)
        except StopIteration as stop:
            self.state["due"] = number + 1
            if number == 0:
                self.state["loaded"] = [self.state["corrections"], *self.state["openings"]]
            else:
                self.state["weights"] = [matrix.tobytes() for matrix in stop.value]
            return {"done": 1}
        return {"opening": self.seal(1 - self.me, mine, f"opening {number} {step}")}

    def _party(self, number: int, corrections: bytes) -> ComputeParty:
        seed = derived(self.state["seed"], f"party {self.me}", number)
        return ComputeParty(self.me, Stream(seed), Corrections(corrections) if self.me == 1 else None)

    def _load(self, role: ComputeParty) -> Any:
        features, target = (
            _arrays(data, [shape])[0] for data, shape in zip(self.state["rows"], self.whole, strict=True)
        )
        return load(role, features, target)

    def _iterate(self, role: ComputeParty) -> Any:
        corrections, *openings = self.state["loaded"]
        wires = self._replayed(self._load(self._party(0, corrections)), openings)
        weights = [_arrays(d, [s])[0] for d, s in zip(self.state["weights"], self.network.shapes, strict=True)]
        return iterate(role, self.network, wires[0], wires[1], weights)

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
            "accuracy": training.accuracy(weights, self.rows, value), "loss": training.loss(weights, self.rows, value)
        }  # fmt: skip


def _arrays(data: bytes, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    words = np.frombuffer(data, "<u8")
    parts = np.split(words, np.cumsum([int(np.prod(shape)) for shape in shapes]))
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]


class Relay:
    """The server: asks nodes by their partition, and counts what passes. It holds no key."""

    def __init__(self, grid: Grid) -> None:
        self._grid, self._nodes = grid, dict[int, int]()
        self.rounds = self.bytes = 0
        self._nodes = {
            int(reply["node"]): node
            for node, reply in self._send({key: {"kind": "keys"} for key in grid.get_node_ids()})
        }

    def _send(self, asks: Mapping[int, Fields]) -> list[tuple[int, Fields]]:
        out = [
            Message(RecordDict({ASK: ConfigRecord(ask)}), dst_node_id=node, message_type="train")
            for node, ask in asks.items()
        ]
        replies = list(self._grid.send_and_receive(out, timeout=120.0))
        failed = [reply.error.reason for reply in replies if reply.has_error()]
        if failed or len(replies) < len(out):
            raise RunFailed(f"shared training: {len(replies)} of {len(out)} nodes answered; {failed[:1]}")
        self.rounds += 1
        found: list[tuple[int, Fields]] = [
            (reply.metadata.src_node_id, dict(reply.content.config_records[ASK])) for reply in replies
        ]
        self.bytes += sum(map(_size, [*asks.values(), *(fields for _, fields in found)]))
        self.last = {int(fields["node"]): fields for _, fields in found}
        return found

    def ask(self, asks: Mapping[int, Fields]) -> dict[int, Fields]:
        """Replies by partition."""
        self._send({self._nodes[partition]: ask for partition, ask in asks.items()})
        return self.last


def _size(fields: Fields) -> int:
    values = [item for value in fields.values() for item in (value if isinstance(value, list) else [value])]
    return sum(len(value) for value in values if isinstance(value, bytes))


def iteration(relay: Relay, number: int) -> None:
    """The dealer's corrections, then openings until both parties are done."""
    dealt = relay.ask({DEALER: {"kind": "deal", "number": number}})[DEALER]["corrections"]
    asks: dict[int, Fields] = {0: {}, 1: {"corrections": dealt}}
    step = 0
    while True:
        replies = relay.ask({p: {"kind": "open", "number": number, "step": step, **more} for p, more in asks.items()})
        if "done" in replies[0]:
            return
        asks = {party: {"opening": replies[1 - party]["opening"]} for party in (0, 1)}
        step += 1


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Keys, shares, so many iterations, and the weights to the hospitals."""
    config = context.run_config
    wait_for_hospitals(grid, NODES)
    relay = Relay(grid)
    publics = [relay.last[node]["public"] for node in range(NODES)]
    shared = relay.ask({node: {"kind": "share", "publics": publics} for node in range(NODES)})
    relay.ask({
        party: {"kind": "take", "seed": shared[DEALER][f"seed-{party}"],
                "rows": [shared[node][f"to-{party}"] for node in range(NODES)]} for party in (0, 1)
    })  # fmt: skip
    iteration(relay, 0)
    before, began = (relay.rounds, relay.bytes), time.monotonic()
    total = int(str(config["iterations"]))
    for number in range(1, total + 1):
        iteration(relay, number)
    spent = time.monotonic() - began
    rounds, sent = relay.rounds - before[0], relay.bytes - before[1]
    shares = relay.ask({party: {"kind": "reveal"} for party in (0, 1)})
    learnt = relay.ask(
        {node: {"kind": "learn", "weights": [shares[p]["weights"][node] for p in (0, 1)]} for node in range(NODES)}
    )
    found = {
        "iterations": total, "seconds": spent, "exchanges": rounds, "bytes": sent,
        "accuracy": [learnt[node]["accuracy"] for node in range(NODES)],
        "loss": [learnt[node]["loss"] for node in range(NODES)],
    }  # fmt: skip
    Path(str(config["output"])).write_text(json.dumps(found), encoding="utf-8")


def prefix(iterations: int, layers: int = 2, activation: str = "clipped-3", timeout: float = 600.0) -> dict[str, Any]:
    """Train so many iterations under Flower on Ray; raises RunFailed with the cause where a node failed."""
    with tempfile.TemporaryDirectory(prefix="fedsec-shared-") as place:
        output = Path(place) / "found.json"
        values: dict[str, Value] = {
            "iterations": iterations, "layers": layers, "activation": activation, "output": str(output)
        }  # fmt: skip
        app = make_app(Path(place) / "app", *COMPONENTS, values)
        with flower_run(app, values, NODES, timeout=timeout) as live:
            live.wait()
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found
