"""What a round costs on this machine, from settings that were measured: a model for each phase of each strategy.

A model is linear in what the protocols' steps are made of: the contributors n, those m that each has to do with, the
values v and the columns c that they are packed into, and products of these. Its coefficients are not negative, and
relative errors are minimised: phase by phase, so that what is small in the settings that were measured, and grows
faster than the rest, is not lost in it. Errors count by their squares as far as TAME, and beyond by their size (P. J.
Huber, Robust estimation of a location parameter, 1964): a setting that something else disturbed does not bend the
others.
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
from scipy.optimize import least_squares, nnls  # type: ignore[import-untyped]

from fedsec import atomic
from fedsec.errors import ConfigurationError
from fedsec.simulations.costs.machine import QUIET, Load, describe_machine
from fedsec.simulations.costs.setting import Setting, contribution
from fedsec.simulations.run import results

FORMAT = 6
MORE_OFF, NO_MORE_OFF = 1.05, 0.005
"""A term of the model is left out if its error is then at most so many times what it was, or by so much more."""
TAME = 0.1
"""Relative error from which on a setting counts by its size, and no longer by its square."""
INSIDE = 1e-12
"""How far inside its bounds a search starts."""
LEAST = 1e-6
"""CPU seconds below which phases are not distinguished."""


def home() -> Path:
    """Where the model of this machine is kept."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "fedsec" / "cost-model.json"


class Step(NamedTuple):
    """One phase of a measured round: CPU seconds of its slowest hospital, and of the server."""

    phase: str
    hospital: float
    server: float


class Sample(NamedTuple):
    """One measured setting."""

    hospitals: int
    parameters: int
    steps: tuple[Step, ...]

    @property
    def hospital(self) -> float:
        """CPU seconds of a round: each phase's slowest hospital."""
        return sum(step.hospital for step in self.steps)

    @property
    def server(self) -> float:
        """CPU seconds of a round at the server."""
        return sum(step.server for step in self.steps)


class Fit(NamedTuple):
    """One strategy's coefficients by phase, its samples, and the settings that were not fitted."""

    hospital: Mapping[str, tuple[float, ...]]
    server: Mapping[str, tuple[float, ...]]
    samples: tuple[Sample, ...]
    checks: tuple[Sample, ...]


@dataclass(frozen=True)
class Model:
    """Fits by `key`: strategy, bits and key size.

    reference_seconds: the speed of the machine at which these seconds are (see `machine_speed`).
    load: how busy the machine was while it was measured.
    """

    fits: Mapping[str, Fit]
    reference_seconds: float
    load: Load = QUIET

    def cpu(self, setting: Setting) -> tuple[float, float]:
        """CPU seconds of a round: each phase's slowest hospital, and the server."""
        fit, hospital, server = self.fits[key(setting)], _of_hospital(setting), _of_server(setting)
        return (
            float(sum(np.dot(phase, hospital) for phase in fit.hospital.values())),
            float(sum(np.dot(phase, server) for phase in fit.server.values())),
        )

    def reach(self, setting: Setting) -> tuple[int, int]:
        """The most hospitals, and the most parameters, that a strategy was measured with."""
        samples = self.fits[key(setting)].samples
        return max(sample.hospitals for sample in samples), max(sample.parameters for sample in samples)

    def beyond(self, setting: Setting) -> str:
        """Up to where a strategy was measured, in words, where this setting lies beyond; "" where it lies within."""
        samples, (hospitals, parameters) = self.fits[key(setting)].samples, self.reach(setting)
        values = max(sample.hospitals * sample.parameters for sample in samples)
        limits = [f"{hospitals:,} hospitals"] if hospitals < setting.hospitals else []
        limits += [f"{parameters:,} parameters"] if parameters < setting.parameters else []
        if not limits and values < setting.hospitals * setting.parameters:
            limits = [f"{values:,} parameters of all hospitals together"]
        return " and ".join(limits)

    def write(self, path: Path) -> None:
        """Keep the model, whole or not at all."""
        document = {
            "format": FORMAT,
            "machine": describe_machine(),
            "versions": results.versions(),
            "reference_seconds": self.reference_seconds,
            "load": self.load._asdict(),
            "fits": {name: fit._asdict() for name, fit in self.fits.items()},
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, json.dumps(document, indent=1).encode() + b"\n")
        except OSError as error:
            raise ConfigurationError(f"the cost model cannot be kept in {path}: {error.strerror}") from error


