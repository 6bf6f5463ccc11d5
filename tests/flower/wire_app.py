"""A tap at the wire of hospitals, which records strategies on four sets of private data: a part of two_lines_app.py.

`folder/now.json` says which data the hospitals hold at the moment: it stands for their disks, not for the network.
"""

import json
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from fedsec.flower import SecureAggregation

HOSPITALS, VALUES = 4, 2000
DATA = {"one": (1, 0), "again": (1, 0), "other": (2, 0), "same_sum": (1, 1)}
"""Seed of the data, and by how many places they are handed on among the hospitals."""


def now(context: Context) -> dict:
    """Which strategy is recorded at the moment, on which data; nothing where none is."""
    file = Path(str(context.run_config["folder"])) / "now.json"
    return json.loads(file.read_text()) if file.exists() else {}


def tap(message: Message, context: Context, call_next) -> Message:
    """Write every request and reply of the protocol to a file, as bytes."""
    current = now(context)
    if not current:
        return call_next(message, context)
    place = Path(str(context.run_config["folder"])) / current["strategy"] / current["data"]
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


tap.needs_arrays = False  # else it would be refused: it stands before secure_aggregation


def train(message: Message, context: Context) -> Message:
    seed, turn = DATA[now(context)["data"]]
    rng = np.random.default_rng([seed, (int(context.node_config["partition-id"]) + turn) % HOSPITALS])
    update = rng.normal(0, 0.5, VALUES)
    metrics = MetricRecord({"train_loss": float(rng.uniform()), "num-examples": int(rng.integers(10, 1000))})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(update)}), "metrics": metrics}), reply_to=message)


def record(grid: Grid, context: Context) -> None:
    """One round of each strategy on each set of data."""
    folder = Path(str(context.run_config["folder"]))
    everyone = {"min_train_nodes": HOSPITALS, "min_available_nodes": HOSPITALS}
    for name in str(context.run_config["strategies"]).split(","):
        for data in DATA:
            (folder / "now.json").write_text(json.dumps({"strategy": Path(name).stem, "data": data}))
            strategy = SecureAggregation(FedAvg(fraction_evaluate=0.0, **everyone), name)
            strategy.start(grid, ArrayRecord({"w": Array(np.zeros(VALUES))}), num_rounds=1, timeout=600)
            if any(outcome.failure for outcome in strategy.rounds):
                raise RuntimeError(f"{name}: {strategy.rounds}")
    (folder / "now.json").unlink()
