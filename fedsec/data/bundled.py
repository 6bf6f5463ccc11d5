"""The datasets of the simulations: bundled with scikit-learn, so nothing is ever downloaded.

The files are read from where scikit-learn is installed, and rows are held out as it would: to import it takes seconds,
in each process of a run.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedsec import extras
from fedsec.data.label import Task
from fedsec.errors import ConfigurationError, DataError, unknown

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of features with one target each, checked when made.

    features: float64[rows, columns], in the units of the source, or without unit once `split` has standardised them.
    target: float64[rows]; 0.0 or 1.0 for classification, any finite number for regression, and else as
    fedsec.data.label has it, a survival time in intervals.
    target_mean, target_scale: the target in the units of the source is `target * target_scale + target_mean`.
    outputs: scores that a model has for a row. start: where the log hazards of a survival time's intervals start.

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
    outputs: int = 1
    start: tuple[float, ...] = ()

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


def inside(package: str, file: str) -> Path:
    """A file of an installed package, without importing the package.

    Raises ConfigurationError where the package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(package)
    path = Path(next(iter(spec.submodule_search_locations or [""]))) / file if spec is not None else None
    if path is None or not path.is_file():
        cure = extras.install(package) or f": pip install {package}"
        raise ConfigurationError(f"this dataset comes with the package {package}, which is not installed{cure}")
    return path


def _breast_cancer() -> Dataset:
    values = np.loadtxt(inside("sklearn", "datasets/data/breast_cancer.csv"), delimiter=",", skiprows=1)
    return Dataset(
        name="breast-cancer",
        task="classification",
        features=np.ascontiguousarray(values[:, :-1]),
        # scikit-learn says 0 = malignant; here the finding that a hospital looks for is the positive class.
        target=(values[:, -1] == 0).astype(np.float64),
        feature_names=(
            *(f"mean {name}" for name in _OF_NUCLEI),
            *(f"{name} error" for name in _OF_NUCLEI),
            *(f"worst {name}" for name in _OF_NUCLEI),
        ),
        source="Breast Cancer Wisconsin (Diagnostic), UCI, 1995; scikit-learn's copy; target 1 = malignant",
    )


def _diabetes() -> Dataset:
    features, target = (
        np.loadtxt(inside("sklearn", f"datasets/data/diabetes_{name}.csv.gz")) for name in ("data_raw", "target")
    )
    return Dataset(
        name="diabetes",
        task="regression",
        features=features,
        target=target,
        feature_names=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        source="Efron et al., Least Angle Regression, 2004; scikit-learn's copy, unscaled; target = disease "
        "progression one year after baseline",
    )


_OF_NUCLEI = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
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
    if not 0.0 < test_fraction < 1.0:
        raise ConfigurationError(f"test_fraction is {test_fraction}; it must be between 0 and 1, both excluded")
    if not 0 <= seed < 2**32:
        raise ConfigurationError(f"seed is {seed}; it must be from 0 to 2**32 - 1")
    _check_target(dataset)
    rows = len(dataset.target)
    testing = math.ceil(test_fraction * rows)
    classes = [dataset.target == value for value in (0.0, 1.0)] if dataset.task == "classification" else []
    if min(testing, rows - testing) < max(len(classes), 1):
        raise DataError(
            f"{dataset.name}: {rows} rows cannot be split with test_fraction {test_fraction}: {rows - testing} for "
            f"training and {testing} for the test, and each needs at least {max(len(classes), 1)}"
        )
    rng = np.random.RandomState(seed)  # whose draws never change
    if not classes:
        drawn = rng.permutation(rows)
        return drawn[testing:], drawn[:testing]
    return _stratified([np.flatnonzero(one) for one in classes], testing, rng)


def _stratified(
    classes: Sequence[NDArray[np.int64]], testing: int, rng: np.random.RandomState
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A training part, and a test part of `testing` rows, with the shares of these classes: as scikit-learn draws them.

    So a seed means the same rows as `train_test_split(..., random_state=seed, stratify=classes)`.
    """
    sizes = np.array([len(rows) for rows in classes])
    trained = _shares(sizes, int(sizes.sum()) - testing, rng)
    tested = _shares(sizes - trained, testing, rng)
    parts: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for rows, first, then in zip(classes, trained, tested, strict=True):
        drawn = rows[rng.permutation(len(rows))]
        parts[0].append(drawn[:first])
        parts[1].append(drawn[first : first + then])
    return rng.permutation(np.concatenate(parts[0])), rng.permutation(np.concatenate(parts[1]))


def _shares(sizes: NDArray[np.int64], total: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """How many of `total` rows each class gets, by its size: the largest remainders are rounded up, ties by lot."""
    exact = sizes / sizes.sum() * total
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    rest, missing = exact - shares, int(total - shares.sum())
    for value in np.unique(rest)[::-1]:
        if missing == 0:
            break
        equal = np.flatnonzero(rest == value)
        lucky = rng.choice(equal, size=min(len(equal), missing), replace=False)
        shares[lucky] += 1
        missing -= len(lucky)
    return shares


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
