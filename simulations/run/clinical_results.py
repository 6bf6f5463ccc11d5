"""The clinical evaluation of a simulated run: with test rows, by hospital, and without each hospital in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedsec.app import evaluated
from fedsec.app.config import RunConfig
from fedsec.app.progress import Progress
from fedsec.data import preparation
from fedsec.data.bundled import Dataset, Floats
from fedsec.flower.verdict import Round
from fedsec.learning import auc, clinical
from fedsec.learning.calibration_measures import calibration_in_the_large, recalibration
from fedsec.learning.clinical import Bins
from fedsec.learning.local_training import Training
from fedsec.learning.models import Parameters
from fedsec.report.clinical_document import Clinical, Site
from fedsec.report.parts import Interval
from fedsec.simulations.run import baselines
from fedsec.simulations.run.hospitals import Hospitals

OF_A_SITE = ("auc", "calibration_in_the_large", "sensitivity", "specificity", "brier")


def clinical_results(
    config: RunConfig,
    rounds: Sequence[Round],
    final: Parameters,
    training: Training,
    hospitals: Hospitals,
    train: Dataset,
    test: Dataset,
    auc_interval: Interval,
    progress: Progress,
) -> Clinical | None:
    """How good the final model's probabilities are; None where the label is a number."""
    if training.model.task != "classification":
        return None
    pooled, label = evaluated.final_bins(rounds), hospitals.train.schema.label
    threshold = evaluated.chosen(config, pooled)
    score = training.model.score(final, test.features)
    return Clinical(
        label=label.name,
        positive=str(label.positive),
        threshold=threshold.threshold,
        rule=config.decision_threshold,
        how=threshold.how,
        pooled=None if pooled is None else evaluated.evaluation(pooled, threshold.threshold),
        test=evaluated.evaluation(
            clinical.of_rows(score, test.target),
            threshold.threshold,
            _histogram(score, test.target),
            {**intervals(score, test.target, hospitals, threshold.threshold, config.seed), "auc": auc_interval},
        ),
        sites=tuple(
            _site(name, training, final, train.take(part), threshold.threshold)
            for name, part in zip(hospitals.names, hospitals.parts, strict=True)
        ),
        left_out=tuple(left_out(config, training, hospitals, progress)) if config.leave_one_site_out else (),
    )


def threshold_of(config: RunConfig, training: Training, model: Parameters, rows: Dataset) -> float:
    """The threshold of a model that was trained on these rows, by the same rule as the federated one's."""
    if training.model.task != "classification":
        return clinical.THRESHOLD
    return evaluated.chosen(config, _histogram(training.model.score(model, rows.features), rows.target)).threshold


def _histogram(score: Floats, target: Floats, counts: Floats | None = None) -> Bins:
    """Rows as hospitals count them, each `counts` times."""
    index = np.searchsorted(auc.EDGES, score, side="right")
    weight = np.ones(len(target)) if counts is None else counts
    found = [np.bincount(index, np.where(target == value, weight, 0.0), auc.BINS) for value in (1.0, 0.0)]
    return clinical.of_histogram(*found)


def intervals(score: Floats, target: Floats, hospitals: Hospitals, threshold: float, seed: int) -> dict[str, Interval]:
    """The 95% bootstrap interval of each measure that is defined, on the resamples that `auc.interval` draws."""
    found: dict[str, list[float]] = {}
    whole = _histogram(score, target)
    near, shift = recalibration(whole, False), calibration_in_the_large(whole, False).value
    for counts in auc.resamples(target, hospitals.test.person, seed):
        drawn = _histogram(score, target, counts)
        for name, one in evaluated.measured(drawn, threshold, False, near, shift).items():
            found.setdefault(name, []).append(one.value)
    return {name: auc.percentiles(values) for name, values in found.items() if not np.isnan(values).all()}


def _site(name: str, training: Training, model: Parameters, rows: Dataset, threshold: float) -> Site:
    bins = clinical.of_rows(training.model.score(model, rows.features), rows.target)
    found = evaluated.measured(bins, threshold)
    return Site(
        hospital=name,
        rows=len(rows.target),
        positive=int(rows.target.sum()),
        threshold=threshold,
        measures={key: found[key].value for key in OF_A_SITE},
    )


def left_out(config: RunConfig, training: Training, hospitals: Hospitals, progress: Progress) -> list[Site]:
    """Each hospital's rows under a model that was trained without it, by plain FedAvg, which secure sums equal.

    Rows are prepared by the statistics of the others alone, and the threshold is chosen on their rows.
    """
    found = []
    for place, name in enumerate(hospitals.names):
        progress.write("left-out", hospital=name, number=place + 1, hospitals=len(hospitals.names))
        others = {other: part for other, part in enumerate(hospitals.parts) if other != place}
        rest = np.concatenate(list(others.values()))
        rows = preparation.pooled(hospitals.train.take(rest)).apply(hospitals.train)
        model = baselines.fedavg_model(training, {other: rows.take(part) for other, part in others.items()})
        threshold = threshold_of(config, training, model, rows.take(rest))
        found.append(_site(name, training, model, rows.take(hospitals.parts[place]), threshold))
    return found
