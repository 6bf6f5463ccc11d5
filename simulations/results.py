"""What a run leaves behind: live progress while it runs, and result.json, ledger.csv and the model when it is done."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fedsec import __version__
from fedsec.flower import Round, SecureAggregation
from fedsec.metering import NETWORKS, Row
from fedsec.simulations import baselines
from fedsec.simulations.config import RunConfig
from fedsec.simulations.datasets import Dataset

PROGRESS = "progress.jsonl"
RESULT, LEDGER, MODEL = "result.json", "ledger.csv", "model.safetensors"
FORMAT = 1


class Progress:
    """Events of a run, one JSON object a line, for whoever follows the file; nothing where there is no output."""

    def __init__(self, output: str) -> None:
        self.folder = Path(output).expanduser() if output else None
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / PROGRESS).open("a", buffering=1, encoding="utf-8") if self.folder else None

    def tell(self, event: str, **details: Any) -> None:
        """Write one event."""
        if self._file is not None:
            self._file.write(json.dumps({"event": event, **tidy(details)}) + "\n")

    def phase(self, row: Row) -> None:
        """A phase is over."""
        if row.role == "hospital":
            self.tell("phase", **asdict(row))

    def round(self, outcome: Round) -> None:
        """An aggregation is over."""
        self.tell("round", **asdict(outcome))


def tidy(value: Any) -> Any:
    """`value` with everything in it as JSON has it: NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): tidy(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [tidy(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def model_hash(parameters: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of a model, in hexadecimal."""
    digest = hashlib.sha256()
    for name, array in sorted(parameters.items()):
        digest.update(json.dumps([name, list(array.shape), array.dtype.str]).encode() + array.tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """What this run was computed with."""
    names = ("flwr", "ray", "numpy", "scikit-learn", "cryptography", "gmpy2", "numba")
    return {"fedsec": __version__, "python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def finish(
    config: RunConfig,
    secure: SecureAggregation,
    final: dict[str, NDArray[np.float64]],
    tested: Sequence[Mapping[str, float]],
    data: tuple[Dataset, Dataset, list[NDArray[np.int64]]],
    progress: Progress,
) -> dict[str, Any]:
    """Compute the baselines, write the files, result.json last, and return what it holds."""
    train, test, parts = data
    training, clients = config.training(train.task), range(1, len(parts) + 1)
    parameters, history = baselines.fedavg(training, train, parts, test)
    protocol = secure.protocol
    document: dict[str, Any] = {
        "format": FORMAT,
        "configuration": {
            **config.model_dump(by_alias=True, exclude={"output", "clients"}), "clients": len(parts),
            "parameters": protocol.parameters(), "model": training.model.name, "learning-rate": training.rate,
        },
        "task": train.task,
        "rows": [len(part) for part in parts],
        "tolerance": {phase.__name__: count for phase, count in protocol.tolerance(clients).items()},
        "rounds": [asdict(outcome) for outcome in secure.rounds],
        "quality": {
            "initial": tested[0],
            "federated": tested[-1],
            "by_round": tested[1:],
            "fedavg": history[-1],
            "pooled": baselines.pooled(training, train, test),
            "alone": baselines.alone(training, train, parts, test),
        },
        "largest_difference_to_fedavg": _difference(final, parameters) if config.aggregator == "fedavg" else None,
        "network_seconds": {name: network.seconds(secure.ledger.rows) for name, network in NETWORKS.items()},
        "model_hash": model_hash(final),
        "versions": versions(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
    }  # fmt: skip
    if progress.folder is not None:
        secure.ledger.write(progress.folder / LEDGER)
        write(progress.folder / MODEL, save({name: np.ascontiguousarray(array) for name, array in final.items()}))
        write(progress.folder / RESULT, json.dumps(tidy(document), indent=1).encode() + b"\n")
    progress.tell("done")
    return document


def comparison(document: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """The rows of the final table: who trained, and the quality on the common test rows."""
    quality, strategy = document["quality"], document["configuration"]["strategy"]
    alone = quality["alone"]
    mean = {key: float(np.mean([row[key] for row in alone])) for key in quality["pooled"]}
    rows = [
        (f"federated, {strategy}", quality["federated"]),
        ("plain FedAvg", quality["fedavg"]),
        ("pooled data", quality["pooled"]),
        ("each alone, mean", mean),
    ]
    return rows + [(f"hospital {place} alone", row) for place, row in enumerate(alone, start=1)]


def _difference(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
