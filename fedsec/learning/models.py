"""Small models in plain numpy, trained by mini-batch SGD, over named float64 arrays.

A model turns features into one score per row: the log-odds of class 1, or the (standardised) target. The loss, its
slope and the metrics follow from the score by task, and are the same for every model.
"""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats, Task
from fedsec.errors import ConfigurationError, DataError, unknown

Parameters = dict[str, NDArray[np.float64]]

COUNTS = ("tp", "fp", "tn", "fn")
"""The metrics of a classification that count rows, as shares of all rows."""
LEARNING_RATES: Mapping[Task, float] = {"classification": 0.1, "regression": 0.005}
"""Default step sizes, for batches of 16. At 0.05 the noise of SGD costs pooled diabetes over a third of its R2."""


def local_rng(seed: int, round: int, hospital: int) -> np.random.Generator:
    """The generator of one hospital's local training in one round: a function of exactly these three.

    Each is 0 .. 2**32 - 1, else ConfigurationError. Rounds count from 1; round 0 is the model's initialisation.
    For simulations only: keys and masks never come from numpy.
    """
    for field, value in (("seed", seed), ("round", round), ("hospital", hospital)):
        if not 0 <= value < 2**32:
            raise ConfigurationError(f"{field} is {value}; it must be from 0 to 2**32 - 1")
    # A spawn key, because a plain list would run together: [2**32, 1, 0] seeds the same generator as [0, 1, 1].
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(round, hospital)))


