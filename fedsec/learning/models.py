"""Small models in plain numpy, trained by mini-batch SGD, over named float64 arrays.

A model turns features into one score per row, such as the log-odds of class 1 or the standardised target, or into
several. The loss, its slope and the metrics follow from the scores by task (outcomes), and are the same for every
model.
"""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.errors import ConfigurationError, DataError, unknown
from fedsec.learning import outcomes
from fedsec.learning.outcomes import OUTCOMES, Outcome
from fedsec.learning.outcomes.binary import Binary

Parameters = dict[str, NDArray[np.float64]]

COUNTS = Binary.counts
"""The metrics of a classification that count rows, as shares of all rows."""


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
    """A model for one task. It holds no parameters: they are passed in and new ones are returned.

    outputs: scores of a row: one for each class of several, one for each interval of a survival time, and else 1.
    start: where the log hazards of a survival time's intervals start (`Preparation.start`); by default at a cumulative
    hazard of 1 over all of them.
    """

    task: Task
    outputs: int = 1
    start: tuple[float, ...] = ()
    name: ClassVar[str]
    tasks: ClassVar[tuple[Task, ...]]

    @cached_property
    def outcome(self) -> Outcome:
        """What the task makes of the scores."""
        return outcomes.of(self.task, self.outputs)

    @abstractmethod
    def initial(self, columns: int, seed: int) -> Parameters:
        """The parameters before training for `columns` features: the same for every hospital with this seed."""

    @abstractmethod
    def score(self, parameters: Parameters, features: Floats) -> Floats:
        """float64[rows], or [rows, outputs] where there are several, from float64[rows, columns]."""

    @abstractmethod
    def backward(self, parameters: Parameters, features: Floats, slope: Floats) -> Parameters:
        """The gradient of the mean loss by every parameter; slope: the derivative of each row's loss by its scores."""

    def loss_and_gradient(self, parameters: Parameters, features: Floats, target: Floats) -> tuple[float, Parameters]:
        """The mean loss over these rows and its gradient by every parameter."""
        score = self.score(parameters, features)
        slope = self.outcome.slope(score, target)
        return float(self.outcome.loss(score, target).mean()), self.backward(parameters, features, slope)

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
            loss = float(self.outcome.loss(self.score(new, features), target).mean())
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
        """What the scores stand for, in their shape: a probability, an expectation, or a chance of no event so far."""
        return self.outcome.predict(self.score(parameters, features))

    def evaluate(self, parameters: Parameters, features: Floats, target: Floats, cut: float = 0.0) -> dict[str, float]:
        """Means per example only, so that hospitals' values aggregate by the mean weighted by rows.

        The loss, and what the task has beside it (`Outcome.per_row`): of two classes accuracy, and tp, fp, tn, fn,
        shares of all rows, class 1 being predicted from log-odds of `cut` on.
        Raises DataError where the shapes do not fit the parameters or there is no row.
        """
        self._check_shapes(parameters, features, target)
        score = self.score(parameters, features)
        values = {"loss": self.outcome.loss(score, target), **self.outcome.per_row(score, target, cut)}
        return {name: float(per_row.mean()) for name, per_row in values.items()}

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
        return {"weights": np.zeros(_width(self, columns)), "bias": _bias(self)}

    def score(self, parameters: Parameters, features: Floats) -> Floats:
        return _scores(self, features, parameters["weights"], parameters["bias"])

    def backward(self, parameters: Parameters, features: Floats, slope: Floats) -> Parameters:
        return {"weights": _into(features, parameters["weights"], slope), "bias": _onto(slope)}


class Logistic(Linear):
    """Logistic regression: the linear score, read as log-odds."""

    name = "logistic"
    tasks: ClassVar[tuple[Task, ...]] = ("classification",)


class Poisson(Linear):
    """Poisson regression: the linear score, read as the logarithm of the expected count over the mean count."""

    name = "poisson"
    tasks: ClassVar[tuple[Task, ...]] = ("count",)


class Softmax(Linear):
    """Multinomial logistic regression: weights float64[columns, classes], bias float64[classes]."""

    name = "softmax"
    tasks: ClassVar[tuple[Task, ...]] = ("multiclass",)


class Hazards(Linear):
    """Proportional hazards: weights float64[columns] are log hazard ratios, bias float64[intervals] log hazards."""

    name = "hazards"
    tasks: ClassVar[tuple[Task, ...]] = ("survival",)


