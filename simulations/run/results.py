"""What a run leaves behind: its document result.json, ledger.csv and the model."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec import __version__, atomic
from fedsec.app.config import RunConfig
from fedsec.app.progress import Progress
from fedsec.data.bundled import Dataset
from fedsec.data.preparation import Preparation
from fedsec.data.table_one import TableOne
from fedsec.disclosure import DISCLOSURE
from fedsec.flower import SecureAggregation
from fedsec.flower.verdict import Round
from fedsec.learning import auc, outcomes
from fedsec.learning.clinical import THRESHOLD
from fedsec.learning.local_training import Training, test_quality
from fedsec.learning.models import Parameters
from fedsec.metering import NETWORKS
from fedsec.protocol import SecureSum
from fedsec.report.run_document import LEDGER, RESULT, About, Aggregation, Disclosed, Intervals, Quality, RunDocument
from fedsec.server.differencing import determined
from fedsec.simulations.run import baselines
from fedsec.simulations.run.clinical_results import clinical_results, threshold_of
from fedsec.simulations.run.command_line import command
from fedsec.simulations.run.hospitals import Hospitals


@dataclass(frozen=True, eq=False)
class Data:
    """The hospitals of a run, and all their training rows and the common test rows as features."""

    hospitals: Hospitals
    train: Dataset
    test: Dataset


def model_hash(parameters: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of a model, in hexadecimal."""
    digest = hashlib.sha256()
    for name, array in sorted(parameters.items()):
        digest.update(json.dumps([name, list(array.shape), array.dtype.str]).encode() + array.tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """What this run was computed with."""
    names = ("flwr", "ray", "numpy", "scikit-learn", "cryptography", "gmpy2", "numba")
    found = {"fedsec": __version__, "python": platform.python_version()}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # Ray, where the run did without
            found[name] = importlib.metadata.version(name)
    return found


def finish(
    config: RunConfig,
    secure: SecureAggregation,
    final: dict[str, NDArray[np.float64]],
    tested: Sequence[Mapping[str, float]],
    data: Data,
    preparation: Preparation,
    described: TableOne | None,
    progress: Progress,
) -> RunDocument:
    """Compute the baselines, write the files, result.json last, and return what that holds."""
    train, test, parts = data.train, data.test, data.hospitals.parts
    training, cohort = config.training(train.task, train.outputs, train.start), config.sampled(len(parts))
    parameters, _ = baselines.fedavg(training, train, parts, test)
    together, lone = baselines.pooled_model(training, train), baselines.lone_models(training, train, parts)
    spans = intervals(config, data, training, [final, parameters, together, *lone])
    found = clinical_results(
        config, secure.rounds, final, training, data.hospitals, train, test, spans.federated, progress
    )
    of_all = train.take(np.concatenate(parts))

    def on_test(model: Parameters, rows: Dataset) -> dict[str, float]:
        return test_quality(training, model, test, threshold_of(config, training, model, rows))

    protocol, rows = secure.protocol, [len(part) for part in parts]
    tolerated = tolerance(protocol, cohort)
    comparable = config.aggregator == "fedavg" and cohort == len(parts)
    document = RunDocument(
        configuration={
            **config.model_dump(by_alias=True, exclude={"output", "clients", "identity", "hospitals"}),
            "clients": len(parts),
            "parameters": protocol.parameters(),
            "model": training.model.name,
            "learning-rate": training.rate,
        },
        task=train.task,
        source=train.source,
        hospitals=data.hospitals.names,
        rows=tuple(rows),
        statistics=preparation,
        table_one=described,
        cohort=cohort,
        tolerance=tolerated,
        rounds=tuple(Aggregation.model_validate(asdict(outcome)) for outcome in secure.rounds),
        quality=Quality(
            initial=tested[0],
            federated=test_quality(training, final, test, found.threshold if found else THRESHOLD),
            by_round=tuple(tested[1:]),
            fedavg=on_test(parameters, of_all),
            pooled=on_test(together, of_all),
            alone=tuple(on_test(model, train.take(part)) for model, part in zip(lone, parts, strict=True)),
        ),
        intervals=spans,
        clinical=found,
        about=about(config, final, data, preparation),
        disclosed=tuple(disclosed(secure.rounds, config, data.hospitals)),
        warnings=tuple(warnings(config, rows, max(tolerated.values()))),
        largest_difference_to_fedavg=_difference(final, parameters) if comparable else None,
        network_seconds={name: network.seconds(secure.ledger.rows) for name, network in NETWORKS.items()},
        model_hash=model_hash(final),
        versions=versions(),
        machine={"system": platform.platform(), "cpus": os.cpu_count() or 1},
    )
    if progress.folder is not None:
        secure.ledger.write(progress.folder / LEDGER)
        atomic.write(progress.folder / DISCLOSURE, secure.disclosure(document.warnings).to_json().encode())
        atomic.write(progress.folder / RESULT, document.to_json().encode())
    progress.write("done")
    return document


def about(config: RunConfig, final: Parameters, data: Data, preparation: Preparation) -> About:
    """What was predicted, from what, when and by which command."""
    schema, features = data.hospitals.train.schema, preparation.features()
    linear = final["weights"] if final.keys() == {"weights", "bias"} and final["weights"].ndim == 1 else ()
    classes, event = schema.label.task == "classification", bool(schema.label.event)
    share = preparation.target_mean if classes else preparation.target_shares[1] if event else None
    return About(
        label=schema.label.name,
        positive=str(schema.label.positive) if classes or event else "",
        prevalence=share,
        task=schema.label.task,
        event=schema.label.event,
        classes=schema.label.classes,
        predictors=tuple(column.name for column in schema.columns),
        coefficients=tuple((name, float(weight)) for name, weight in zip(features, linear, strict=False)),
        test_rows=len(data.test.target),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command(config),
    )


def tolerance(protocol: SecureSum[Any, Any], cohort: int) -> dict[str, int]:
    """By phase, how many of a cohort may drop out, with enough left to release a sum."""
    counts = protocol.tolerance(range(1, cohort + 1))
    return {phase.__name__: max(min(count, cohort - protocol.floor), 0) for phase, count in counts.items()}


def intervals(config: RunConfig, data: Data, training: Training, models: Sequence[Parameters]) -> Intervals:
    """The measure that the runs are compared by, and its 95% interval for the federated model and each baseline."""
    outcome = training.model.outcome
    scores = [training.model.score(model, data.test.features) for model in models]
    spans = auc.interval(outcome.compared, scores, data.test.target, data.hospitals.test.person, config.seed)
    federated, fedavg, pooled, *alone = spans
    return Intervals(metric=outcome.measure, federated=federated, fedavg=fedavg, pooled=pooled, alone=tuple(alone))


def disclosed(rounds: Sequence[Round], config: RunConfig, hospitals: Hospitals) -> list[Disclosed]:
    """The parties of which the released sums together disclose something: their rows, and about their losses.

    A loss is disclosed where it follows from weighted means over other cohorts, whose models differ: an estimate.
    Which hospital a party is, the simulation knows by its rows; where two have as many, it is left open.
    """
    good = [outcome for outcome in rounds if not outcome.failure]
    counts = determined([(one.parties, rows) for one in good if (rows := _rows_of(one, config)) is not None])
    losses = {
        key: determined(
            [
                (outcome.parties, outcome.weight * value)
                for outcome in good
                if outcome.stage == stage and isinstance(value := (outcome.metrics or {}).get(key), float)
            ]
        )
        for stage, key in (("train", "train_loss"), ("evaluate", "loss"))
    }
    out = []
    for party in sorted({*counts, *(party for totals in losses.values() for party in totals)}):
        rows = counts.get(party)
        weight = 1.0 if config.equal_weights else rows
        means = {key: totals[party] / weight if party in totals and weight else None for key, totals in losses.items()}
        if rows is None and all(mean is None for mean in means.values()):
            continue
        same = [name for name, part in zip(hospitals.names, hospitals.parts, strict=True) if len(part) == rows]
        out.append(
            Disclosed(
                party=party,
                hospital=same[0] if len(same) == 1 else "",
                rows=None if rows is None else round(rows),
                **means,
            )
        )
    return out


def _rows_of(outcome: Round, config: RunConfig) -> float | None:
    """How many rows a sum was over: its weight, or what its rows by class add up to; None where it does not tell."""
    if not config.equal_weights:
        return outcome.weight
    rows = outcomes.rows_in(outcome.metrics or {})
    return None if rows is None else outcome.weight * rows


def warnings(config: RunConfig, rows: Sequence[int], tolerated: int) -> list[str]:
    """What the server could learn from the totals of several rounds, with the numbers of these hospitals.

    tolerated: hospitals that may drop out of a round.
    """
    if config.cohort == "fixed":
        return []
    count = f"between {min(rows):,} and {max(rows):,}" if min(rows) < max(rows) else f"{max(rows):,}"
    learns = f"learn its row count ({count}) and, once the model settles, nearly its metrics"
    sampled, texts = config.sampled(len(rows)), []
    if sampled < len(rows):
        texts.append(
            f"each round samples {sampled} of {len(rows)} hospitals; where the cohorts of two rounds differ by one "
            f"hospital, the server can subtract the two totals and {learns}"
        )
    if tolerated:
        texts.append(
            f"if a hospital drops out of one round but not another, the server can subtract the two totals and {learns}"
        )
    return texts


def _difference(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)
