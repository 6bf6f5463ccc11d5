"""A network of two layers, of which the hospitals share the first one, and the rows of one hospital."""

import numpy as np

from fedsec.data import bundled

FEATURES, HIDDEN = 30, 4
Arrays = dict[str, np.ndarray]


def is_personal(name: str) -> bool:
    """Whether an array stays in the hospital."""
    return name.startswith("head.")


def new_network() -> Arrays:
    """The arrays to start from, the same at each start."""
    draw = np.random.default_rng(1)
    return {
        "shared.weight": draw.normal(0, 0.2, (FEATURES, HIDDEN)).astype(np.float32),
        "shared.bias": np.zeros(HIDDEN, np.float32),
        "head.weight": draw.normal(0, 0.2, HIDDEN).astype(np.float32),
        "head.bias": np.array(0, np.float32),
    }


def load_rows(place: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Hospital `place`'s measurements, standardised by its own means, and 1.0 for each malignant tumour."""
    data = bundled.load("breast-cancer")
    features = data.features[place::places]
    return (features - features.mean(axis=0)) / features.std(axis=0), data.target[place::places]


def probabilities(arrays: Arrays, features: np.ndarray) -> np.ndarray:
    """Of each row, the probability of class 1."""
    return _forward(arrays, features)[1]


def train(arrays: Arrays, features: np.ndarray, target: np.ndarray, steps: int = 20, rate: float = 0.5) -> Arrays:
    """The arrays after `steps` steps of gradient descent, over all rows at once."""
    arrays = dict(arrays)
    for _ in range(steps):
        hidden, found = _forward(arrays, features)
        error = (found - target) / len(target)
        at_hidden = np.outer(error, arrays["head.weight"]) * (1 - hidden**2)
        slopes = {
            "shared.weight": features.T @ at_hidden,
            "shared.bias": at_hidden.sum(axis=0),
            "head.weight": hidden.T @ error,
            "head.bias": error.sum(),
        }
        arrays = {name: np.asarray(values - rate * slopes[name], np.float32) for name, values in arrays.items()}
    return arrays


def _forward(arrays: Arrays, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden = np.tanh(features @ arrays["shared.weight"] + arrays["shared.bias"])
    return hidden, 1 / (1 + np.exp(-(hidden @ arrays["head.weight"] + arrays["head.bias"])))
