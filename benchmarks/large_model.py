"""A round of a network of eleven million parameters with four clients: secured, beside plain FedAvg in the same run.

python benchmarks/large_model.py [--quick] [--json] [--output DIR]

CPU is that of the server and the four clients, without training: messages are written and read as Flower writes and
reads them between its processes. Memory is the process's peak. Each way runs in a process of its own, in which clients
answer one after another.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from common import Report, Row, arguments, publish
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as WireMessage
from flwr.serverapp.strategy import FedAvg

from fedsec import SecureAggregation, secure_aggregation
from fedsec.flower.simulation import simulating
from fedsec.simulations.run.local_grid import LocalGrid

CLIENTS, LAYERS, ROUNDS = 4, 11, 4
PLAIN = "plain FedAvg"


def reply(message: Message, context: Context) -> Message:
    """What costs next to nothing beside the round: every parameter of the model, changed a little."""
    step = np.float32(1e-3 * (context.node_id % 7 + 1))
    arrays = {name: Array(array.numpy() + step) for name, array in message.content["arrays"].items()}
    metrics = MetricRecord({"num-examples": 100, "train_loss": 0.5})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


class WireGrid(LocalGrid):
    """The grid, with each message written to bytes and read again on its way to a client and back."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """As the grid does."""
        replies = []
        for message in messages:
            replies += [_sent(reply) for reply in super().send_and_receive([_sent(message)])]
        return replies


def _sent(message: Message) -> Message:
    return message_from_proto(WireMessage.FromString(message_to_proto(message).SerializeToString()))


def measure(way: str, parameters: int) -> dict[str, Any]:
    """CPU seconds of each round after the first, which also sets up and measures the scale; and the peak in bytes."""
    client = ClientApp(mods=[] if way == PLAIN else [secure_aggregation])
    client.train()(reply)
    marks: list[float] = []

    class Timed(FedAvg):
        def configure_train(self, *words: Any) -> Any:
            marks.append(time.process_time())
            return super().configure_train(*words)

    inner = Timed(fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS)
    strategy = inner if way == PLAIN else SecureAggregation(inner, way)
    rng = np.random.default_rng(0)
    layer = parameters // LAYERS
    model = ArrayRecord({f"w{n}": Array(rng.normal(0, 0.1, layer).astype(np.float32)) for n in range(LAYERS)})
    with simulating():
        grid = WireGrid(client, {}, CLIENTS, run_id=1)
        strategy.start(grid, model, num_rounds=ROUNDS)
    marks.append(time.process_time())
    seconds = np.diff(marks).tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"first": seconds[0], "rounds": seconds[1:], "peak": peak}


def main() -> None:
    """Measure each way in a process of its own, and publish."""
    options = arguments(__doc__ or "")
    parameters = 1_100_000 if options.quick else 11_000_000
    report = Report("A secured round of a large network beside plain FedAvg")
    setting = {"parameters": parameters, "clients": CLIENTS}
    seconds = {}
    for way in (PLAIN, "secagg", "lightsecagg"):
        done = subprocess.run(
            [sys.executable, __file__, "--one", way, str(parameters)],
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            check=True,
        )
        found = json.loads(done.stdout)
        seconds[way] = statistics.median(found["rounds"])
        note = (
            f"{seconds[way]:.2f} s of CPU a round (the first {found['first']:.2f}), peak {found['peak'] / 1e9:.2f} GB"
        )
        ratio = None if way == PLAIN else seconds[PLAIN] / seconds[way]
        report.add(Row(way, "round", setting, 1 / seconds[way], "" if way == PLAIN else PLAIN, ratio, note))
    publish(report, "large_model", options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        result = measure(sys.argv[2], int(sys.argv[3]))
        print(json.dumps(result))
    else:
        main()
