"""A setting measured under Flower on Ray: the same updates, strategy and layout as in process.

A Flower app of its own: hospitals that change each parameter by a known amount, and a server that runs the set-up and
the rounds, and writes the rows of its ledger.
"""

from __future__ import annotations

import functools
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec.app.cohort import wait_for_hospitals
from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation, secure_aggregation
from fedsec.metering import Row
from fedsec.simulations.costs.federation import MeasuredRound
from fedsec.simulations.costs.measure import allocator
from fedsec.simulations.costs.measure.cost_summary import MeasuredCosts, summarize
from fedsec.simulations.costs.setting import CLIP, KINDS, LARGEST_WEIGHT, NAME, SPEC, WEIGHT, Setting, update
from fedsec.simulations.costs.sweep import ray_jobs
from fedsec.simulations.run.flower_cli import Value
from fedsec.simulations.run.launcher import flower_run, make_app

COMPONENTS = (
    "fedsec.simulations.costs.measure.flower_rounds:server",
    "fedsec.simulations.costs.measure.flower_rounds:client",
)

WARM_UP_ROUNDS = 3
"""Rounds that do not count."""

client = ClientApp(mods=[secure_aggregation])
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """Change each parameter as a hospital of this kind does."""
    _settle()
    kind = int(context.node_config["partition-id"]) % KINDS
    arrays = {
        name: Array(array.numpy() + update(array.numpy().size, kind))
        for name, array in message.content.array_records["arrays"].items()
    }
    metrics = MetricRecord({SPEC.weight_key: WEIGHT})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """The set-up and the rounds of one setting."""
    _settle()
    config = context.run_config
    setting = Setting(**json.loads(str(config["setting"])))
    wait_for_hospitals(grid, setting.hospitals)
    inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=setting.hospitals, min_available_nodes=setting.hospitals)
    times: list[float] = []
    secure = SecureAggregation(
        inner,
        setting.protocol(),
        clip=CLIP,
        largest_weight=LARGEST_WEIGHT,
        phase_timeout=float(config["phase-timeout"]),
        on_round=lambda _: times.append(time.monotonic()),
    )
    start = ArrayRecord({NAME: Array(np.zeros(setting.parameters))})
    times.append(time.monotonic())
    secure.start(grid, start, num_rounds=int(config["rounds"]), timeout=float(config["phase-timeout"]))
    measured = {"rows": [asdict(row) for row in secure.ledger.rows], "walls": np.diff(times).tolist()}
    measured["failures"] = [outcome.failure for outcome in secure.rounds if outcome.failure]
    Path(str(config["output"])).write_text(json.dumps(measured), encoding="utf-8")


@functools.lru_cache
def _settle() -> None:
    """Measured steps find memory and collector in this process as they do where rounds are run in process."""
    allocator.keep_freed()
    ray_jobs.settle()


def measure(setting: Setting, repetitions: int, timeout: float = 3600.0) -> MeasuredCosts:
    """Run the setting under Flower on Ray; the first rounds, which fill caches in every process, do not count.

    Raises RunFailed where a round failed, with its reason.
    """
    with tempfile.TemporaryDirectory(prefix="fedsec-compare-") as folder:
        output = Path(folder) / "measured.json"
        values: dict[str, Value] = {
            "setting": json.dumps(asdict(setting)),
            "rounds": repetitions + WARM_UP_ROUNDS,
            "phase-timeout": timeout,
            "output": str(output),
        }
        app = make_app(Path(folder) / "app", *COMPONENTS, values)
        with flower_run(app, values, setting.hospitals, timeout=timeout) as live:
            live.wait()
        measured = json.loads(output.read_text(encoding="utf-8"))
    if measured["failures"]:
        raise RunFailed(f"{setting.strategy} with {setting.hospitals} hospitals: {measured['failures'][0]}")
    rows = [Row(**row) for row in measured["rows"]]
    setup = MeasuredRound([row for row in rows if row.stage == "setup"], 0.0, None)
    counted = range(WARM_UP_ROUNDS + 1, WARM_UP_ROUNDS + repetitions + 1)
    rounds = [MeasuredRound(_of_round(rows, number), measured["walls"][number - 1], None) for number in counted]
    setup = setup._replace(wall=sum(row.wall_seconds for row in setup.rows if row.role == "hospital"))
    return summarize(setting, setup, rounds)


def _of_round(rows: Sequence[Row], number: int) -> list[Row]:
    return [row for row in rows if (row.stage, row.round) == ("train", number)]
