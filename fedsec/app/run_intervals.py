"""Intervals of predictions from what one run knows: its test rows, or the hospitals' rows by secure sums."""

from __future__ import annotations

from collections.abc import Sequence

from fedsec.app.evaluated import last_evaluation
from fedsec.app.simulated import Compared
from fedsec.flower.verdict import Round
from fedsec.learning import intervals
from fedsec.learning.intervals import GroupOfRows, Intervals
from fedsec.learning.trained_model import TrainedModel
from fedsec.report.clinical_document import Evaluation

TEST = "test rows, which no hospital trained on"
TRAINING = "rows of the hospitals, which the model was trained on: new patients may differ more"


def intervals_of(
    trained: TrainedModel, rounds: Sequence[Round], found: Evaluation | None, tested: Compared | None
) -> Intervals | None:
    """Those of a model; None where neither kind of rows tells, or its task has none.

    found: the clinical evaluation on the hospitals' rows. tested: how it did on test rows, which only a simulation has.
    """
    if trained.task == "classification":
        for whose, one in ((TEST, tested.evaluation if tested else None), (TRAINING, found)):
            if one is not None and (made := intervals.of_groups(whose, _groups(one))):
                return made
        return None
    if trained.task != "regression":
        return None
    if tested is not None and (made := intervals.of_spread(TEST, tested.rows, tested.figures["rmse"])):
        return made
    last = last_evaluation(rounds)
    if last is None or last.metrics is None:
        return None
    means = {name: value for name, value in last.metrics.items() if isinstance(value, float)}
    spread = trained.built.outcome.quality(means, trained.preparation.target_deviation)["rmse"]
    return intervals.of_spread(TRAINING, trained.preparation.rows, spread)


def _groups(found: Evaluation) -> list[GroupOfRows]:
    return [GroupOfRows(one.low, one.high, one.rows, one.positive) for one in found.groups]
