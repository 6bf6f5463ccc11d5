"""What a round will cost before it is run: exact bytes, and CPU from a model that was fitted on this machine.

The model is linear in what the protocols' steps are made of: the contributors n, those m that each has to do with, the
values v and the columns c that they are packed into, and products of these. Its coefficients are not negative, and
relative errors are minimised.
"""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[import-untyped]

from fedsec import catalog, whole
from fedsec.encoding import FixedPoint
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.metering import Network
from fedsec.report.document import Comparison
from fedsec.simulations import allocator, cells, results, tasks
from fedsec.simulations.cells import Setting, contribution
from fedsec.simulations.foretelling import Foretold, foretell
from fedsec.simulations.sweep import machine

FORMAT = 2
HOSPITALS = (3, 7, 14)
CHECKS = ((5, 3_000), (5, 300_000), (9, 30_000))
"""Cells that are measured, and not fitted: the model is held against them."""
ORDER = (
    (3, 1_000), (3, 10_000), (3, 80_000), (14, 10_000), CHECKS[0], (14, 50_000), (3, 1_000_000), (7, 300_000),
    (7, 1_000), *CHECKS[1:],
)  # fmt: skip
"""The corners first: whatever time is left out leaves the model between cells that were measured. The first check is
measured wherever it takes no longer than AGAIN: each strategy is held against one at least."""
SLOW_CHECKS = ((6, 3),)
SLOW_ORDER = ((3, 10), (6, 1), SLOW_CHECKS[0])
"""In place of ORDER, after a first cell of SLOW_FIRST, where a single value takes long (see `cells.SLOW`)."""
SLOW_FIRST = (3, 1)
SECONDS, FIRST, LARGEST = 45.0, 0.75, 0.4
"""CPU seconds of a calibration; the part of them, shared out among the strategies, in which each cell is measured for
the first time; and the part of its share that a strategy's cell may take."""
HE_TAKES = 3.5
"""So many times the share of the others has homomorphic encryption."""
PATIENCE, WARM, AGAIN = 0.06, 0.25, 1.5
"""Each time, rounds of a cell go on for half so many seconds, and one is measured at least; with more than
`cells.LARGE` values, and more than the strategy had before, some that are not counted come first, for WARM seconds. A
cell that took longer than AGAIN is measured once."""
MORE_OFF, NO_MORE_OFF = 1.1, 0.005
"""A term of the model is left out if its error is then at most so many times what it was, or by so much more."""
BUSY = 0.3
"""Part of the processors above which other programs' load makes a calibration doubtful."""
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


HOSPITAL_SPARES, SERVER_SPARES = (7, 2, 6, 5, 4), (5, 2, 4)
"""Which terms of the two lists below a strategy may do without, those that grow fastest first."""


def _of_hospital(setting: Setting) -> list[float]:
    n, m, v, c = _shape(setting)
    return [1.0, n, m * m, v, c, m * v, m * c, m * m * c]


def _of_server(setting: Setting) -> list[float]:
    n, m, v, c = _shape(setting)
    return [1.0, n, n * m, n * v, n * c, n * m * c]


def _solve(
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
        _solve([_of_hospital(one) for one in at], [one.hospital for one in samples], HOSPITAL_SPARES),
        _solve([_of_server(one) for one in at], [one.server for one in samples], SERVER_SPARES),
        tuple(samples), tuple(checks),
    )  # fmt: skip


