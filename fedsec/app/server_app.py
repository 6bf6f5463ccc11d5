"""The server's side of the study's Flower app: statistics, initial weights, rounds, and what they came to.

`flwr run .` starts it from a clone and `fedsec run` from anywhere. In a simulation the server's process also holds the
common test rows and, after training, computes the baselines that the federation is compared with.
"""

from __future__ import annotations

import importlib.metadata
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from logging import INFO, WARNING
from pathlib import Path
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result
from flwr.supercore import log
from numpy.typing import NDArray

import fedsec
from fedsec import atomic
from fedsec.app import evaluated, model_card
from fedsec.app.cohort import Cohort, wait_for_hospitals
from fedsec.app.config import OWN_ROWS, RunConfig
from fedsec.app.progress import Progress
from fedsec.app.run_intervals import intervals_of
from fedsec.app.simulated import Compared, Study, study
from fedsec.data import preparation, schema, table_one
from fedsec.data.preparation import Preparation
from fedsec.data.schema import Schema
from fedsec.data.table_one import TableOne
from fedsec.disclosure import DISCLOSURE
from fedsec.encoding.mean_spec import WeightRule
from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation
from fedsec.flower.records import from_numpy
from fedsec.flower.simulation import in_simulation
from fedsec.learning import trained_model
from fedsec.learning.decision_threshold import Chosen
from fedsec.learning.trained_model import TrainedModel
from fedsec.metering import Ledger
from fedsec.party.identity import read_identity
from fedsec.report.run_document import AGREEMENT, LEDGER
from fedsec.server.averaging import Wording

STATISTICS = "query.statistics"
PREPARATION = "preparation.json"
TRAIL = "trail.jsonl"
"""In a deployment, what the server released and who did not answer: `fedsec log show`."""
WORDING = Wording("--clip", "--largest-weight", "set --clip 0", ranges="")
"""The options of `fedsec run` in a warning's cures; the ranges of metrics are the study's own."""

server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """One run, from statistics and initial weights to results."""
    lead(grid, RunConfig.read(context.run_config))


def lead(grid: Grid, config: RunConfig) -> SecureAggregation:
    """A run of this configuration over the hospitals of this grid, once they are connected."""
    hospitals = wait_for_hospitals(grid, config.clients)
    simulation = None if config.dataset == OWN_ROWS else study(config, hospitals)
    if simulation is None:
        config = config.model_copy(update={"clients": hospitals})
    else:
        config = config.resolved(simulation.counts)
        hospitals = config.clients
    config.prove(hospitals)
    if config.cohort == "fixed":
        chosen = random.Random(config.seed).sample(sorted(grid.get_node_ids()), config.participants(hospitals))  # noqa: S311
        grid = Cohort(grid, chosen)
    return run(grid, config, hospitals, simulation)


