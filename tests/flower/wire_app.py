"""Hospitals with a tap at the wire. Run by test_wire.py: one run records every strategy on four sets of private data.

`folder/now.json` says which data the hospitals hold at the moment: it stands for their disks, not for the network.
"""

import json
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec.flower import SecureAggregation, secure_aggregation

HOSPITALS, VALUES = 3, 2000
DATA = {"one": (1, 0), "again": (1, 0), "other": (2, 0), "same_sum": (1, 1)}
"""Seed of the data, and by how many places they are handed on among the hospitals."""


def tap(message: Message, context: Context, call_next) -> Message:
    """Write every request and reply of the protocol to a file, as bytes."""
    folder = Path(str(context.run_config["folder"]))
    now = json.loads((folder / "now.json").read_text())
    place = folder / now["strategy"] / now["data"]
    place.mkdir(parents=True, exist_ok=True)
    request = message.content["fedsec"]["request"]
    reply = call_next(message, context)
    count = len(list(place.glob(f"{context.node_id}-*")))
    (place / f"{context.node_id}-{count:03}").write_bytes(request)
    if reply.has_content():
        assert set(reply.content) == {"fedsec"}
        assert set(reply.content["fedsec"]) == {"reply"}
        (place / f"{context.node_id}-{count + 1:03}").write_bytes(reply.content["fedsec"]["reply"])
    return reply


client = ClientApp(mods=[tap, secure_aggregation])
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    now = json.loads((Path(str(context.run_config["folder"])) / "now.json").read_text())
    seed, turn = DATA[now["data"]]
    rng = np.random.default_rng([seed, (int(context.node_config["partition-id"]) + turn) % HOSPITALS])
    update = rng.normal(0, 0.5, VALUES)
    metrics = MetricRecord({"train_loss": float(rng.uniform()), "num-examples": int(rng.integers(10, 1000))})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(update)}), "metrics": metrics}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    folder = Path(str(context.run_config["folder"]))
    everyone = {"min_train_nodes": HOSPITALS, "min_available_nodes": HOSPITALS}
    for name in str(context.run_config["strategies"]).split(","):
        for data in DATA:
            (folder / "now.json").write_text(json.dumps({"strategy": Path(name).stem, "data": data}))
            strategy = SecureAggregation(FedAvg(fraction_evaluate=0.0, **everyone), name)
            strategy.start(grid, ArrayRecord({"w": Array(np.zeros(VALUES))}), num_rounds=1, timeout=60)
            if any(outcome.failure for outcome in strategy.rounds):
                raise RuntimeError(f"{name}: {strategy.rounds}")
