"""Hospitals that do nothing but send d numbers: what a round costs beside plain FedAvg. Run by spine.py.

The client answers plain and secure messages alike, so that one run measures both on the same actors.
"""

import itertools
import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec import catalog
from fedsec.flower import SecureAggregation, secure_aggregation


def either(message: Message, context: Context, call_next) -> Message:
    """Secure where the server asks so."""
    return (
        secure_aggregation(message, context, call_next) if "fedsec" in message.content else call_next(message, context)
    )


client = ClientApp(mods=[either])
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    arrays = {name: Array(array.numpy() + np.float32(0.01)) for name, array in message.content["arrays"].items()}
    return Message(
        RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 100})}), reply_to=message
    )


class Counting:
    """Counts exchanges on the real grid."""

    def __init__(self, grid: Grid) -> None:
        self._grid, self.exchanges = grid, 0
        self._send = grid.send_and_receive

    def __call__(self, messages, *, timeout=None):
        outgoing = list(messages)
        self.exchanges += bool(outgoing)
        return self._send(outgoing, timeout=timeout)


@server.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    hospitals, rounds = int(config["hospitals"]), int(config["rounds"])
    counting = Counting(grid)
    grid.send_and_receive = counting  # type: ignore[method-assign]
    found = {}
    for name in ("fedavg", *str(config["strategies"]).split(",")):
        everyone = {"min_train_nodes": hospitals, "min_available_nodes": hospitals}
        inner = FedAvg(fraction_evaluate=0.0, **everyone)
        strategy = inner if name == "fedavg" else SecureAggregation(inner, catalog.strategy(name)())
        times, exchanges = [], []

        def note(number: int, arrays: ArrayRecord, times=times, exchanges=exchanges) -> None:
            times.append(time.monotonic())
            exchanges.append(counting.exchanges)

        start = ArrayRecord({"w": Array(np.zeros(int(config["values"]), np.float32))})
        strategy.start(grid, start, num_rounds=rounds + 1, timeout=900, evaluate_fn=note)
        rows = [row for row in getattr(getattr(strategy, "ledger", None), "rows", []) if row.round > 1]
        found[name] = {
            # The first round founds the federation, compiles and fills caches: it is not a round as the others are.
            "seconds": [after - before for before, after in itertools.pairwise(times[1:])],
            "exchanges": [after - before for before, after in itertools.pairwise(exchanges[1:])],
            "cpu_seconds": sum(row.cpu_seconds for row in rows) / rounds,
            "bytes": sum(row.bytes_up + row.bytes_down for row in rows if row.role == "hospital") / rounds,
            "failures": [outcome.failure for outcome in getattr(strategy, "rounds", []) if outcome.failure],
        }
    Path(str(config["output"])).write_text(json.dumps(found))