def run(grid: Grid, config: RunConfig, hospitals: int, simulation: Study | None) -> SecureAggregation:
    """Statistics, training and results over these hospitals; `simulation` is None where each has its own rows."""
    progress = Progress(config.output)
    agreed = simulation.schema if simulation else schema.read(Path(config.schema_file).expanduser())
    shared: dict[str, Any] = {
        "phase_timeout": config.phase_timeout,
        "ledger": Ledger(watch=progress.phase),
        "on_round": progress.round,
    }
    if config.agreement and not in_simulation():
        identity = read_identity(Path(config.identity).expanduser())
        agreement = Path(config.agreement).expanduser()
        trail = None if progress.folder is None else progress.folder / TRAIL
        shared |= {"agreement": agreement, "identity": identity, "trail": trail}
        secure = SecureAggregation(config.inner(hospitals), **shared)
    else:
        spec = config.spec()
        secure = SecureAggregation(
            config.inner(hospitals),
            config.protocol(),
            clip=spec.clip,
            largest_weight=spec.largest_weight,
            metric_ranges=spec.ranges,
            metric_grids=spec.grids,
            weights=cast(WeightRule, spec.weights),
            totals=spec.totals,
            **shared,
        )
    secure.wording = WORDING
    progress.write("start", hospitals=hospitals, rounds=config.rounds)
    asked = None if simulation else ConfigRecord({"schema": agreed.to_toml()})
    means, rows = secure.collect(grid, STATISTICS, asked)
    if config.equal_weights:
        means, rows = preparation.of_totals(means, rows)
    prepared = Preparation.of(agreed, means, int(rows))
    described = _table_one(secure, config, agreed, means, int(rows))
    if described is not None:
        progress.write("suspicions", texts=described.suspected)
        for text in described.suspected:
            log(WARNING, "Suspicious: %s", text)
    tested: list[dict[str, float]] = []
    on_test = None
    if simulation is not None:
        simulation.prepare(prepared, described)
        on_test = _tester(simulation, tested, progress)
    random.seed(config.seed)  # Flower samples hospitals by it
    training = config.training(agreed.label.task, agreed.label.outputs, prepared.start(agreed.label))
    initial = training.model.initial(len(prepared.features()), config.seed)
    sent = ConfigRecord({"preparation": prepared.to_json()})
    failed: RunFailed | None = None
    try:
        result = secure.start(
            grid, from_numpy(initial), config.rounds, train_config=sent, evaluate_config=sent, evaluate_fn=on_test
        )
    except RunFailed as error:
        if not (isinstance(error.result, Result) and error.result.arrays):
            raise
        result, failed = error.result, error  # what it reached is written first
    final: dict[str, Any] = {name: array.numpy() for name, array in result.arrays.items()}
    bins = evaluated.final_bins(secure.rounds)
    threshold = evaluated.chosen(config, bins)
    trained = _trained(secure, config, agreed, prepared, final, threshold)
    if progress.folder is not None:
        secure.agreement_of_run(config.model_dump(by_alias=True)).write(progress.folder / AGREEMENT)
        trained.write(progress.folder / trained_model.FILE)  # and again below, once other rows told how sure it is
    on_others: Compared | None = None
    if simulation is None:
        _keep(secure, prepared, described, progress)
    else:
        progress.write("baselines")
        log(INFO, "Quality on the common test rows:")
        compared = simulation.finish(secure, final, tested, progress)
        for one in compared:
            log(INFO, "\t%-24s %s", one.who, "  ".join(f"{key} {value:.4f}" for key, value in one.figures.items()))
        on_others = compared[0]
    if progress.folder is not None:
        sums = [one.metrics for one in secure.rounds if one.stage == "evaluate" and not one.failure]
        of_rows = None if bins is None else evaluated.evaluation(bins, threshold.threshold)
        counted = secure.spec.weights != "powers-of-two"  # under which rows count by weight, not each once
        told = intervals_of(trained, secure.rounds if counted else (), of_rows if counted else None, on_others)
        trained = replace(trained, intervals=told)
        trained.write(progress.folder / trained_model.FILE)
        text = model_card.card(trained, secure.disclosure(), sums[-1] if sums else None, on_others, of_rows)
        atomic.write(progress.folder / model_card.CARD, text.encode())
    if failed is not None:
        raise failed
    return secure


def _table_one(
    secure: SecureAggregation, config: RunConfig, agreed: Schema, means: Mapping[str, Any], rows: int
) -> TableOne | None:
    """Table 1 of the rows that train; None where weights are powers of two, which make no counts of shares of rows."""
    if secure.spec.weights == "powers-of-two":
        return None
    one = secure.rounds[-1]
    return TableOne.of(agreed, means, rows, one.included - one.unusable, config.smallest_cell)


def _trained(
    secure: SecureAggregation,
    config: RunConfig,
    agreed: Schema,
    prepared: Preparation,
    final: dict[str, NDArray[np.float64]],
    threshold: Chosen,
) -> TrainedModel:
    """The model with all that it takes to use it, and where it comes from."""
    parameters = ", ".join(f"{key} {value}" for key, value in secure.protocol.parameters().items())
    about = {
        "aggregated by": f"{secure.protocol.name} ({parameters})",
        "agreement": secure.agreement.hash.hex() if secure.agreement else "",
        "hospitals": str(config.clients),
        "rounds": str(config.rounds),
        "fedsec": fedsec.__version__,
        "flwr": importlib.metadata.version("flwr"),
        "numpy": np.__version__,
    }
    if agreed.label.task == "classification":
        about |= {"threshold chosen": threshold.how}
    name = config.training(agreed.label.task, agreed.label.outputs).model.name
    return TrainedModel(name, agreed, prepared, final, threshold.threshold, about)


def _tester(
    simulation: Study, tested: list[dict[str, float]], progress: Progress
) -> Callable[[int, ArrayRecord], MetricRecord]:
    """Measures each round's model on the common test rows, and keeps what it found in `tested`."""

    def on_test(number: int, arrays: ArrayRecord) -> MetricRecord:
        tested.append(simulation.test({name: array.numpy() for name, array in arrays.items()}))
        progress.write("tested", round=number, **tested[-1])
        return MetricRecord({key: float(value) for key, value in tested[-1].items()})

    return on_test


def _keep(secure: SecureAggregation, prepared: Preparation, described: TableOne | None, progress: Progress) -> None:
    """What a deployment leaves behind beside the model: how rows are prepared for it, whose they are, what each phase
    cost, and who could learn what."""
    if progress.folder is not None:
        secure.ledger.write(progress.folder / LEDGER)
        atomic.write(progress.folder / DISCLOSURE, secure.disclosure().to_json().encode())
        atomic.write(progress.folder / PREPARATION, prepared.to_json().encode() + b"\n")
        if described is not None:
            atomic.write(progress.folder / table_one.FILE, described.to_json().encode() + b"\n")
    progress.write("done")
