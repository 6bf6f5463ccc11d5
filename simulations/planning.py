"""What a round will cost before it is run: exact bytes, and CPU from a model that was fitted on this machine.

The model is linear in what the protocols' steps are made of: the contributors n, those m that each has to do with, the
values v and the columns c that they are packed into, and products of these. Its coefficients are not negative, and
relative errors are minimised.
"""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls  # type: ignore[import-untyped]

from fedsec import catalog
from fedsec.encoding import FixedPoint
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.metering import Network
from fedsec.simulations import cells, results, tasks
from fedsec.simulations.cells import Setting, contribution
from fedsec.simulations.foretelling import Foretold, foretell
from fedsec.simulations.sweep import machine

FORMAT = 1
HOSPITALS = (3, 8, 16)
CHECKS = ((5, 3_000), (12, 30_000))
"""Cells that are measured, and not fitted: the model is held against them."""
ORDER = (
    (3, 1_000), (3, 80_000), (16, 1_000), (8, 80_000), (8, 10_000), CHECKS[0], (16, 10_000), CHECKS[1], (3, 10_000),
    (8, 1_000), (3, 4_000),
)  # fmt: skip
"""The corners first: whatever time is left out leaves the model between cells that were measured."""
SLOW_CHECKS = ((5, 8),)
SLOW_ORDER = ((3, 16), (6, 4), SLOW_CHECKS[0])
"""In place of ORDER, after a first cell of SLOW_FIRST, where a single value takes long (see `cells.SLOW`)."""
SLOW_FIRST = (3, 4)
SECONDS = 43.0
KEYS_TAKE = 2.5
"""So many times the share of the others has a strategy with keys."""
TURNS, REPETITIONS, PATIENCE = 4, 3, 0.06
"""The cells of a strategy are measured in turn, and again while time is left: a processor that others share changes its
speed from one second to the next. Each turn has so many rounds of a cell, or as many as fit in PATIENCE seconds."""
EXACT_UP_TO, CURVE_EXACT = 64, 0
"""Hospitals up to which bytes are found by rounds of a few parameters, in a plan and on its curve; beyond, they follow
from those of a few numbers of hospitals."""
CURVE = (3, 10, 30, 100, 300, 1_000, 10_000, 100_000, 1_000_000)


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
    """Fits by `key`: strategy, bits and key size."""

    fits: Mapping[str, Fit]

    def cpu(self, setting: Setting) -> tuple[float, float]:
        """CPU seconds of a round: each phase's slowest hospital, and the server."""
        fit = self.fits[key(setting)]
        return float(np.dot(fit.hospital, _of_hospital(setting))), float(np.dot(fit.server, _of_server(setting)))

    def write(self, path: Path) -> None:
        """Keep the model, whole or not at all."""
        document = {
            "format": FORMAT, "machine": machine(), "versions": results.versions(),
            "fits": {name: fit._asdict() for name, fit in self.fits.items()},
        }  # fmt: skip
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            results.write(path, json.dumps(document, indent=1).encode() + b"\n")
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
        return Model({name: _fit_of(fit) for name, fit in document["fits"].items()})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fit_of(fit: Mapping[str, Any]) -> Fit:
    samples, checks = (tuple(Sample(*one) for one in fit[name]) for name in ("samples", "checks"))
    return Fit(tuple(fit["hospital"]), tuple(fit["server"]), samples, checks)


def key(setting: Setting) -> str:
    """Under which name a setting's fit is kept."""
    return json.dumps([setting.strategy, setting.bits, setting.key_bits])


def variants() -> list[str]:
    """Every strategy of the catalogue, and each of its variants against a server that breaks the protocol."""
    found = []
    for name in catalog.names():
        found.append(name)
        server = {field.name: field.default for field in fields(catalog.strategy(name))}.get("server")
        if server == "semi-honest":
            found.append(f"{name}:server=malicious")
    return found


# The model


def _shape(setting: Setting) -> tuple[int, int, int, int]:
    """n, m, v and c."""
    protocol, clients = setting.protocol(), setting.clients
    values = setting.parameters + _scalars(setting.bits)
    return setting.hospitals, protocol.peers(clients), values, protocol.columns(clients, values)


@functools.lru_cache(maxsize=64)
def _scalars(bits: int) -> int:
    return int(contribution(1, bits, 0)[0].size) - 1


def _of_hospital(setting: Setting) -> list[float]:
    n, m, v, c = _shape(setting)
    return [1.0, n, m * m, v, c, m * v, m * c, m * m * c]


def _of_server(setting: Setting) -> list[float]:
    n, m, v, c = _shape(setting)
    return [1.0, n, n * m, n * v, n * c, n * m * c]


def _solve(rows: Sequence[Sequence[float]], measured: Sequence[float]) -> tuple[float, ...]:
    """Coefficients of least squared relative error, none below 0."""
    matrix = np.array(rows, dtype=float)
    scale = matrix.max(axis=0)
    scale[scale == 0] = 1.0
    weights = 1.0 / np.array(measured)
    found, _ = nnls(matrix / scale * weights[:, None], np.ones(len(measured)))
    return tuple(float(value) for value in found / scale)


