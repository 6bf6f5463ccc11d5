"""The shape of costs: over networks, over hospitals and parameters, and of HE against SMPC."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from fedsec.report import units
from fedsec.report.analysis import WHOLE, Setting, cells_of, family, settings
from fedsec.report.document import Cell, Comparison


@dataclass(frozen=True)
class Plane:
    """Over bandwidths, each winner's interval of latencies, if any; `share` is of the plane, on log axes."""

    bandwidths: list[float]
    regions: dict[str, list[tuple[float, float] | None]]
    share: dict[str, float]


BANDWIDTH, LATENCY, COLUMNS = (0.125e6, 1.25e9), (1e-4, 0.5), 240
"""The plane's sides, in bytes a second and in seconds, and how many bandwidths are looked at."""


def logspace(low: float, high: float, number: int) -> list[float]:
    """From low to high in equal ratios."""
    return [low * (high / low) ** (step / (number - 1)) for step in range(number)]


def line(cell: Cell) -> tuple[float, float, float]:
    """What a round costs over networks: seconds of CPU, bytes one after another, and one-way latencies."""
    if cell.round is None:
        raise ValueError("only a whole round has a time from end to end")
    phases = [phase for phase in cell.phases if phase.stage == "train"]
    traffic = sum(phase.down_most + phase.up_most for phase in phases)
    return cell.round.hospital_cpu_most.median + cell.round.server_cpu.median, traffic, 2.0 * len(phases)


def plane(cells: Mapping[str, Cell]) -> Plane:
    """The cheapest of `cells`, by name, over bandwidth (the same both ways) and latency.

    Time is linear in the latency: at one bandwidth, each strategy is cheapest in one interval or nowhere.
    """
    lines = {name: line(cell) for name, cell in cells.items()}
    bandwidths = logspace(*BANDWIDTH, COLUMNS)
    regions: dict[str, list[tuple[float, float] | None]] = {name: [] for name in lines}
    for bandwidth in bandwidths:
        here = {name: (fixed + traffic / bandwidth, slope) for name, (fixed, traffic, slope) in lines.items()}
        for name in lines:
            regions[name].append(_interval(name, here))
    height = math.log(LATENCY[1] / LATENCY[0])
    share = {
        name: sum(math.log(part[1] / part[0]) / height for part in parts if part) / COLUMNS
        for name, parts in regions.items()
    }
    won = [name for name in sorted(share, key=lambda name: -share[name]) if share[name] > 0]
    return Plane(bandwidths, {name: regions[name] for name in won}, {name: share[name] for name in won})


def _interval(name: str, lines: Mapping[str, tuple[float, float]]) -> tuple[float, float] | None:
    """Where one line lies lowest; equal lines go to the first."""
    low, high = LATENCY
    fixed, slope = lines[name]
    names = list(lines)
    for place, other in enumerate(names):
        above, steep = lines[other]
        if steep == slope:
            if above < fixed or (above == fixed and place < names.index(name)):
                return None
        elif steep > slope:
            low = max(low, (fixed - above) / (steep - slope))
        else:
            high = min(high, (fixed - above) / (steep - slope))
    return (low, high) if low < high else None


# Sentences about series


Points = Mapping[str, Sequence[tuple[float, float]]]
"""By strategy, a cost over hospitals, parameters or bits."""


def series(
    comparison: Comparison, setting: Setting, axis: str, figure: Callable[[Cell], float | None]
) -> dict[str, list[tuple[float, float, Cell]]]:
    """By strategy, a positive figure over one part of the setting, all others being as they are."""
    found: dict[str, list[tuple[float, float, Cell]]] = {}
    for cell in comparison.cells:
        value = getattr(cell, axis)
        if setting._replace(**{axis: value}).holds(cell):
            height = figure(cell)
            if height is not None and math.isfinite(height) and height > 0:
                found.setdefault(cell.strategy, []).append((value, height, cell))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def lowest(points: Points, what: str) -> str:
    """Who is lowest from where to where: `additive is lowest up to 10 hospitals, shamir from 30 on`."""
    places = sorted({x for line in points.values() for x, _ in line})
    winners = [
        min(((dict(line)[x], name) for name, line in points.items() if x in dict(line)), default=(0.0, ""))[1]
        for x in places
    ]
    if not winners:
        return ""
    if len(places) == 1:
        return f"{winners[0]} is lowest at {places[0]:,.0f} {what}"
    if len(set(winners)) == 1:
        return f"{winners[0]} is lowest at every number of {what} measured"
    runs: list[tuple[str, float, float]] = []
    for x, name in zip(places, winners, strict=True):
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1], x)
        else:
            runs.append((name, x, x))
    phrases = []
    for place, (name, first, last) in enumerate(runs):
        if place == 0:
            until = f"up to {last:,.0f}" if last > first else f"at {last:,.0f}"
            phrases.append(f"{name} is lowest {until} {what}")
        elif place == len(runs) - 1:
            phrases.append(f"{name} from {first:,.0f} on")
        else:
            phrases.append(f"{name} from {first:,.0f} to {last:,.0f}" if last > first else f"{name} at {first:,.0f}")
    return units.words(phrases)


