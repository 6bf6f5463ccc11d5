"""How a hospital trains and evaluates on its own rows: the same in simulation, deployment and every baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedsec.data.bundled import Dataset, Floats
from fedsec.errors import ConfigurationError
from fedsec.learning.clinical import THRESHOLD, log_odds
from fedsec.learning.models import Model, Parameters, local_rng


@dataclass(frozen=True)
class Training:
    """How a model is trained: `rounds` rounds of `epochs` local passes each.

    model: from `build`. rounds, epochs, batch_size >= 1. learning_rate > 0; None means the task's own.
    seed: 0 .. 2**32 - 1. proximal >= 0: the mu of FedProx. equal: hospitals count alike, not by rows.
    Raises ConfigurationError for a value out of range.
    """

    model: Model
    rounds: int = 5
    epochs: int = 5
    learning_rate: float | None = None
    batch_size: int = 16
    seed: int = 0
    proximal: float = 0.0
    equal: bool = False

    def __post_init__(self) -> None:
        for field, count in (("rounds", self.rounds), ("epochs", self.epochs), ("batch_size", self.batch_size)):
            if count < 1:
                raise ConfigurationError(f"{field} is {count}; it must be at least 1")
        if not (math.isfinite(self.rate) and self.rate > 0.0):
            raise ConfigurationError(f"learning_rate is {self.rate}; it must be finite and above 0")
        if not 0 <= self.seed < 2**32:
            raise ConfigurationError(f"seed is {self.seed}; it must be from 0 to 2**32 - 1")
        if not (math.isfinite(self.proximal) and self.proximal >= 0.0):
            raise ConfigurationError(f"proximal is {self.proximal}; it must be finite and at least 0")

    @property
    def rate(self) -> float:
        """The step size of SGD: learning_rate, or the task's default."""
        return self.model.outcome.rate if self.learning_rate is None else self.learning_rate


def client_update(
    training: Training, round: int, hospital: int, parameters: Parameters, features: Floats, target: Floats
) -> tuple[Parameters, dict[str, float]]:
    """One hospital's part of one round: its new parameters, and {"train_loss": mean loss over its rows after it}.

    round: from 1. hospital: the index of its partition, from 0. features: float64[rows, columns]; target:
    float64[rows]. Deterministic in its arguments. Raises as Model.train and local_rng do.
    """
    new, loss = training.model.train(
        parameters,
        features,
        target,
        local_rng(training.seed, round, hospital),
        training.epochs,
        training.rate,
        training.batch_size,
        training.proximal,
    )
    return new, {"train_loss": loss}


def client_evaluate(training: Training, parameters: Parameters, features: Floats, target: Floats) -> dict[str, float]:
    """One hospital's means per example of these parameters on its rows: `Model.evaluate`."""
    return training.model.evaluate(parameters, features, target)


def test_quality(
    training: Training, parameters: Parameters, test: Dataset, threshold: float = THRESHOLD
) -> dict[str, float]:
    """What `Outcome.quality` says of these parameters on rows in one place, with the measure of the task exactly.

    threshold: the probability from which on class 1 is predicted.
    """
    outcome = training.model.outcome
    means = training.model.evaluate(parameters, test.features, test.target, log_odds(threshold))
    score = training.model.score(parameters, test.features)
    found = outcome.quality({**means, **outcome.sums(score, test.target)}, test.target_scale)
    return found | {outcome.measure: float(outcome.compared(score, test.target))}
