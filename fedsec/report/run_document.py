"""What a finished run left in its folder, as its page reads it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fedsec.errors import ConfigurationError
from fedsec.metering import Row

RESULT, LEDGER = "result.json", "ledger.csv"
Figures = Mapping[str, float | None]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Outcome(_Part):
    """One aggregation of a run."""

    round: int
    stage: str
    sampled: int
    included: int
    clipped: int
    failure: str = ""


class Reached(_Part):
    """Quality on the common test rows: before, after each round, and of those that it is compared with."""

    initial: Figures
    federated: Figures
    by_round: tuple[Figures, ...]
    fedavg: Figures
    pooled: Figures
    alone: tuple[Figures, ...]


class Intervals(_Part):
    """The measure that models are compared by, and its 95% interval for each of them."""

    metric: str
    federated: tuple[float | None, float | None]
    fedavg: tuple[float | None, float | None]
    pooled: tuple[float | None, float | None]
    alone: tuple[tuple[float | None, float | None], ...]


class Disclosed(_Part):
    """A hospital of which the released sums together tell something."""

    party: int
    hospital: str = ""
    rows: int | None
    train_loss: float | None = None
    loss: float | None = None


class Result(_Part):
    """result.json, as far as the page shows it."""

    format: Literal[1]
    configuration: Mapping[str, Any]
    task: str
    hospitals: tuple[str, ...] = ()
    rows: tuple[int, ...]
    cohort: int | None = None
    tolerance: Mapping[str, int]
    rounds: tuple[Outcome, ...]
    quality: Reached
    intervals: Intervals | None = None
    disclosed: tuple[Disclosed, ...] = ()
    warnings: tuple[str, ...] = ()
    largest_difference_to_fedavg: float | None
    network_seconds: Mapping[str, float]
    model_hash: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int | float]


def load(folder: Path) -> tuple[Result, list[Row]]:
    """What a run left in its folder; raises ConfigurationError where that is damaged."""
    try:
        result = Result.model_validate_json((folder / RESULT).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(f"{folder / RESULT} is not a run of this release: {where}: {first['msg']}") from None
    except OSError as error:
        raise ConfigurationError(f"{folder / RESULT} cannot be read: {error.strerror}") from error
    return result, _ledger(folder / LEDGER)


def _ledger(path: Path) -> list[Row]:
    texts = ("stage", "phase", "role")
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return [
            Row(**{key: value if key in texts else _number(value) for key, value in line.items()})  # type: ignore[arg-type]
            for line in reader
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} is not a ledger of this release: {error}") from error


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)
