"""What a round costs on this machine, from the cells that were measured: a model for each strategy.

The model is linear in what the protocols' steps are made of: the contributors n, those m that each has to do with, the
values v and the columns c that they are packed into, and products of these. Its coefficients are not negative, and
relative errors are minimised.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[import-untyped]

from fedsec import whole
from fedsec.errors import ConfigurationError
from fedsec.simulations import results
from fedsec.simulations.cells import Setting, contribution
from fedsec.simulations.sweep import machine

FORMAT = 2
MORE_OFF, NO_MORE_OFF = 1.1, 0.005
"""A term of the model is left out if its error is then at most so many times what it was, or by so much more."""
BUSY = 0.3
"""Part of the processors above which other programs' load makes a calibration doubtful."""


def home() -> Path:
    """Where the model of this machine is kept."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "fedsec" / "cost-model.json"


class Sample(NamedTuple):
    """One measured cell: CPU seconds of a round, of the slowest hospital of each phase, and of the server."""

    hospitals: int
    parameters: int
    hospital: float
    server: float


class Fit(NamedTuple):
    """One strategy's coefficients, its samples, and the cells that were not fitted."""

    hospital: tuple[float, ...]
    server: tuple[float, ...]
    samples: tuple[Sample, ...]
    checks: tuple[Sample, ...]


@dataclass(frozen=True)
class Model:
    """Fits by `key`: strategy, bits and key size.

    pace: the machine's, at which these seconds are (see `pace`).
    others: how many processors other programs kept busy while it was measured.
    """

    fits: Mapping[str, Fit]
    pace: float
    others: float = 0.0

    @property
    def doubtful(self) -> bool:
        """Whether others took so much of the machine that the same work took longer than it does alone."""
        return self.others > BUSY * (os.cpu_count() or 1)

    def cpu(self, setting: Setting) -> tuple[float, float]:
        """CPU seconds of a round: each phase's slowest hospital, and the server."""
        fit = self.fits[key(setting)]
        return float(np.dot(fit.hospital, _of_hospital(setting))), float(np.dot(fit.server, _of_server(setting)))

    def write(self, path: Path) -> None:
        """Keep the model, whole or not at all."""
        document = {
            "format": FORMAT, "machine": machine(), "versions": results.versions(), "pace": self.pace,
            "others": self.others, "fits": {name: fit._asdict() for name, fit in self.fits.items()},
        }  # fmt: skip
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole.write(path, json.dumps(document, indent=1).encode() + b"\n")
        except OSError as error:
            raise ConfigurationError(f"the cost model cannot be kept in {path}: {error.strerror}") from error


def read(path: Path) -> Model | None:
    """The model that was kept; None where there is none of this machine, with these versions."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if (document["format"], document["machine"], document["versions"]) != (
            FORMAT, json.loads(json.dumps(machine())), results.versions(),
        ):  # fmt: skip
            return None
        fits = {name: _fit_of(fit) for name, fit in document["fits"].items()}
        return Model(fits, float(document["pace"]), float(document["others"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fit_of(fit: Mapping[str, Any]) -> Fit:
    samples, checks = (tuple(Sample(*one) for one in fit[name]) for name in ("samples", "checks"))
    return Fit(tuple(fit["hospital"]), tuple(fit["server"]), samples, checks)


def key(setting: Setting) -> str:
    """Under which name a setting's fit is kept."""
    return json.dumps([setting.strategy, setting.bits, setting.key_bits])


# The terms


def shape(setting: Setting) -> tuple[int, int, int, int]:
    """n, m, v and c."""
    protocol, clients = setting.protocol(), setting.clients
    values = setting.parameters + scalars(setting.bits)
    return setting.hospitals, protocol.peers(clients), values, protocol.columns(clients, values)


@functools.lru_cache(maxsize=64)
def scalars(bits: int) -> int:
    return int(contribution(1, bits, 0)[0].size) - 1


HOSPITAL_SPARES, SERVER_SPARES = (7, 2, 6, 5, 4), (5, 2, 4)
"""Which terms of the two lists below a strategy may do without, those that grow fastest first."""


def _of_hospital(setting: Setting) -> list[float]:
    n, m, v, c = shape(setting)
    return [1.0, n, m * m, v, c, m * v, m * c, m * m * c]


def _of_server(setting: Setting) -> list[float]:
    n, m, v, c = shape(setting)
    return [1.0, n, n * m, n * v, n * c, n * m * c]


# The fit


def solve(
    rows: Sequence[Sequence[float]], measured: Sequence[float], dispensable: Sequence[int] = ()
) -> tuple[float, ...]:
    """Coefficients of least squared relative error, none below 0.

    Of the terms that are dispensable each is left out, in turn, unless the others are further off without it: one that
    explains noise and nothing else is what would be most wrong beyond the cells that were measured.
    """
    matrix = np.array(rows, dtype=float)
    scale = matrix.max(axis=0)
    scale[scale == 0] = 1.0
    weighted = matrix / scale / np.array(measured)[:, None]

    def solved(terms: Sequence[int]) -> tuple[NDArray[np.float64], float]:
        """The coefficients, and how far off they are, as a part of what was measured."""
        found, norm = nnls(weighted[:, terms], np.ones(len(measured)))
        freedom = max(len(measured) - np.count_nonzero(found), 1)
        return found, float(norm) / math.sqrt(freedom)

    kept = list(range(matrix.shape[1]))
    found, off = solved(kept)
    for term in dispensable:
        fewer = [one for one in kept if one != term]
        without, then = solved(fewer)
        if then <= max(off * MORE_OFF, off + NO_MORE_OFF):
            kept, found, off = fewer, without, min(off, then)
    out = np.zeros(matrix.shape[1])
    out[kept] = found
    return tuple(float(value) for value in out / scale)


def fit(samples: Sequence[Sample], checks: Sequence[Sample], setting: Setting) -> Fit:
    """The model of a strategy: `setting` says with what bits and keys it was measured."""
    at = [replace(setting, hospitals=one.hospitals, parameters=one.parameters) for one in samples]
    return Fit(
        solve([_of_hospital(one) for one in at], [one.hospital for one in samples], HOSPITAL_SPARES),
        solve([_of_server(one) for one in at], [one.server for one in samples], SERVER_SPARES),
        tuple(samples), tuple(checks),
    )  # fmt: skip
