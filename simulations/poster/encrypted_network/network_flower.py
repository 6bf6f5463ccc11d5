"""The encrypted network over Flower: the owner and the hospital are nodes, the server relays ciphertexts.

The server's part is a loop: it carries each request of the hospital to the owner, and the answer back. The owner keeps
its private key in its node's state, the hospital its masks in its own; what the server sees is what it carries.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedsec.app.cohort import wait_for_hospitals
from fedsec.errors import BadMessage, RunFailed
from fedsec.primitives import paillier
from fedsec.primitives.paillier import PrivateKey, PublicKey
from fedsec.simulations.poster.encrypted_network import encrypted_training, network, sigmoids
from fedsec.simulations.poster.encrypted_network.encrypted_training import Held
from fedsec.simulations.poster.encrypted_network.key_holder import Answer, Ask, Encrypted
from fedsec.simulations.poster.encrypted_network.model_owner import MINIMUM_KEY_BITS, Owner
from fedsec.simulations.poster.encrypted_network.network import XOR, Plan
from fedsec.simulations.poster.encrypted_network.packed_messages import join, split
from fedsec.simulations.run.flower_cli import Value
from fedsec.simulations.run.launcher import flower_run, make_app

COMPONENTS = (
    "fedsec.simulations.poster.encrypted_network.network_flower:server",
    "fedsec.simulations.poster.encrypted_network.network_flower:client",
)
OWNER, HOSPITAL = 0, 1
HIDDEN = 4
STATE = "encrypted-network"
PATIENCE = 600.0

client = ClientApp()
server = ServerApp()


@client.train()
def step(message: Message, context: Context) -> Message:
    """Answer one message: as the owner of the model, or as the hospital."""
    request = message.content.config_records["request"]
    kind, data = str(request["kind"]), request["data"]
    if not isinstance(data, bytes):
        raise BadMessage("the message has no bytes under data")
    role = int(context.node_config["partition-id"])
    if kind == "role":
        reply = ("role", bytes([role]))
    else:
        reply = (_as_owner if role == OWNER else _as_hospital)(kind, data, context)
    return Message(RecordDict({"reply": ConfigRecord({"kind": reply[0], "data": reply[1]})}), reply_to=message)


def _plan(context: Context) -> tuple[Plan, dict[str, Any]]:
    config = json.loads(str(context.run_config["plan"]))
    return Plan(sigmoids.named(config["sigmoid"]), config["eta"], config["precision"]), config


def _keep(context: Context, **values: Any) -> None:
    context.state[STATE] = ConfigRecord(values)


def _kept(context: Context) -> Any:
    if STATE not in context.state.config_records:
        raise BadMessage("the first message, with the key, has not come")
    return context.state.config_records[STATE]


def _as_owner(kind: str, data: bytes, context: Context) -> tuple[str, bytes]:
    plan, config = _plan(context)
    if kind == "begin":
        owner = Owner.fresh(config["key_bits"])
        key = owner.private
        _keep(context, p=str(key.p), q=str(key.q), hs=str(key.hs))
        first = network.start(XOR.features.shape[1], HIDDEN, config["seed"])
        numbers = owner.encrypt([round(value * 2**plan.precision) for value in first.flat().tolist()])
        public = (str(key.public.n), str(key.hs), join(key.public, numbers))
        return "weights", msgpack.packb(public)
    kept = _kept(context)
    owner = Owner(PrivateKey(int(str(kept["p"])), int(str(kept["q"])), int(str(kept["hs"]))))
    if kind == "ask":
        return "answer", owner.holder.answer(data)
    if kind != "open":
        raise BadMessage(f"a message of kind {kind[:20]!r}; the owner answers begin, ask and open")
    found = encrypted_training.open_(_held(split(owner.private.public, data), plan.precision), owner.decrypt)
    outputs = network.predict(XOR, found, plan.sigmoid).tolist()
    opened = {"weights": found.flat().tolist(), "outputs": outputs}
    Path(str(context.run_config["owner"])).write_text(json.dumps(opened), encoding="utf-8")
    return "opened", b""


def _held(numbers: list[int], bits: int) -> Held:
    inputs = XOR.features.shape[1]
    if len(numbers) != (inputs + 1) * HIDDEN:
        raise BadMessage(f"{len(numbers)} weights came; {(inputs + 1) * HIDDEN} were expected")
    first = [numbers[i * HIDDEN : (i + 1) * HIDDEN] for i in range(inputs)]
    return Held(first, numbers[inputs * HIDDEN :], bits)


def _as_hospital(kind: str, data: bytes, context: Context) -> tuple[str, bytes]:
    """The next request; the iteration is played again from its answers so far, as a node lives for one message."""
    plan, config = _plan(context)
    if kind == "begin":
        public, body = _key_of(data)
        n, hs = str(public.n), str(public.hs)
        state = {"n": n, "hs": hs, "held": body, "bits": plan.precision, "done": 0, "log": msgpack.packb([])}
        log: list[Any] = []
    else:
        state = dict(_kept(context))
        public = PublicKey(int(state["n"]), int(state["hs"]))
        log = msgpack.unpackb(state["log"])
        log[-1][1] = data
    hospital = Encrypted(public, _nobody)
    while True:
        held, last = _held(split(public, state["held"]), int(state["bits"])), state["done"] == config["iterations"]
        found = _replay(plan, held, hospital, log, last)
        if isinstance(found, Ask):
            request, masks = hospital.request(found)
            log.append([[str(mask) for mask in masks], b""])
            _keep(context, **{**state, "log": msgpack.packb(log)})
            return "ask", request
        state |= {"held": join(public, found.flat()), "bits": found.bits, "done": int(state["done"]) + 1}
        log = []
        if last:
            return "open", state["held"]


def _key_of(data: bytes) -> tuple[PublicKey, bytes]:
    """The owner's key and encrypted weights. Raises BadMessage for what is none, or protects nothing."""
    try:
        n, hs, body = msgpack.unpackb(data)
        public = PublicKey(int(n), int(hs))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadMessage(f"begin: {type(error).__name__}: it is not a key and weights") from error
    public.check()
    if public.bits < MINIMUM_KEY_BITS:
        raise BadMessage(f"begin: a key of {public.bits} bits; at least {MINIMUM_KEY_BITS} are expected")
    paillier.validate(public, split(public, body))
    return public, body