def fit(samples: Sequence[Sample], checks: Sequence[Sample], setting: Setting) -> Fit:
    """The model of a strategy: `setting` says with what bits and keys it was measured."""
    at = [replace(setting, hospitals=one.hospitals, parameters=one.parameters) for one in samples]
    return Fit(
        _solve([_of_hospital(one) for one in at], [one.hospital for one in samples]),
        _solve([_of_server(one) for one in at], [one.server for one in samples]),
        tuple(samples), tuple(checks),
    )  # fmt: skip


def calibrate(
    strategies: Sequence[str], bits: int, key_bits: int, follow: Callable[[str, float, float], None],
    seconds: float = SECONDS, hospitals: int = HOSPITALS[0],
) -> Model:  # fmt: skip
    """Measure each strategy in a few small cells, within `seconds` of CPU altogether, and fit the model.

    hospitals: of the cells of a strategy whose parameters allow none of ours.
    """
    fits = {}
    tasks.settle()
    began = time.process_time()  # what others do on the machine must not make the model worse
    ordered = sorted(strategies, key=cells.takes_keys)
    for place, name in enumerate(ordered):
        follow(cells.label(name), place, len(strategies))
        setting = Setting(name, 3, 1, bits, key_bits if cells.takes_keys(name) else None)
        left = seconds - (time.process_time() - began)
        weights = [KEYS_TAKE if cells.takes_keys(one) else 1.0 for one in ordered[place:]]
        fits[key(setting)] = _measured(setting, left * weights[0] / sum(weights), hospitals)
    follow("done", len(strategies), len(strategies))
    return Model(fits)


def _measured(setting: Setting, seconds: float, own: int) -> Fit:
    """Cells in turn while time is left, ORDER's first: a round is expected to take in proportion to its numbers.

    own: hospitals of all cells where none of ORDER's can be run.
    """
    order: Sequence[tuple[int, int]] = ORDER
    if not any(_possible(setting, hospitals) for hospitals, _ in ORDER):
        order = tuple((own, parameters) for _, parameters in ORDER[:5])
    began, clocks = time.process_time(), _Clocks(setting)
    slow = False
    if cells.takes_keys(setting.strategy):
        wall = clocks.measure(*SLOW_FIRST, 1, warm=True)
        slow = wall > cells.SLOW * SLOW_FIRST[0] * (SLOW_FIRST[1] + _scalars(setting.bits))
        if not slow:
            clocks.measured.clear()
    rates: list[float] = []
    for turn in range(1 if slow else TURNS):
        for hospitals, parameters in SLOW_ORDER if slow else order:
            if (turn and (hospitals, parameters) not in clocks.measured) or not _possible(setting, hospitals):
                continue
            expected = PATIENCE + 2 * min(rates, default=0.0) * hospitals * parameters
            if clocks.measured and not slow and time.process_time() - began + expected > seconds:
                continue
            wall = clocks.measure(hospitals, parameters, 1 if slow else REPETITIONS, warm=not slow)
            rates.append(wall / (hospitals * parameters))
    samples, checks = clocks.samples()
    if not samples:
        raise ConfigurationError(f"{setting.strategy}: none of the cells of the calibration can be run")
    return fit(samples, checks, setting)


