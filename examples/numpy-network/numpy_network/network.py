"""A network with one hidden layer in NumPy, its BatchNorm, and the rows of one hospital.

The arrays have the names that PyTorch would give them. fedsec averages `running_mean`, `running_var`,
`num_batches_tracked` and all integers as values, and everything else as changes from the global model.
"""

import numpy as np

from fedsec.data import bundled

FEATURES, HIDDEN = 30, 8
MOMENTUM, EPSILON = 0.1, 1e-5
Arrays = dict[str, np.ndarray]


def new_network() -> Arrays:
    """The arrays to start from, the same at each start."""
    draw = np.random.default_rng(1)
    return {
        "norm.weight": np.ones(FEATURES, np.float32),
        "norm.bias": np.zeros(FEATURES, np.float32),
        "norm.running_mean": np.zeros(FEATURES, np.float32),
        "norm.running_var": np.ones(FEATURES, np.float32),
        "norm.num_batches_tracked": np.array(0),
        "hidden.weight": draw.normal(0, 0.2, (FEATURES, HIDDEN)).astype(np.float32),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "out.weight": draw.normal(0, 0.2, HIDDEN).astype(np.float32),
        "out.bias": np.array(0, np.float32),
    }


def load_rows(place: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Hospital `place`'s measurements in their own units, and 1.0 for each malignant tumour."""
    data = bundled.load("breast-cancer")
    return data.features[place::places], data.target[place::places]


def probabilities(arrays: Arrays, features: np.ndarray) -> np.ndarray:
    """Of each row, the probability of class 1, by the running statistics."""
    spread = np.sqrt(arrays["norm.running_var"] + EPSILON)
    return _forward(arrays, (features - arrays["norm.running_mean"]) / spread)[2]


def train(arrays: Arrays, features: np.ndarray, target: np.ndarray, steps: int = 20, rate: float = 0.3) -> Arrays:
    """The arrays after `steps` steps of gradient descent, over all rows at once."""
    arrays = {name: np.array(values) for name, values in arrays.items()}
    mean, variance = features.mean(axis=0), features.var(axis=0)
    scaled = (features - mean) / np.sqrt(variance + EPSILON)
    for _ in range(steps):
        for name, slope in _slopes(arrays, scaled, target).items():
            arrays[name] = np.asarray(arrays[name] - rate * slope, np.float32)
        unbiased = variance * len(target) / (len(target) - 1)
        for name, seen in (("norm.running_mean", mean), ("norm.running_var", unbiased)):
            arrays[name] = np.asarray((1 - MOMENTUM) * arrays[name] + MOMENTUM * seen, np.float32)
        arrays["norm.num_batches_tracked"] += 1
    return arrays


def _forward(arrays: Arrays, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row: the normalised features, the hidden layer, and the probability of class 1."""
    normed = arrays["norm.weight"] * scaled + arrays["norm.bias"]
    hidden = np.tanh(normed @ arrays["hidden.weight"] + arrays["hidden.bias"])
    return normed, hidden, 1 / (1 + np.exp(-(hidden @ arrays["out.weight"] + arrays["out.bias"])))


def _slopes(arrays: Arrays, scaled: np.ndarray, target: np.ndarray) -> Arrays:
    """The gradient of the mean cross-entropy. The statistics are of the input, so none of it flows through them."""
    normed, hidden, found = _forward(arrays, scaled)
    error = (found - target) / len(target)
    at_hidden = np.outer(error, arrays["out.weight"]) * (1 - hidden**2)
    at_norm = at_hidden @ arrays["hidden.weight"].T
    return {
        "norm.weight": (at_norm * scaled).sum(axis=0),
        "norm.bias": at_norm.sum(axis=0),
        "hidden.weight": normed.T @ at_hidden,
        "hidden.bias": at_hidden.sum(axis=0),
        "out.weight": hidden.T @ error,
        "out.bias": error.sum(),
    }