def read(path: Path) -> Model | None:
    """The model that was kept; None where there is none of this machine, with these versions."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if (document["format"], document["machine"], document["versions"]) != (
            FORMAT,
            json.loads(json.dumps(describe_machine())),
            results.versions(),
        ):
            return None
        fits = {name: _fit_of(fit) for name, fit in document["fits"].items()}
        return Model(fits, float(document["reference_seconds"]), Load(**document["load"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fit_of(fit: Mapping[str, Any]) -> Fit:
    hospital, server = (
        {name: tuple(coefficients) for name, coefficients in fit[who].items()} for who in ("hospital", "server")
    )
    samples, checks = (
        tuple(
            Sample(hospitals, parameters, tuple(Step(*step) for step in steps)) for hospitals, parameters, steps in kind
        )
        for kind in (fit["samples"], fit["checks"])
    )
    return Fit(hospital, server, samples, checks)


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
    """Values that a contribution has besides its parameters."""
    return int(contribution(1, bits, 0)[0].size) - 1


HOSPITAL_SPARES, SERVER_SPARES = (6, 5, 4, 3), (5, 2, 4)
"""Which terms of the two lists below a phase may do without, those that grow fastest first."""


def _of_hospital(setting: Setting) -> list[float]:
    n, m, v, c = shape(setting)
    return [1.0, n, v, c, m * v, m * c, m * m * c]


def _of_server(setting: Setting) -> list[float]:
    n, m, v, c = shape(setting)
    return [1.0, n, n * m, n * v, n * c, n * m * c]


# The fit


def solve(
    rows: Sequence[Sequence[float]], measured: Sequence[float], dispensable: Sequence[int] = ()
) -> tuple[float, ...]:
    """Coefficients of least relative error, as Huber measures it, none below 0.

    Of the terms that are dispensable each is left out, in turn, unless the others are further off without it: one that
    explains noise and nothing else is what would be most wrong beyond what was measured.
    """
    matrix = np.array(rows, dtype=float)
    scale = matrix.max(axis=0)
    scale[scale == 0] = 1.0
    weighted = matrix / scale / np.maximum(measured, LEAST)[:, None]

    def solved(terms: Sequence[int]) -> tuple[NDArray[np.float64], float]:
        """The coefficients, and how far off they are, as a part of what was measured."""
        some = weighted[:, terms]
        start, _ = nnls(some, np.ones(len(measured)))
        best = least_squares(
            lambda coefficients: some @ coefficients - 1,
            np.maximum(start, INSIDE),
            jac=lambda _: some,
            bounds=(0, np.inf),
            loss="huber",
            f_scale=TAME,
            x_scale="jac",
        )
        return best.x, math.sqrt(2 * best.cost / len(measured))

    kept = list(range(matrix.shape[1]))
    coefficients, off = solved(kept)
    for term in dispensable:
        fewer = [other for other in kept if other != term]
        without, then = solved(fewer)
        if then <= max(off * MORE_OFF, off + NO_MORE_OFF):
            kept, coefficients, off = fewer, without, min(off, then)
    out = np.zeros(matrix.shape[1])
    out[kept] = coefficients
    return tuple(float(value) for value in out / scale)


def fit(samples: Sequence[Sample], checks: Sequence[Sample], setting: Setting) -> Fit:
    """The model of a strategy: `setting` says with what bits and keys it was measured."""
    hospital, server = {}, {}
    for phase in dict.fromkeys(step.phase for sample in samples for step in sample.steps):
        steps, settings = [], []
        for sample in samples:
            of_phase = [step for step in sample.steps if step.phase == phase]
            steps += of_phase
            settings += [replace(setting, hospitals=sample.hospitals, parameters=sample.parameters)] * len(of_phase)
        hospital[phase] = solve(list(map(_of_hospital, settings)), [step.hospital for step in steps], HOSPITAL_SPARES)
        server[phase] = solve(list(map(_of_server, settings)), [step.server for step in steps], SERVER_SPARES)
    return Fit(hospital, server, tuple(samples), tuple(checks))