def calibrate(
    strategies: Sequence[str], bits: int, key_bits: int, follow: Callable[[str, float, float], None],
    seconds: float = SECONDS, hospitals: int = HOSPITALS[0], at: float | None = None,
) -> Model:  # fmt: skip
    """Measure each strategy in a few small cells, within `seconds` of CPU altogether, and fit the model.

    All cells of all strategies are measured in turn, and again while time is left: a processor that others share
    changes its speed from one second to the next, and a cell's median comes from moments that lie far apart. What was
    measured is brought to one pace of the machine: `at`, or the median of those moments.

    hospitals: of the cells of a strategy whose parameters allow none of ours.
    """
    tasks.settle()
    allocator.keep_freed()
    others, began = _Others(), time.process_time()  # what others do on the machine must not take from this time

    def left() -> float:
        return seconds - (time.process_time() - began)

    ordered = sorted(strategies, key=lambda name: (cells.family(name) == "he", cells.takes_keys(name)))
    clocks: list[_Clocks] = []
    for place, name in enumerate(ordered):
        follow(cells.label(name), seconds - left(), seconds)
        weights = [HE_TAKES if cells.family(one) == "he" else 1.0 for one in ordered[place:]]
        share = (left() - (1 - FIRST) * seconds) * weights[0] / sum(weights)
        clocks.append(_Clocks(Setting(name, 3, 1, bits, key_bits if cells.takes_keys(name) else None), hospitals))
        clocks[-1].begin(share)
    measuring = True
    while measuring:
        measuring = False
        for one in reversed(clocks):  # those with the fewest rounds so far first
            follow(cells.label(one.setting.strategy), seconds - left(), seconds)
            measuring |= one.again(left)
    follow("done", seconds, seconds)
    at = at or statistics.median(moment for one in clocks for moment in one.paces())
    return Model({key(one.setting): one.fit(at) for one in clocks}, at, others.processors())


class _Others:
    """How many processors other programs, and other machines on the same hardware, keep busy meanwhile."""

    def __init__(self) -> None:
        self.began, self.before, self.own = time.monotonic(), self._busy(), time.process_time()

    def processors(self) -> float:
        """On average since this was made; 0 where the system does not tell."""
        busy = self._busy() - self.before - (time.process_time() - self.own)
        return max(busy, 0.0) / max(time.monotonic() - self.began, 1e-6)

    @staticmethod
    def _busy() -> float:
        """Seconds that all processors have not been idle, or were not given, since the system started."""
        try:
            spent = [int(text) for text in Path("/proc/stat").read_text(encoding="ascii").split()[1:9]]
            return (sum(spent) - spent[3] - spent[4]) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0


class _Clocks:
    """Measures cells of one strategy; those with as many hospitals share the set-up, and the keys."""

    def __init__(self, setting: Setting, own: int) -> None:
        """own: hospitals of all cells where none of ORDER's can be run."""
        self.setting, self.slow = setting, False
        possible = {hospitals for hospitals in {own, *dict(ORDER)} if _possible(setting, hospitals)}
        self.order = [cell for cell in ORDER if cell[0] in possible]
        if not self.order and own in possible:
            self.order = [(own, parameters) for parameters in dict.fromkeys(many for _, many in ORDER[:6])]
        self.found: dict[int, tuple[cells.Federation, cells.Measured]] = {}
        self.measured: dict[tuple[int, int], list[cells.Measured]] = {}
        self.took: dict[tuple[int, int], float] = {}
        self.most = cells.LARGE
        self.latest: int | None = None

    def begin(self, seconds: float) -> None:
        """Each cell for the first time, ORDER's first: a round is expected to take in proportion to its numbers."""
        began = time.process_time()
        if cells.takes_keys(self.setting.strategy) and self.order:
            wall = self._measure(*SLOW_FIRST)
            self.slow = wall > cells.SLOW * SLOW_FIRST[0] * (SLOW_FIRST[1] + _scalars(self.setting.bits))
            if self.slow:
                for cell in SLOW_ORDER:
                    self._measure(*cell)
                return
            self.measured.clear()
        walls: dict[int, float] = {}
        for hospitals, parameters in self.order:
            values, limit = hospitals * parameters, min(seconds - (time.process_time() - began), seconds * LARGEST)
            if (hospitals, parameters) == CHECKS[0]:
                limit = max(limit, AGAIN)
            if PATIENCE + 2 * _expected(walls, values) < limit or not walls:
                walls[values] = self._measure(hospitals, parameters)
        if not self.measured:
            raise ConfigurationError(f"{self.setting.strategy}: none of the cells of the calibration can be run")

    def again(self, left: Callable[[], float]) -> bool:
        """Those that were measured once more, while seconds are left; whether any was."""
        due = [] if self.slow else sorted(self.measured)
        return any([self._measure(*cell) > 0 for cell in due if self.took[cell] < min(left(), AGAIN)])

    def _measure(self, hospitals: int, parameters: int) -> float:
        """Measure rounds, and return the seconds of one.

        One that is not counted comes before them where the cohort changes: caches keep the keys of few.
        """
        began = time.process_time()
        new = hospitals not in self.found
        if new:
            self.found[hospitals] = cells.found(replace(self.setting, hospitals=hospitals), 1)
        federation = self.found[hospitals][0]
        if hospitals != self.latest and not self.slow:
            self.latest = hospitals
            federation.resize(1)
            federation.once()
        if new:
            tasks.settle()
        federation.resize(parameters)
        gc.collect()
        if hospitals * parameters > self.most:
            self.most = hospitals * parameters
            cells.warm_up(federation.once, WARM)
        step = cells.Paced(federation.once)
        rounds, started = [step()], time.perf_counter()
        while not self.slow and time.perf_counter() - started + rounds[0].wall < PATIENCE / 2:
            rounds.append(step())
        self.measured.setdefault((hospitals, parameters), []).extend(one._replace(sum=None) for one in rounds)
        self.took[hospitals, parameters] = time.process_time() - began
        return min(one.wall for one in rounds)

    def paces(self) -> list[float]:
        """The machine's, beside each round."""
        return [one.pace for rounds in self.measured.values() for one in rounds if one.pace is not None]

    def fit(self, at: float) -> Fit:
        """The model of this strategy at that pace: medians are fitted, but those that it is held against."""
        samples: list[Sample] = []
        checks: list[Sample] = []
        for (hospitals, parameters), rounds in self.measured.items():
            cell = replace(self.setting, hospitals=hospitals, parameters=parameters)
            alone = [cells.summed(cell, self.found[hospitals][1], [one]) for one in rounds]
            one = Sample(
                hospitals, parameters,
                statistics.median(each.round.hospital_cpu_most.median * at / (each.pace or at) for each in alone),
                statistics.median(each.round.server_cpu.median * at / (each.pace or at) for each in alone),
            )  # fmt: skip
            (checks if (hospitals, parameters) in (*CHECKS, *SLOW_CHECKS) else samples).append(one)
        return fit(samples, checks, self.setting)