def _replay(plan: Plan, held: Held, hospital: Encrypted, log: list[Any], last: bool) -> Ask | Held:
    steps = (
        encrypted_training.closing(held, plan, hospital)
        if last
        else encrypted_training.iteration(XOR, held, plan, hospital)
    )
    try:
        ask = next(steps)
        for masks, reply in log:
            answer: Answer = hospital.read(ask, [int(mask) for mask in masks], reply, 0)
            ask = steps.send(answer)
    except StopIteration as done:
        found: Held = done.value
        return found
    return ask


def _nobody(_: bytes) -> bytes:
    raise RunFailed("a node asks by its reply, not by itself")


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Carry messages until the hospital has done its iterations; count what was carried."""
    wait_for_hospitals(grid, 2)
    nodes = {}
    for node in grid.get_node_ids():
        (role,) = _ask(grid, node, "role", b"")[1]
        nodes[role] = node
    _, weights = _ask(grid, nodes[OWNER], "begin", b"")
    kind, data = _ask(grid, nodes[HOSPITAL], "begin", weights)
    exchanges = up = back = 0
    while kind == "ask":
        _, answer = _ask(grid, nodes[OWNER], "ask", data)
        exchanges, up, back = exchanges + 1, up + len(data), back + len(answer)
        kind, data = _ask(grid, nodes[HOSPITAL], "answer", answer)
    _ask(grid, nodes[OWNER], "open", data)
    facts = {"exchanges": exchanges, "bytes_to_key_holder": up, "bytes_back": back}
    Path(str(context.run_config["output"])).write_text(json.dumps(facts), encoding="utf-8")


def _ask(grid: Grid, node: int, kind: str, data: bytes) -> tuple[str, bytes]:
    content = RecordDict({"request": ConfigRecord({"kind": kind, "data": data})})
    messages = [Message(content, dst_node_id=node, message_type="train")]
    replies = list(_answered(grid.send_and_receive(messages, timeout=PATIENCE)))
    if len(replies) != 1:
        raise RunFailed(f"node {node} did not answer {kind!r}")
    reply = replies[0].content.config_records["reply"]
    return str(reply["kind"]), bytes(reply["data"])  # type: ignore[arg-type]


def _answered(messages: Any) -> Iterator[Message]:
    for message in messages:
        if message.has_error():
            raise RunFailed(f"a node failed: {message.error.reason}")
        yield message


def run(plan: Plan, iterations: int, seed: int, key_bits: int) -> dict[str, Any]:
    """Train that many iterations over Flower on Ray; raises RunFailed where that fails.

    What the owner opened stays in its file, which is read here as the owner would.
    """
    config = {
        "sigmoid": plan.sigmoid.name,
        "eta": plan.rate,
        "precision": plan.precision,
        "iterations": iterations,
        "seed": seed,
        "key_bits": key_bits,
    }
    with tempfile.TemporaryDirectory(prefix="fedsec-poster-") as temporary:
        folder = Path(temporary)
        values: dict[str, Value] = {
            "plan": json.dumps(config),
            "output": str(folder / "carried.json"),
            "owner": str(folder / "owner.json"),
        }
        app = make_app(folder / "app", *COMPONENTS, values)
        with flower_run(app, values, 2, timeout=PATIENCE) as live:
            live.wait()
        carried = json.loads((folder / "carried.json").read_text(encoding="utf-8"))
        opened = json.loads((folder / "owner.json").read_text(encoding="utf-8"))
    return {**config, **carried, **opened}