class Perceptron(Model):
    """One hidden layer of 16 tanh units: score = tanh(features @ W1 + b1) @ W2 + b2.

    hidden.weights float64[columns, 16], hidden.bias [16], output.weights [16], output.bias [1]; of several classes the
    outputs are as `Softmax` has them, of a survival time as `Hazards` has them. The weights start uniform within
    sqrt(6 / (inputs + outputs)) (Glorot and Bengio, AISTATS 2010), the biases as a linear model's.
    """

    name = "mlp"
    tasks: ClassVar[tuple[Task, ...]] = tuple(OUTCOMES)
    units: ClassVar[int] = 16

    def initial(self, columns: int, seed: int) -> Parameters:
        rng = local_rng(seed, 0, 0)
        hidden, output = math.sqrt(6.0 / (columns + self.units)), math.sqrt(6.0 / (self.units + 1))
        return {
            "hidden.weights": rng.uniform(-hidden, hidden, (columns, self.units)),
            "hidden.bias": np.zeros(self.units),
            "output.weights": rng.uniform(-output, output, _width(self, self.units)),
            "output.bias": _bias(self),
        }

    def score(self, parameters: Parameters, features: Floats) -> Floats:
        hidden = self._hidden(parameters, features)
        return _scores(self, hidden, parameters["output.weights"], parameters["output.bias"])

    def backward(self, parameters: Parameters, features: Floats, slope: Floats) -> Parameters:
        hidden = self._hidden(parameters, features)
        weights = parameters["output.weights"]
        into = _back(slope, weights) * (1.0 - np.square(hidden))
        return {
            "hidden.weights": features.T @ into / len(slope),
            "hidden.bias": into.mean(axis=0),
            "output.weights": _into(hidden, weights, slope),
            "output.bias": _onto(slope),
        }

    def _hidden(self, parameters: Parameters, features: Floats) -> Floats:
        return np.tanh(features @ parameters["hidden.weights"] + parameters["hidden.bias"])


def _width(model: Model, inputs: int) -> tuple[int, ...]:
    """The shape of a layer's weights: a row's scores of several classes have each their own."""
    return (inputs, model.outputs) if model.task == "multiclass" else (inputs,)


def _bias(model: Model) -> Floats:
    if model.task != "survival":
        return np.zeros(model.outputs)
    return np.array(model.start or [-math.log(model.outputs)] * model.outputs, np.float64)


def _scores(model: Model, inputs: Floats, weights: Floats, bias: Floats) -> Floats:
    """float64[rows], or [rows, outputs]: of a survival time each interval's bias is added to the same score."""
    found: Floats = inputs @ weights
    return np.asarray(found[:, None] + bias if model.task == "survival" else found + bias)


def _into(inputs: Floats, weights: Floats, slope: Floats) -> Floats:
    """The gradient by a layer's weights."""
    if weights.ndim == 2:
        return np.asarray(inputs.T @ slope / len(slope))
    return np.asarray(_together(slope) @ inputs / len(slope))


def _onto(slope: Floats) -> Floats:
    """The gradient by a layer's bias."""
    return np.asarray(slope.mean(axis=0) if slope.ndim == 2 else slope.mean(keepdims=True))


def _back(slope: Floats, weights: Floats) -> Floats:
    """float64[rows, inputs]: the derivative of each row's loss by a layer's inputs."""
    return slope @ weights.T if weights.ndim == 2 else np.outer(_together(slope), weights)


def _together(slope: Floats) -> Floats:
    """float64[rows]: the derivative by one score that several have in common."""
    return slope.sum(axis=1) if slope.ndim == 2 else slope


MODELS: Mapping[str, type[Model]] = {
    model.name: model for model in (Linear, Logistic, Poisson, Softmax, Hazards, Perceptron)
}
EXTRAS: Mapping[str, tuple[str, str, str]] = {"torch-mlp": ("torch", "fedsec.learning.torch_models", "TabularNetwork")}
"""Models that need an extra, by name: the extra and its module, and where the model is."""


AUTO: Mapping[Task, str] = {model.tasks[0]: model.name for model in (Linear, Logistic, Poisson, Softmax, Hazards)}
"""The model that `auto` takes."""


def build(name: str, task: Task, outputs: int = 1, start: tuple[float, ...] = ()) -> Model:
    """The named model for this task; "auto" is the linear one: logistic for classification, linear for regression.

    outputs, start: as `Model` has them. Raises ConfigurationError for an unknown name, for a model whose extra is not
    installed, and for one that does not fit the task.
    """
    name = AUTO[task] if name == "auto" else name
    kind = _extra(name) if name in EXTRAS else MODELS.get(name)
    if kind is None:
        raise unknown("model", name, ["auto", *MODELS, *EXTRAS])
    if task not in kind.tasks:
        fitting = ", ".join(sorted(fit for fit, model in MODELS.items() if task in model.tasks))
        raise ConfigurationError(f"model {name!r} does not do {task}; these do: auto, {fitting}")
    model = kind(task, outputs, start)
    _ = model.outcome  # which checks how many outputs there are
    return model


def _extra(name: str) -> type[Model]:
    extra, module, kind = EXTRAS[name]
    if importlib.util.find_spec(extra) is None:
        raise ConfigurationError(f"model {name!r} needs {extra}, which is not installed: pip install 'fedsec[{extra}]'")
    found: type[Model] = getattr(importlib.import_module(module), kind)
    return found
