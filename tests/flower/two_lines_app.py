"""A Flower app as Flower's documentation shows one, and the two lines that make it secure. Run by test_two_lines.py.

One run compares two inner strategies with and without secure aggregation, on the same deterministic clients, records
what crosses the wire (wire_app.py), is refused for a mod that stands before ours, and at last loses a client.
"""

import json
import os
from pathlib import Path

import numpy as np
import wire_app
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdam, FedAvg

from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation, secure_aggregation

INNER = {"FedAvg": FedAvg, "FedAdam": lambda **kw: FedAdam(eta=0.05, **kw)}
"""One without a state and one with; test_compatibility.py has them all, in one process."""
MISPLACED = "query.misplaced"


def learn(message: Message, context: Context) -> Message:
    """One deterministic step, different for each client and round."""
    config = message.content["config"]
    place, number = int(context.node_config["partition-id"]), int(config["server-round"])
    if config.get("deadly") and place == 0 and number == 2:
        os._exit(1)
    rng = np.random.default_rng([place, number])
    arrays = {}
    for name, array in message.content["arrays"].items():
        old = array.numpy()
        arrays[name] = Array(np.asarray(old + rng.normal(0, 0.3, old.shape), old.dtype))
    metrics = MetricRecord({"train_loss": float(rng.uniform()), "num-examples": 10 + 7 * place})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


def assess(message: Message, context: Context) -> Message:
    """Metrics that depend on the model and on the client."""
    place = int(context.node_config["partition-id"])
    norm = float(sum(np.abs(message.content["arrays"][name].numpy()).sum() for name in ("w", "b")))
    metrics = {"eval_loss": norm + place, "per_class": [0.1 * place, 0.5], "num-examples": 5 + place}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


def secure_where_asked(message: Message, context: Context, call_next) -> Message:
    """The client's line where the server's stands too, so that one run has both."""
    if "fedsec" in message.content and message.metadata.message_type != MISPLACED:
        return secure_aggregation(message, context, call_next)
    return call_next(message, context)


def fixedclipping_if_arrays(message: Message, context: Context, call_next) -> Message:
    """A mod that passes on what has no arrays."""
    return (
        fixedclipping_mod(message, context, call_next) if message.content.array_records else call_next(message, context)
    )


client = ClientApp(mods=[wire_app.tap, secure_where_asked])
client.evaluate()(assess)


@client.train()
def train(message: Message, context: Context) -> Message:
    return wire_app.train(message, context) if wire_app.now(context) else learn(message, context)


@client.query("misplaced", mods=[fixedclipping_if_arrays, secure_aggregation])
def misplaced(message: Message, context: Context) -> Message:
    raise AssertionError("rows were read")


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    output = Path(config["output"])
    found = {"text": config["text"], "number": config["number"], "clear": {}, "secure": {}}
    for name in INNER:
        found["clear"][name] = start(grid, name, "")
        found["secure"][name] = start(grid, name, "shamir")
    wire_app.record(grid, context)
    try:
        SecureAggregation(FedAvg()).collect(grid, MISPLACED)
    except RunFailed as error:
        found["misplaced"] = str(error)
    found["deadly"] = start(grid, "FedAvg", "shamir", deadly=True)  # last: the client takes its process with it
    output.write_text(json.dumps(found), encoding="utf-8")


def start(grid: Grid, name: str, protocol: str, deadly: bool = False) -> dict:
    model = {"w": np.zeros((4, 3), np.float32), "b": np.linspace(-1, 1, 5), "steps": np.array([7], np.int64)}
    everyone = {"min_train_nodes": 4, "min_evaluate_nodes": 4, "min_available_nodes": 4}
    inner = INNER[name](**everyone)
    strategy = SecureAggregation(inner, protocol) if protocol else inner
    result = strategy.start(
        grid,
        ArrayRecord({key: Array(value) for key, value in model.items()}),
        num_rounds=2,
        timeout=600,
        train_config=ConfigRecord({"deadly": deadly}),
    )
    return {
        "arrays": {key: value.numpy().tolist() for key, value in result.arrays.items()},
        "dtypes": {key: value.dtype for key, value in result.arrays.items()},
        "train": {str(number): dict(record) for number, record in result.train_metrics_clientapp.items()},
        "evaluate": {str(number): dict(record) for number, record in result.evaluate_metrics_clientapp.items()},
        "rounds": [
            [outcome.round, outcome.stage, outcome.included, outcome.failure]
            for outcome in getattr(strategy, "rounds", [])
        ],
    }