class _Clocks:
    """Measures cells of one strategy; those with as many hospitals share the set-up, and the keys."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.found: dict[int, tuple[cells.Federation, cells.Measured]] = {}
        self.measured: dict[tuple[int, int], list[cells.Measured]] = {}

    def measure(self, hospitals: int, parameters: int, repetitions: int, warm: bool) -> float:
        """Measure rounds, and return the seconds of one; where `warm`, one in each cohort fills caches first."""
        if hospitals not in self.found:
            self.found[hospitals] = cells.found(replace(self.setting, hospitals=hospitals), 1)
            if warm:
                self.found[hospitals][0].once()
        rounds = cells.rounds(self.found[hospitals][0], parameters, repetitions, PATIENCE)
        self.measured.setdefault((hospitals, parameters), []).extend(rounds)
        return min(one.wall for one in rounds)

    def samples(self) -> tuple[list[Sample], list[Sample]]:
        """What was measured, medians: what is fitted, and what is not."""
        samples: list[Sample] = []
        checks: list[Sample] = []
        for (hospitals, parameters), rounds in self.measured.items():
            cell = replace(self.setting, hospitals=hospitals, parameters=parameters)
            total = cells.summed(cell, self.found[hospitals][1], rounds).round
            one = Sample(hospitals, parameters, total.hospital_cpu_most.median, total.server_cpu.median)
            (checks if (hospitals, parameters) in (*CHECKS, *SLOW_CHECKS) else samples).append(one)
        return samples, checks


def _possible(setting: Setting, hospitals: int) -> bool:
    try:
        replace(setting, hospitals=hospitals).check()
    except FedsecError:
        return False
    return True


# What is told of a setting


class Wanted(NamedTuple):
    """What is asked for: how many colluding hospitals must be withstood, with a server that follows or breaks."""

    colluding: int
    server_breaks: bool
    dropout: float


class Prospect(NamedTuple):
    """What one strategy would cost, or why it cannot serve."""

    strategy: str
    why_not: str
    headroom: float = 0.0
    """Bits by which the sum could grow before it were no longer exact."""
    hospital: float = 0.0
    server: float = 0.0
    up: float = 0.0
    down: float = 0.0
    exact: bool = True
    phases: int = 0
    seconds: float = 0.0
    withstands: int = -1
    silent: int = 0


def prospects(
    strategies: Sequence[str], setting: Setting, wanted: Wanted, network: Network, model: Model, key_bits: int
) -> list[Prospect]:
    """Every strategy in this setting: those that can serve first, by seconds from end to end."""
    found = []
    for name in strategies:
        one = replace(setting, strategy=name, key_bits=key_bits if cells.takes_keys(name) else None)
        found.append(_prospect(one, wanted, network, model))
    return sorted(found, key=lambda one: (bool(one.why_not), one.seconds, one.strategy))


def _prospect(setting: Setting, wanted: Wanted, network: Network, model: Model) -> Prospect:
    name = cells.label(setting.strategy)
    try:
        why = _unfit(setting, wanted)
    except FedsecError as error:
        why = str(error)
    if why:
        return Prospect(name, why)
    protocol = setting.protocol()
    traffic = bytes_of(setting)
    hospital, server = model.cpu(setting)
    wire = len(traffic.phases) * 2 * network.latency + traffic.down_most / network.down + traffic.up_most / network.up
    return Prospect(
        name, "", headroom(setting), hospital, server, traffic.up, traffic.down, setting.hospitals <= EXACT_UP_TO,
        len(traffic.phases), wire + hospital + server, protocol.withstands(setting.clients, wanted.server_breaks),
        protocol.tolerance(setting.clients)[protocol.input_phase],
    )  # fmt: skip


def possible(setting: Setting, name: str, key_bits: int) -> bool:
    """Whether a strategy can be run in this setting at all."""
    try:
        return _possible(replace(setting, strategy=name, key_bits=key_bits if cells.takes_keys(name) else None),
                         setting.hospitals)  # fmt: skip
    except FedsecError:
        return False


def headroom(setting: Setting) -> float:
    """Bits between the largest sum of this setting and the largest that the strategy holds."""
    largest = setting.hospitals * ((1 << setting.bits) - 1)
    return math.log2(setting.protocol().capacity(setting.clients)) - math.log2(largest)


def _unfit(setting: Setting, wanted: Wanted) -> str:
    """Why a strategy does not give what is asked for; raises FedsecError where it cannot be run at all."""
    setting.check()
    protocol = setting.protocol()
    if not protocol.private:
        return "it shows the server every input"
    promised = protocol.withstands(setting.clients, wanted.server_breaks)
    if promised < wanted.colluding:
        how = "breaks" if wanted.server_breaks else "follows"
        told = f"{promised} colluding hospitals" if promised >= 0 else "nothing"
        return f"with a server that {how} the protocol it withstands {told}"
    return ""


def bytes_of(setting: Setting, exact_up_to: int = EXACT_UP_TO) -> Foretold:
    """The bytes of a round: exact up to so many hospitals, extrapolated in n, v, c and m * c beyond."""
    if setting.hospitals <= exact_up_to:
        return _foretold(setting)
    sizes = (3, 8, 16, 24)
    known = [_foretold(replace(setting, hospitals=n)) for n in sizes]

    def line(figure: Callable[[Foretold], float]) -> float:
        rows = [_grows(replace(setting, hospitals=n)) for n in sizes]
        values = [figure(one) for one in known]
        return float(np.dot(_solve(rows, values), _grows(setting)))

    return Foretold(
        known[-1].phases, line(lambda one: one.up), round(line(lambda one: one.up_most)),
        line(lambda one: one.down), round(line(lambda one: one.down_most)),
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _foretold(setting: Setting) -> Foretold:
    return foretell(setting)


def _grows(setting: Setting) -> list[float]:
    n, m, v, c = _shape(setting)
    return [1.0, n, v, c, m * c]


def error_bound(setting: Setting, clip: float) -> float:
    """The largest error of a coordinate of the mean, where all weights are equal."""
    return FixedPoint(setting.bits, clip).error_bound(setting.hospitals, 1.0, setting.hospitals)


def validation(model: Model) -> list[tuple[str, Sample, tuple[float, float]]]:
    """Each cell that was measured and not fitted, beside what the model says of it."""
    found = []
    for name, one in model.fits.items():
        strategy, bits, key_bits = json.loads(name)
        for check in one.checks:
            setting = Setting(strategy, check.hospitals, check.parameters, bits, key_bits)
            found.append((cells.label(strategy), check, model.cpu(setting)))
    return found