def _expected(walls: Mapping[int, float], values: int) -> float:
    """Seconds of a round with so many values of all hospitals, from those with other numbers of them.

    They begin where the smallest ended and grow by the lowest slope seen, which is at least a quarter of the lowest
    cost of a value: what a round costs without values is not foreseen in proportion to them.
    """
    if not walls:
        return 0.0
    fewest = min(walls)
    lowest = min(wall / many for many, wall in walls.items())
    slopes = [(wall - walls[fewest]) / (many - fewest) for many, wall in walls.items() if many != fewest]
    return walls[fewest] + max(min(slopes, default=lowest), lowest / 4) * max(values - fewest, 0)


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


class Check(NamedTuple):
    """A measured cell, and what the model says of it: CPU seconds of the hospitals and of the server."""

    strategy: str
    cell: Sample
    hospital: float
    server: float


def validation(model: Model) -> list[Check]:
    """Each cell of the calibration that was measured and not fitted, beside what the model says of it."""
    found = []
    for name, one in model.fits.items():
        strategy, bits, key_bits = json.loads(name)
        for check in one.checks:
            setting = Setting(strategy, check.hospitals, check.parameters, bits, key_bits)
            found.append(Check(cells.label(strategy), check, *model.cpu(setting)))
    return found


def against(model: Model, compared: Comparison) -> list[Check]:
    """Each cell that a comparison measured whole, beside what the model says of it at the pace of that moment.

    Without cells whose strategy, bits or keys were not calibrated, with silent hospitals, or of a release that did not
    note the pace.
    """
    names = {}
    for name in model.fits:
        strategy, bits, key_bits = json.loads(name)
        names[cells.label(strategy), bits, key_bits] = strategy
    found = []
    for cell in compared.cells:
        strategy = names.get((cell.strategy, cell.bits, cell.key_bits))
        if strategy is None or cell.status != "measured" or cell.round is None or cell.silent or cell.pace is None:
            continue
        one = Sample(cell.hospitals, cell.parameters, cell.round.hospital_cpu_most.median, cell.round.server_cpu.median)
        told = model.cpu(Setting(strategy, cell.hospitals, cell.parameters, cell.bits, cell.key_bits))
        found.append(Check(cell.strategy, one, *(seconds * cell.pace / model.pace for seconds in told)))
    return found
