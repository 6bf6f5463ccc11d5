"""The model, its arrays, and the rows of one hospital."""

import numpy as np
from flwr.app import Array, ArrayRecord
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

CLASSES, PIXELS = 10, 64


def new_model() -> LogisticRegression:
    """A model of zeros. `warm_start` makes `fit` go on from the coefficients that are set."""
    model = LogisticRegression(max_iter=5, warm_start=True)
    model.classes_ = np.arange(CLASSES)
    model.coef_ = np.zeros((CLASSES, PIXELS))
    model.intercept_ = np.zeros(CLASSES)
    return model


def get_arrays(model: LogisticRegression) -> ArrayRecord:
    """What is trained, as Flower sends it."""
    return ArrayRecord({"coef_": Array(model.coef_), "intercept_": Array(model.intercept_)})


def set_arrays(model: LogisticRegression, arrays: ArrayRecord) -> None:
    """Put what Flower sent into the model."""
    model.coef_ = arrays["coef_"].numpy()
    model.intercept_ = arrays["intercept_"].numpy()


def load_rows(place: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Hospital `place`'s images, each pixel from 0 to 1, and their digits."""
    images, digits = load_digits(return_X_y=True)
    return images[place::places] / 16, digits[place::places]