@dataclass(frozen=True, eq=False)
class Descent:
    """Mini-batch descent as `Model.train` is asked for it."""

    epochs: int
    learning_rate: float
    batch_size: int
    proximal: float
    anchor: Parameters

    def batches(self, rows: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """The rows of one mini-batch after another, int64[batch_size] but for the last of a pass."""
        for _ in range(self.epochs):
            order = rng.permutation(rows)
            for start in range(0, rows, self.batch_size):
                yield order[start : start + self.batch_size]


@dataclass(frozen=True)
class Model(ABC):
    """A model for one task. It holds no parameters: they are passed in and new ones are returned."""

    task: Task
    name: ClassVar[str]
    tasks: ClassVar[tuple[Task, ...]]

    @abstractmethod
    def initial(self, columns: int, seed: int) -> Parameters:
        """The parameters before training for `columns` features: the same for every hospital with this seed."""

    @abstractmethod
    def score(self, parameters: Parameters, features: Floats) -> Floats:
        """float64[rows] from float64[rows, columns]: log-odds of class 1, or standardised target."""

    @abstractmethod
    def backward(self, parameters: Parameters, features: Floats, slope: Floats) -> Parameters:
        """The gradient of the mean loss by every parameter, given `slope`, the loss's derivative by each score."""

    def loss_and_gradient(self, parameters: Parameters, features: Floats, target: Floats) -> tuple[float, Parameters]:
        """The mean loss over these rows and its gradient by every parameter."""
        score = self.score(parameters, features)
        slope = _probability(score) - target if self.task == "classification" else 2.0 * (score - target)
        return float(self._loss(score, target).mean()), self.backward(parameters, features, slope)

    def train(
        self,
        parameters: Parameters,
        features: Floats,
        target: Floats,
        rng: np.random.Generator,
        epochs: int,
        learning_rate: float,
        batch_size: int,
        proximal: float = 0.0,
        anchor: Parameters | None = None,
    ) -> tuple[Parameters, float]:
        """New parameters after `epochs` passes of mini-batch SGD, and their mean loss over all these rows.

        features: float64[rows, columns]; target: float64[rows]. epochs, batch_size >= 1; learning_rate > 0. Every pass
        visits the rows in an order drawn from `rng`; the last batch of a pass may be smaller.
        proximal: mu >= 0 of FedProx (Li et al., arXiv:1812.06127), which adds mu/2 ||w - anchor||^2 to the loss that
        is minimised, not to the one returned. anchor: by default the parameters passed in, the global model.
        Raises ConfigurationError if training diverges and DataError where the shapes do not fit the parameters.
        """
        self._check_shapes(parameters, features, target)
        descent = Descent(epochs, learning_rate, batch_size, proximal, parameters if anchor is None else anchor)
        with np.errstate(over="ignore", invalid="ignore"):
            new = self._descended(parameters, features, target, descent, rng)
            loss = float(self._loss(self.score(new, features), target).mean())
        if not math.isfinite(loss) or not all(np.isfinite(values).all() for values in new.values()):
            raise ConfigurationError(
                f"training of {self.name} diverged: its loss is {loss}; use a learning_rate below {learning_rate}"
            )
        return new, loss

    def _descended(
        self, parameters: Parameters, features: Floats, target: Floats, descent: Descent, rng: np.random.Generator
    ) -> Parameters:
        """New parameters after this descent from `parameters`, finite or not."""
        new = {name: values.copy() for name, values in parameters.items()}
        for batch in descent.batches(len(target), rng):
            _, gradient = self.loss_and_gradient(new, features[batch], target[batch])
            for name in new:
                pull = descent.proximal * (new[name] - descent.anchor[name])
                new[name] -= descent.learning_rate * (gradient[name] + pull)
        return new

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """float64[rows] from float64[rows, columns]: probability of class 1, or standardised target."""
        score = self.score(parameters, features)
        return _probability(score) if self.task == "classification" else score

    def evaluate(self, parameters: Parameters, features: Floats, target: Floats, cut: float = 0.0) -> dict[str, float]:
        """Means per example only, so that hospitals' values aggregate by the mean weighted by rows.

        Classification: loss (log-loss in nats, >= 0, unbounded), accuracy, and tp, fp, tn, fn: shares of all rows, 0
        to 1, that sum to 1 (class 1 is predicted from log-odds of `cut` on). Regression: loss (squared error, >= 0),
        target_mean and target_square, the means of y and y**2, all in standardised units.
        Raises DataError where the shapes do not fit the parameters or there is no row.
        """
        self._check_shapes(parameters, features, target)
        score = self.score(parameters, features)
        values: dict[str, NDArray[Any]] = {"loss": self._loss(score, target)}
        if self.task == "regression":
            values |= {"target_mean": target, "target_square": np.square(target)}
        else:
            positive, true = score >= cut, target == 1.0
            values |= {"accuracy": positive == true}
            values |= {"tp": positive & true, "fp": positive & ~true, "tn": ~positive & ~true, "fn": ~positive & true}
        return {name: float(per_row.mean()) for name, per_row in values.items()}

    def _loss(self, score: Floats, target: Floats) -> Floats:
        if self.task == "classification":
            # -log(sigmoid(s)) for y = 1 and -log(1 - sigmoid(s)) for y = 0, with no overflow for a large |s|.
            return np.logaddexp(0.0, score) - target * score
        return np.square(score - target)

    def _check_shapes(self, parameters: Parameters, features: Floats, target: Floats) -> None:
        if features.ndim != 2 or target.shape != features.shape[:1] or not len(target):
            raise DataError(
                f"features have shape {features.shape} and target {target.shape}; expected (rows, columns) and "
                f"(rows,), with at least one row"
            )
        expected = {name: values.shape for name, values in self.initial(features.shape[1], seed=0).items()}
        got = {name: values.shape for name, values in parameters.items()}
        if got != expected:
            raise DataError(f"{self.name} on {features.shape[1]} feature columns has parameters {expected}; got {got}")


class Linear(Model):
    """score = features @ weights + bias; weights float64[columns], bias float64[1]; starts at zero."""

    name = "linear"
    tasks: ClassVar[tuple[Task, ...]] = ("regression",)

    def initial(self, columns: int, seed: int) -> Parameters:
        return {"weights": np.zeros(columns), "bias": np.zeros(1)}

    def score(self, parameters: Parameters, features: Floats) -> Floats:
        return features @ parameters["weights"] + parameters["bias"]

    def backward(self, parameters: Parameters, features: Floats, slope: Floats) -> Parameters:
        return {"weights": slope @ features / len(slope), "bias": slope.mean(keepdims=True)}


class Logistic(Linear):
    """Logistic regression: the linear score, read as log-odds."""

    name = "logistic"
    tasks: ClassVar[tuple[Task, ...]] = ("classification",)


class Perceptron(Model):
    """One hidden layer of 16 tanh units: score = tanh(features @ W1 + b1) @ W2 + b2.

    hidden.weights float64[columns, 16], hidden.bias [16], output.weights [16], output.bias [1]. The weights start
    uniform within sqrt(6 / (inputs + outputs)) (Glorot and Bengio, AISTATS 2010), the biases at zero.
    """

    name = "mlp"
    tasks: ClassVar[tuple[Task, ...]] = ("classification", "regression")
    units: ClassVar[int] = 16

    def initial(self, columns: int, seed: int) -> Parameters:
        rng = local_rng(seed, 0, 0)
        hidden, output = math.sqrt(6.0 / (columns + self.units)), math.sqrt(6.0 / (self.units + 1))
        return {
            "hidden.weights": rng.uniform(-hidden, hidden, (columns, self.units)),
            "hidden.bias": np.zeros(self.units),
            "output.weights": rng.uniform(-output, output, self.units),
            "output.bias": np.zeros(1),
        }

    def score(self, parameters: Parameters, features: Floats) -> Floats:
        return self._hidden(parameters, features) @ parameters["output.weights"] + parameters["output.bias"]

    def backward(self, parameters: Parameters, features: Floats, slope: Floats) -> Parameters:
        hidden = self._hidden(parameters, features)
        into = np.outer(slope, parameters["output.weights"]) * (1.0 - np.square(hidden))
        return {
            "hidden.weights": features.T @ into / len(slope),
            "hidden.bias": into.mean(axis=0),
            "output.weights": slope @ hidden / len(slope),
            "output.bias": slope.mean(keepdims=True),
        }

    def _hidden(self, parameters: Parameters, features: Floats) -> Floats:
        return np.tanh(features @ parameters["hidden.weights"] + parameters["hidden.bias"])


MODELS: Mapping[str, type[Model]] = {model.name: model for model in (Linear, Logistic, Perceptron)}
EXTRAS: Mapping[str, tuple[str, str, str]] = {"torch-mlp": ("torch", "fedsec.learning.torch_models", "TabularNetwork")}
"""Models that need an extra, by name: the extra and its module, and where the model is."""


def build(name: str, task: Task) -> Model:
    """The named model for this task; "auto" is logistic for classification and linear for regression.

    Raises ConfigurationError for an unknown name, for a model whose extra is not installed, and for one that does not
    fit the task.
    """
    if name == "auto":
        name = "logistic" if task == "classification" else "linear"
    if name in EXTRAS:
        return _extra(name)(task)
    if name not in MODELS:
        raise unknown("model", name, ["auto", *MODELS, *EXTRAS])
    if task not in MODELS[name].tasks:
        fitting = ", ".join(sorted(fit for fit, model in MODELS.items() if task in model.tasks))
        raise ConfigurationError(f"model {name!r} does not do {task}; these do: auto, {fitting}")
    return MODELS[name](task)


def _extra(name: str) -> type[Model]:
    extra, module, kind = EXTRAS[name]
    if importlib.util.find_spec(extra) is None:
        raise ConfigurationError(f"model {name!r} needs {extra}, which is not installed: pip install 'fedsec[{extra}]'")
    found: type[Model] = getattr(importlib.import_module(module), kind)
    return found


def quality(task: Task, means: Mapping[str, float], target_scale: float = 1.0) -> dict[str, float]:
    """Figures to read, from means per example as `Model.evaluate` gives them, of one hospital or averaged over many.

    Classification: loss, accuracy, sensitivity (share of class 1 found), specificity (share of class 0 left alone).
    Regression: rmse in the target's original units, given target_scale, and r2 against the mean of the same rows.
    A share of nothing, such as the sensitivity without a row of class 1, is nan.
    """
    if task == "classification":
        return {
            "loss": means["loss"],
            "accuracy": means["accuracy"],
            "sensitivity": _share(means["tp"], means["tp"] + means["fn"]),
            "specificity": _share(means["tn"], means["tn"] + means["fp"]),
        }
    variance = means["target_square"] - means["target_mean"] ** 2
    loss = max(means["loss"], 0.0)  # a decoded mean may be a rounding step below zero
    return {"rmse": math.sqrt(loss) * target_scale, "r2": 1.0 - _share(loss, variance)}


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else math.nan


def _probability(score: Floats) -> Floats:
    """The logistic function, by way of tanh, which does not overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * score))
