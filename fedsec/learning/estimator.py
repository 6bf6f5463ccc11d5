"""A trained model as an estimator of scikit-learn, for whoever wants to apply or to examine it in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.data.new_rows import NewRows, new_rows
from fedsec.errors import ConfigurationError, DataError
from fedsec.learning import trained_model
from fedsec.learning.intervals import no_intervals
from fedsec.learning.outcomes.survival import risk
from fedsec.learning.trained_model import TrainedModel

SHOWN = 5
"""How many refused rows an error names."""


class Coefficient(NamedTuple):
    """What a feature adds to a linear model's score: log-odds, the label's standard deviations, or the logarithm of an
    expected count or of a hazard.

    scaled: for one standard deviation of a number, or for a level. unit: for one unit of the number as it came.
    """

    feature: str
    scaled: float
    unit: float


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both tasks have in common; `trained` is the model as its file has it."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained

    def fit(self, X: Any, y: Any = None) -> Any:
        """Refuse: the model was trained across hospitals."""
        raise ConfigurationError("this model was trained across hospitals and cannot be fitted here: `fedsec run` does")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """The columns that are read, in their order."""
        return np.array([column.name for column in self.trained.schema.columns], dtype=object)

    @property
    def n_features_in_(self) -> int:
        """How many columns are read."""
        return len(self.trained.schema.columns)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The names of the prepared features, in the order of the coefficients."""
        return np.array(self.trained.features, dtype=object)

    @property
    def coef_(self) -> Floats:
        """float64[1, prepared features] of a linear model, a row for each class of several; AttributeError else."""
        weights = self._weights()
        return weights.T if weights.ndim == 2 else np.atleast_2d(weights)

    @property
    def intercept_(self) -> Floats:
        """float64[1] of a linear model, one for each class of several; raises AttributeError for any other.

        Of a survival time they are the log hazards of the intervals.
        """
        self._weights()
        return self.trained.parameters["bias"]

    def coefficients(self) -> list[Coefficient]:
        """The coefficients of a linear model by the name of the feature.

        Raises AttributeError for any other, and for one of several classes, whose coefficients `coef_` has.
        """
        if self._weights().ndim == 2:
            raise AttributeError("a model of several classes has coefficients for each of them: coef_ has them")
        width = {one.name: one.deviation or 1.0 for one in self.trained.preparation.numbers}
        return [
            Coefficient(name, float(weight), float(weight) / width.get(name, 1.0))
            for name, weight in zip(self.trained.features, self._weights(), strict=True)
        ]

    def predict_interval(self, X: Any) -> Floats:
        """float64[rows, 2]: from and to, as `fedsec predict` has it; NaN where no rows were given a like probability.

        Raises AttributeError where the run could not tell how far predictions are off.
        """
        if self.trained.intervals is None:
            raise AttributeError(no_intervals(self.trained.task))
        return self.trained.intervals.of(self._predicted(X))

    def _weights(self) -> Floats:
        if self.trained.parameters.keys() != {"weights", "bias"}:
            raise AttributeError(f"model {self.trained.model!r} is not linear and has no coefficients")
        return self.trained.parameters["weights"]

    def _predicted(self, X: Any) -> Floats:
        """What is predicted of a data frame, of columns by name, or of rows in the order of `feature_names_in_`."""
        rows = self._rows(X)
        return self.trained.predict(rows.numbers, rows.levels)

    def _rows(self, X: Any) -> NewRows:
        """The rows under the model's schema.

        Raises DataError where columns are missing or rows are refused.
        """
        columns = _columns(X, list(self.feature_names_in_))
        rows = new_rows("X", columns, self.trained.schema)
        if rows.refused:
            first = [f"row {row}: {why}" for row, why in list(rows.refused.items())[:SHOWN]]
            more = f" and {len(rows.refused) - SHOWN} more rows" if len(rows.refused) > SHOWN else ""
            raise DataError(f"{'; '.join(first)}{more}. Rows count from 0; correct them, or leave them out")
        return rows


class FederatedClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier of two classes: 1 is the label's positive one."""

    @property
    def classes_(self) -> NDArray[np.int64]:
        """0 and 1; 1 is the class that the schema calls positive."""
        return np.array([0, 1])

    def predict_proba(self, X: Any) -> Floats:
        """float64[rows, 2]: the probabilities of class 0 and class 1."""
        positive = self._predicted(X)
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: Any) -> NDArray[np.int64]:
        """int64[rows]: 1 from the model's threshold on."""
        return (self._predicted(X) >= self.trained.threshold).astype(np.int64)


class FederatedMulticlass(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier of three classes or more, under the names that the schema gives them."""

    @property
    def classes_(self) -> NDArray[np.object_]:
        """The classes, in the order of the probabilities."""
        return np.array(self.trained.schema.label.classes, dtype=object)

    def predict_proba(self, X: Any) -> Floats:
        """float64[rows, classes]: the probability of each class."""
        return self._predicted(X)

    def predict(self, X: Any) -> NDArray[np.object_]:
        """object[rows]: the most likely class."""
        return np.asarray(self.classes_[self._predicted(X).argmax(axis=1)])


class FederatedSurvival(_Estimator):
    """Proportional hazards of the time to an event."""

    @property
    def event_times_(self) -> Floats:
        """float64[intervals]: the ends of the intervals, at which survival is predicted."""
        return np.array(self.trained.schema.label.edges[1:])

    def predict_survival_function(self, X: Any) -> Floats:
        """float64[rows, intervals]: the probability that the event has not come by each of `event_times_`."""
        return self._predicted(X)

    def predict(self, X: Any) -> Floats:
        """float64[rows]: the log of the mean hazard of an interval; a higher one is a higher risk."""
        rows = self._rows(X)
        return risk(self.trained.score(rows.numbers, rows.levels))


class FederatedRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor, in the label's own units; of a count, what is expected."""

    def predict(self, X: Any) -> Floats:
        """float64[rows], in the label's own units."""
        return self._predicted(X)


Estimator = FederatedClassifier | FederatedMulticlass | FederatedRegressor | FederatedSurvival
KINDS: Mapping[Task, type[Estimator]] = {
    "classification": FederatedClassifier,
    "multiclass": FederatedMulticlass,
    "regression": FederatedRegressor,
    "count": FederatedRegressor,
    "survival": FederatedSurvival,
}


def load_model(path: str | Path) -> Estimator:
    """The model of a run as an estimator of scikit-learn.

    path: a folder of `fedsec run`, or its model.safetensors. Raises ConfigurationError where there is none.
    """
    trained = trained_model.read(Path(path))
    return KINDS[trained.task](trained)


def _columns(X: Any, names: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """Raw columns by name."""
    if hasattr(X, "columns"):  # a data frame, of pandas or of polars
        return {str(name): list(X[name]) for name in X.columns}
    if isinstance(X, Mapping):
        return {str(name): list(values) for name, values in X.items()}
    return _of_rows(X, names)


def _of_rows(X: ArrayLike, names: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    rows = np.asarray(X, dtype=object)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise DataError(f"X has shape {rows.shape}; rows of {len(names)} columns were expected: {', '.join(names)}")
    return {name: rows[:, place].tolist() for place, name in enumerate(names)}
