"""The datasets of the simulations: bundled with scikit-learn, so nothing is ever downloaded.

scikit-learn is imported where it is used: the import takes over a second, which a command that only lists names or
trains on rows it already has should not wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError, DataError, unknown

Task = Literal["classification", "regression"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of features with one target each, checked when made.

    features: float64[rows, columns], in the units of the source, or without unit once `split` has standardised them.
    target: float64[rows]; 0.0 or 1.0 for classification, any finite number for regression.
    target_mean, target_scale: the target in the units of the source is `target * target_scale + target_mean`.

    Raises DataError, naming column and row, for a shape, dtype or value that does not fit.
    """

    name: str
    task: Task
    features: Floats
    target: Floats
    feature_names: tuple[str, ...]
    source: str
    target_mean: float = 0.0
    target_scale: float = 1.0

    def __post_init__(self) -> None:
        rows = len(self.target) if self.target.ndim == 1 else -1
        expected = (rows, len(self.feature_names))
        if rows < 1 or self.features.shape != expected:
            raise DataError(
                f"{self.name}: features have shape {self.features.shape} and target {self.target.shape}; expected "
                f"(rows, {expected[1]}) and (rows,), with at least one row"
            )
        for field, values in (("features", self.features), ("target", self.target)):
            if values.dtype != np.float64:
                raise DataError(f"{self.name}: {field} has dtype {values.dtype}; expected float64")
        self._check_values()

    def _check_values(self) -> None:
        bad = np.argwhere(~np.isfinite(np.column_stack([self.features, self.target])))
        if len(bad):
            row, column = bad[0]
            value = self.target[row] if column == len(self.feature_names) else self.features[row, column]
            name = (*self.feature_names, "target")[column]
            raise DataError(
                f"{self.name}: column {name!r}, row {row}: {value}; every value must be finite "
                f"({len(bad)} of {self.features.size + self.target.size} are not)"
            )
        if self.task == "classification":
            neither = np.flatnonzero((self.target != 0.0) & (self.target != 1.0))
            if len(neither):
                row = neither[0]
                raise DataError(f"{self.name}: column 'target', row {row}: {self.target[row]}; expected 0 or 1")

    def take(self, rows: NDArray[np.int64]) -> Dataset:
        """The dataset of these rows alone, in their order. Raises DataError when `rows` is empty."""
        return replace(self, features=self.features[rows], target=self.target[rows])


def _breast_cancer() -> Dataset:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return Dataset(
        name="breast-cancer",
        task="classification",
        features=np.asarray(bunch.data, dtype=np.float64),
        # scikit-learn says 0 = malignant; here the finding that a hospital looks for is the positive class.
        target=(bunch.target == 0).astype(np.float64),
        feature_names=tuple(str(name) for name in bunch.feature_names),
        source="Breast Cancer Wisconsin (Diagnostic), UCI, 1995; scikit-learn's copy; target 1 = malignant",
    )


def _diabetes() -> Dataset:
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    return Dataset(
        name="diabetes",
        task="regression",
        features=np.asarray(bunch.data, dtype=np.float64),
        target=np.asarray(bunch.target, dtype=np.float64),
        feature_names=tuple(str(name) for name in bunch.feature_names),
        source="Efron et al., Least Angle Regression, 2004; scikit-learn's copy, unscaled; target = disease "
        "progression one year after baseline",
    )


DATASETS: Mapping[str, Callable[[], Dataset]] = {"breast-cancer": _breast_cancer, "diabetes": _diabetes}


def load(name: str) -> Dataset:
    """The named dataset, unscaled: breast-cancer is float64[569, 30], diabetes float64[442, 10].

    Raises ConfigurationError for a name that is not in DATASETS.
    """
    if not isinstance(name, str) or name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name]()


def split(dataset: Dataset, seed: int, test_fraction: float = 0.2) -> tuple[Dataset, Dataset]:
    """A training part and a held-out test part, as `held_out` draws them, standardised in one place.

    Features have mean 0 and standard deviation 1 over the training rows, and so has a regression target, whose scale
    is kept in `target_mean` and `target_scale`; the test part is scaled by the training part's figures. The scaler
    sees all hospitals' training rows at once, which suits a comparison of costs; a federated run sums the figures
    securely (`preparation`).
    """
    train, test = held_out(dataset, seed, test_fraction)
    return _standardise(dataset.take(train), dataset.take(test))


class Labelled(Protocol):
    """Rows with a label."""

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def target(self) -> Floats: ...


def held_out(dataset: Labelled, seed: int, test_fraction: float = 0.2) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of a training and of a test part, drawn by `seed`, stratified by class for classification.

    seed: 0 .. 2**32 - 1. test_fraction: between 0 and 1, both excluded.
    Raises ConfigurationError for a seed or fraction out of range, and DataError for a single class, a class or a
    dataset too small to split, or a regression target without spread.
    """
    from sklearn.model_selection import train_test_split

    if not 0.0 < test_fraction < 1.0:
        raise ConfigurationError(f"test_fraction is {test_fraction}; it must be between 0 and 1, both excluded")
    if not 0 <= seed < 2**32:
        raise ConfigurationError(f"seed is {seed}; it must be from 0 to 2**32 - 1")
    _check_target(dataset)
    stratify = dataset.target if dataset.task == "classification" else None
    try:
        train_rows, test_rows = train_test_split(
            np.arange(len(dataset.target)), test_size=test_fraction, random_state=seed, stratify=stratify
        )
    except ValueError as error:
        raise DataError(
            f"{dataset.name}: {len(dataset.target)} rows cannot be split with test_fraction {test_fraction}: {error}"
        ) from error
    return train_rows, test_rows


def _check_target(dataset: Labelled) -> None:
    if dataset.task == "classification":
        positive = int(dataset.target.sum())
        negative = len(dataset.target) - positive
        if min(positive, negative) < 2:
            raise DataError(
                f"{dataset.name}: target has {negative} rows of class 0 and {positive} of class 1; each class needs "
                f"at least 2"
            )


def _standardise(train: Dataset, test: Dataset) -> tuple[Dataset, Dataset]:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.features)
    mean, scale = 0.0, 1.0
    if train.task == "regression":
        mean, scale = float(train.target.mean()), float(train.target.std())
        if scale == 0.0:
            raise DataError(f"{train.name}: target is {mean} in all {len(train.target)} training rows; it must vary")
    scaled = [
        replace(
            part,
            features=scaler.transform(part.features),
            target=(part.target - mean) / scale,
            target_mean=part.target_mean + part.target_scale * mean,
            target_scale=part.target_scale * scale,
        )
        for part in (train, test)
    ]
    return scaled[0], scaled[1]