def growth(points: Points, what: str) -> str:
    """By how much costs grow over the widest range that all lines cover."""
    places = sorted({x for line in points.values() for x, _ in line})
    if len(places) < 2:
        return ""
    lines, first, last = list(points.values()), places[0], places[-1]
    ratios = sorted(dict(line)[last] / dict(line)[first] for line in lines if {first, last} <= dict(line).keys())
    if not ratios:
        return ""
    by = units.times(ratios[0])
    if units.times(ratios[-1]) != by:
        by = f"between {by} and {units.times(ratios[-1])}"
    return f"From {first:,.0f} to {last:,.0f} {what} it grows {by}"


# HE against SMPC


class Families(NamedTuple):
    """Over the settings with whole rounds of both families: how HE's median compares with SMPC's."""

    settings: int
    cpu_above: int
    cpu_ratio: float
    phases_below: int
    phases_same: int
    he_phases: float
    smpc_phases: float
    bytes_ratio: float


def work(cell: Cell) -> float:
    """Seconds of CPU in a round, one after another: each phase's slowest hospital, and the server."""
    return line(cell)[0]


def families(comparison: Comparison) -> Families | None:
    """HE against SMPC over all settings, or None where no setting has both."""
    rows = []
    for setting in settings(comparison):
        both: dict[str, list[tuple[float, float, float]]] = {"he": [], "smpc": []}
        for cell in cells_of(comparison, setting):
            kind = family(comparison, cell.strategy)
            if kind in both and cell.status in WHOLE and cell.round is not None:
                both[kind].append(line(cell))
        if both["he"] and both["smpc"]:
            rows.append([tuple(median(one[part] for one in both[kind]) for part in range(3)) for kind in both])
    if not rows:
        return None
    he, smpc = [row[0] for row in rows], [row[1] for row in rows]
    pairs = list(zip(he, smpc, strict=True))
    return Families(
        settings=len(rows),
        cpu_above=sum(one[0] > other[0] for one, other in pairs),
        cpu_ratio=median(one[0] / other[0] if other[0] else math.inf for one, other in pairs),
        phases_below=sum(one[2] < other[2] for one, other in pairs),
        phases_same=sum(one[2] == other[2] for one, other in pairs),
        he_phases=median(one[2] / 2 for one in he),
        smpc_phases=median(one[2] / 2 for one in smpc),
        bytes_ratio=median(one[1] / other[1] if other[1] else math.inf for one, other in pairs),
    )


def verdict(comparison: Comparison) -> str:
    """Whether the data bear out that HE computes more and interacts less than SMPC."""
    found = families(comparison)
    if found is None:
        return "No setting has a whole round of both families, so these data neither bear this out nor refute it."

    def held(number: int) -> str:
        if number == found.settings:
            return "borne out in every setting" if number > 1 else "borne out"
        if number == 0:
            return "not borne out in any setting" if found.settings > 1 else "not borne out"
        return f"borne out in {number:,} of {found.settings:,} settings"

    same = f"; in {found.phases_same:,} settings they take the same" if 0 < found.phases_same < found.settings else ""
    return (
        f"Hard computation: {held(found.cpu_above)}. In the median a round of HE takes {units.times(found.cpu_ratio)} "
        f"the CPU time of one of SMPC. Few interactions: {held(found.phases_below)}. HE takes {found.he_phases:.3g} "
        f"phases in a round and SMPC {found.smpc_phases:.3g}{same}. Of bytes at the busiest hospital, HE moves "
        f"{units.times(found.bytes_ratio)} what SMPC does."
    )
