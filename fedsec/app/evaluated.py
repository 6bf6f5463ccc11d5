"""What the last evaluation of a run says of its model: the threshold that is chosen, and the clinical measures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedsec.app.config import RunConfig
from fedsec.data.bundled import Floats
from fedsec.flower.verdict import Round
from fedsec.learning import calibration_measures, clinical, decision_threshold
from fedsec.learning.auc import POSITIVE
from fedsec.learning.calibration_measures import Recalibration
from fedsec.learning.clinical import THRESHOLD, Bins, Bounded
from fedsec.learning.decision_threshold import Chosen
from fedsec.learning.outcomes import Outcome
from fedsec.report.clinical_document import CalibrationGroup, Evaluation, OperatingPoint
from fedsec.report.parts import Interval

POOLED = "the hospitals' rows"


def final_bins(rounds: Sequence[Round]) -> Bins | None:
    """All hospitals' rows by score, under the model that the run ended with.

    None where no evaluation of this model succeeded, and where there are no classes.
    """
    last = last_evaluation(rounds)
    if last is None or last.metrics is None or POSITIVE not in last.metrics:
        return None
    bins = clinical.of_means(last.metrics, float(last.weight))
    return bins if np.isfinite(bins.rows).all() else None  # NaN: it was withheld


def last_evaluation(rounds: Sequence[Round]) -> Round | None:
    """That of the model that the run ended with; None where none succeeded."""
    for one in reversed(rounds):
        if not one.failure and one.stage == "evaluate":
            return one
        if not one.failure and one.trains:  # a model that nobody evaluated
            return None
    return None


def chosen(config: RunConfig, bins: Bins | None) -> Chosen:
    """The threshold of this configuration, looked for on the hospitals' rows."""
    return decision_threshold.choose(decision_threshold.parse(config.decision_threshold), bins, POOLED)


def measured(
    bins: Bins, threshold: float, bounded: bool = True, near: Recalibration | None = None, shift: float = 0.0
) -> dict[str, Bounded]:
    """Every measure of a model by name, and how far bins may put it off, if it is to be `bounded`.

    near, shift: recalibration and calibration in the large of rows that are likely alike, from which theirs are sought.

    calibration_in_the_large and calibration_slope are in log-odds and ideally 0 and 1; ppv and npv are the shares of
    right predictions among those of class 1 and of class 0.
    """
    point, slope = clinical.at(bins, threshold), calibration_measures.recalibration(bins, bounded, near)
    missed = (1.0 - point.sensitivity.value) * bins.prevalence
    spared = point.specificity.value * (1.0 - bins.prevalence)
    # how far the two shares below may be off is not bounded here where the threshold lies within a bin
    off = 0.0 if point.sensitivity.off == point.specificity.off == 0.0 else math.inf
    return {
        "auc": clinical.auc(bins),
        "average_precision": clinical.average_precision(bins),
        "brier": clinical.brier(bins),
        "calibration_in_the_large": calibration_measures.calibration_in_the_large(bins, bounded, shift),
        "calibration_slope": Bounded(slope.slope, slope.off),
        "sensitivity": point.sensitivity,
        "specificity": point.specificity,
        "ppv": Bounded(point.precision, off),
        "npv": Bounded(spared / (spared + missed) if spared + missed > 0.0 else math.nan, off),
        "predicted_positive": Bounded(point.predicted_positive, off),
    }


def own(outcome: Outcome, score: Floats, target: Floats) -> str:
    """What a hospital reads of its own rows; of two classes at the usual threshold: the final one is not chosen yet."""
    if outcome.task != "classification":
        reached = float(outcome.compared(score, target))
        loss = float(outcome.loss(score, target).mean())
        return f"{len(target)} rows: {outcome.measure.replace('_', ' ')} {reached:.3f}, loss {loss:.3f}"
    bins = clinical.of_rows(score, target)
    found = ", ".join(f"{name.replace('_', ' ')} {one.value:.3f}" for name, one in measured(bins, THRESHOLD).items())
    return f"{len(target)} rows, {bins.positive.sum():.0f} of class 1, at a threshold of {THRESHOLD}: {found}"


def evaluation(
    bins: Bins, threshold: float, histogram: Bins | None = None, intervals: Mapping[str, Interval] | None = None
) -> Evaluation:
    """The clinical evaluation on these rows; its curves are of `histogram`, where the rows are finer than that."""
    found, drawn = measured(bins, threshold), bins if histogram is None else histogram
    return Evaluation(
        rows=round(float(bins.rows.sum())),
        positive=round(float(bins.positive.sum())),
        measures={name: one.value for name, one in found.items()},
        off={name: one.off for name, one in found.items()},
        intervals=intervals or {},
        groups=()
        if bins.lacking
        else tuple(CalibrationGroup(**one._asdict()) for one in calibration_measures.calibration_groups(bins)),
        curve=() if bins.lacking else _curve(drawn),
    )


def _curve(bins: Bins) -> tuple[OperatingPoint, ...]:
    """The thresholds that tell rows apart, and one beyond them on either side."""
    points = clinical.curve(bins)
    first = max((place for place, one in enumerate(points) if one.predicted_positive >= 1.0), default=0)
    last = min((place for place, one in enumerate(points) if one.predicted_positive <= 0.0), default=len(points) - 1)
    return tuple(
        OperatingPoint(
            threshold=one.threshold,
            sensitivity=one.sensitivity.value,
            specificity=one.specificity.value,
            precision=one.precision,
            net_benefit=one.net_benefit,
        )
        for one in points[first : last + 1]
    )
