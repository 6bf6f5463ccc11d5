"""Training on shares as a Flower app on Ray: a prefix, with hospitals as compute parties and dealer, never the server.

Three hospitals share their rows. The first two also compute, the third also deals. Every message between nodes is
sealed end to end (X25519, HKDF, AES-256-GCM) and relayed by the server. The server passes public keys on unsigned:
it must follow the protocol.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedsec.app.cohort import wait_for_hospitals
from fedsec.errors import RunFailed
from fedsec.simulations.poster.shared_training import training_network
from fedsec.simulations.poster.shared_training.training_node import DEALER, NODES, Fields, Node, following
from fedsec.simulations.run.flower_cli import Value
from fedsec.simulations.run.launcher import flower_run, make_app

COMPONENTS = (
    "fedsec.simulations.poster.shared_training.training_flower:server",
    "fedsec.simulations.poster.shared_training.training_flower:client",
)
STATE, ASK = "fedsec-mpc", "ask"

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
    relay.ask(
        {
            party: {
                "kind": "take",
                "seed": shared[DEALER][f"seed-{party}"],
                "rows": [shared[node][f"to-{party}"] for node in range(NODES)],
            }
            for party in (0, 1)
        }
    )
    iteration(relay, 0)
    before, began = (relay.rounds, relay.bytes), time.monotonic()
    total, number = int(str(config["iterations"])), 1
    guarded = training_network.network(int(str(config["layers"])), str(config["activation"])).activation.bounded
    while number <= total:
        iteration(relay, number)
        number = following(number, guarded)
    spent = time.monotonic() - began
    rounds, sent = relay.rounds - before[0], relay.bytes - before[1]
    shares = relay.ask({party: {"kind": "reveal"} for party in (0, 1)})
    learnt = relay.ask(
        {node: {"kind": "learn", "weights": [shares[p]["weights"][node] for p in (0, 1)]} for node in range(NODES)}
    )
    found = {
        "iterations": total,
        "seconds": spent,
        "exchanges": rounds,
        "bytes": sent,
        "accuracy": [learnt[node]["accuracy"] for node in range(NODES)],
        "loss": [learnt[node]["loss"] for node in range(NODES)],
    }
    Path(str(config["output"])).write_text(json.dumps(found), encoding="utf-8")


def prefix(iterations: int, layers: int = 2, activation: str = "clipped-3", timeout: float = 600.0) -> dict[str, Any]:
    """Train so many iterations under Flower on Ray; raises RunFailed with the cause where a node failed."""
    with tempfile.TemporaryDirectory(prefix="fedsec-shared-") as folder:
        output = Path(folder) / "found.json"
        values: dict[str, Value] = {
            "iterations": iterations,
            "layers": layers,
            "activation": activation,
            "output": str(output),
        }
        app = make_app(Path(folder) / "app", *COMPONENTS, values)
        with flower_run(app, values, NODES, timeout=timeout) as live:
            live.wait()
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found
