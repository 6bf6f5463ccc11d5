"""The parts of the page: what each shows, in words and rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fedsec.metering import NETWORKS
from fedsec.report import analysis, figures, ranking, units
from fedsec.report.analysis import Setting
from fedsec.report.document import Cell, Comparison, Network
from fedsec.report.ranking import Place, Trust

OWN = Network(latency=0.02, down=12.5e6, up=12.5e6)
"""Where the document names no network: 100 Mbit/s and 20 ms."""
PREFERRED = "hospital-wan"


def families(comparison: Comparison) -> dict[str, str]:
    """The family of every strategy, described or only measured."""
    names = [*comparison.strategies, *(cell.strategy for cell in comparison.cells)]
    names += [one.strategy for one in comparison.quality]
    return {name: analysis.family(comparison, name) for name in names}


def looks(comparison: Comparison) -> dict[str, figures.Style]:
    """How each strategy is drawn."""
    return figures.styles(families(comparison))


def network(comparison: Comparison) -> tuple[str, Network]:
    """The network that the page opens with: one of the user's own before the common ones."""
    named = comparison.networks
    own = (name for name in named if name not in NETWORKS)
    name = next(own, PREFERRED if PREFERRED in named else next(iter(named), ""))
    return name, named[name] if name else OWN


def network_words(one: Network) -> str:
    """`100 Mbit/s, 20 ms`."""
    down, up = units.speed(one.down), units.speed(one.up)
    return f"{down if down == up else f'{down} down, {up} up'}, {units.trim(units.seconds(one.latency))}"


def network_in_words(name: str, one: Network) -> str:
    """As it stands in a sentence: `lan (1 Gbit/s, 0.5 ms)`."""
    return f"{name} ({network_words(one)})" if name else network_words(one)


def lead(comparison: Comparison) -> str:
    """How much was measured."""
    counts = {
        status: sum(cell.status == status for cell in comparison.cells) for status in ("measured", "extrapolated")
    }
    whole = counts["measured"] + counts["extrapolated"]
    return (
        f"It is based on {units.plural(len(comparison.cells), 'cell')}, each one strategy in one setting; "
        f"{whole:,} of them {'has' if whole == 1 else 'have'} a whole round."
    )


# The answer


HEADLINES = {"open": "Whom do you trust?", "none": "No answer"}
"""What stands in place of a strategy's name: before trust is answered, and where none promises what was asked."""


def asked(setting: Setting | None, network: str, trust: Trust) -> str:
    """What the answer is for; network: in words."""
    return (
        ", ".join(filter(None, [f"{setting.words()}, over {network}", trust.words()]))
        if setting
        else "Nothing was measured."
    )


def answer(
    places: Sequence[Place], cells: Sequence[Cell], setting: Setting | None, network: str, trust: Trust
) -> dict[str, Any]:
    """The verdict, the ranked rows, and who is not in them; network: in words."""
    best, why = ranking.answer(places, trust)
    first = next((place for place in places if place.rank), None)
    return {
        "for_": asked(setting, network, trust),
        "best": best,
        "headline": HEADLINES["open" if trust.unanswered and places else "none"],
        "why": why,
        "promise": ranking.promise(first.cell) if first else "",
        "rows": [
            {
                "rank": place.rank or units.NONE,
                "name": place.cell.strategy,
                "tag": tag(place, trust),
                "kind": kind(place, trust),
                "figures": [
                    *withstood(place.cell),
                    tolerated(place.cell),
                    starred(place.cell, units.seconds(place.seconds)),
                    ratio(place, first),
                    starred(place.cell, units.seconds(place.wire)),
                    *cell_figures(place.cell),
                ],
            }
            for place in places
        ],
        "unranked": [
            {"name": cell.strategy, "text": unranked(cell)} for cell in cells if cell.status not in analysis.WHOLE
        ],
    }


def ratio(place: Place, first: Place | None) -> str:
    """How long a strategy takes, in parts of the cheapest's time."""
    return units.times(place.seconds / first.seconds) if first else units.NONE


def kind(place: Place, trust: Trust) -> str:
    """How a row of the ranking looks: the first, one of the others, or one that is no answer."""
    if place.rank == 1:
        return "first"
    return "aside" if place.family == "clear" or not (place.rank or trust.unanswered) else ""


def tag(place: Place, trust: Trust) -> str:
    """What a row of the ranking is marked with."""
    open_or_ranked = place.rank or trust.unanswered
    tags = ["baseline"] if place.family == "clear" else [] if open_or_ranked else ["not promised"]
    return ", ".join([*tags, *(["extrapolated"] if place.cell.status == "extrapolated" else [])])


def cell_figures(cell: Cell) -> list[str]:
    """The figures of a ranked row that hold on every network."""
    total = cell.round
    assert total is not None  # noqa: S101 - only whole rounds are ranked
    return [
        starred(cell, units.seconds(total.hospital_cpu_most.median)),
        starred(cell, units.seconds(total.server_cpu.median)),
        starred(cell, units.size(total.up_most)),
        str(sum(phase.stage == "train" for phase in cell.phases)),
    ]


def starred(cell: Cell, text: str) -> str:
    """A figure, marked where it was extrapolated."""
    return text + STAR if cell.status == "extrapolated" else text


STAR = "*"
STAR_LEGEND = f"{STAR}{units.SPACE}Extrapolated: measured on fewer parameters, and scaled."


def unranked(cell: Cell) -> str:
    """Why a cell is not in the ranking."""
    return f"{cell.status}: {cell.note}" if cell.note else cell.status


def withstood(cell: Cell | None) -> tuple[str, str]:
    """How many colluding hospitals it withstands, with a server that follows the protocol and one that does not."""
    if cell is None or cell.withstands is None:
        return units.NONE, units.NONE
    both = (cell.withstands.semi_honest_server, cell.withstands.malicious_server)
    one, other = (f"{count:,}" if count >= 0 else units.NONE for count in both)
    return one, other


def tolerated(cell: Cell) -> str:
    """How many hospitals may drop out in any phase."""
    return f"{ranking.tolerated(cell):,}" if cell.tolerance else units.NONE


def dropouts(cell: Cell | None) -> str:
    """How many hospitals may drop out, by phase."""
    tolerance = cell.tolerance if cell else {}
    return ", ".join(f"{phase}{units.SPACE}{count:,}" for phase, count in tolerance.items()) or units.NONE


# Cost by phase


def bars(cell: Cell) -> dict[str, Any]:
    """The segments of a strategy's two bars."""
    phases = [phase for phase in cell.phases if phase.stage == "train"]
    server = cell.round.server_cpu.median if cell.round else 0.0
    cpu = [
        part(phase.name, phase.hospital_cpu_most, starred(cell, units.seconds(phase.hospital_cpu_most)))
        for phase in phases
    ]
    cpu.append(part("server", server, starred(cell, units.seconds(server)), server=True))
    sizes = [
        part(
            phase.name,
            phase.down_most + phase.up_most,
            starred(cell, f"{units.size(phase.down_most)} down, {units.size(phase.up_most)} up"),
        )
        for phase in phases
    ]
    found = {"name": cell.strategy, **stacked(cpu, sizes)}
    for one in ("cpu", "bytes"):
        found[one]["total"] = starred(cell, found[one]["total"])
    return found


def part(label: str, value: float, text: str, server: bool = False) -> dict[str, Any]:
    """One segment of a bar."""
    return {"label": label, "value": value, "text": text, "server": server}


def stacked(cpu: Sequence[dict[str, Any]], sizes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Two bars, of CPU and of bytes."""
    return {"cpu": _bar(cpu, units.seconds), "bytes": _bar(sizes, units.size)}


def _bar(parts: Sequence[dict[str, Any]], text: Callable[[float], str]) -> dict[str, Any]:
    """One bar: its total, and each segment's part of it."""
    total = sum(one["value"] for one in parts)
    grown = [
        {
            "label": one["label"],
            "text": one["text"],
            "server": one["server"],
            "grow": f"{one['value'] / total if total else 0:.4f}",
        }
        for one in parts
    ]
    return {"parts": grown, "value": float(f"{total:.9g}"), "total": text(total)}


NO_BARS = {"name": "", **stacked([], [])}
"""What a bar of no strategy holds: page.js fills a copy of it."""
SCALES = {
    "own": "Each bar is one strategy's own total: lengths compare its phases with each other.",
    "same": "All bars have one scale: lengths compare strategies.",
}
NOTHING = ranking.NOTHING


# Trust


def trust(comparison: Comparison, cells: Sequence[Cell]) -> list[dict[str, str]]:
    """A card for each strategy."""
    here = {cell.strategy: cell for cell in cells}
    out = []
    for name, one in comparison.strategies.items():
        follows, breaks = withstood(here.get(name))
        out.append(
            {
                "name": name,
                "learns": _plain(one.learns),
                "trusts": _plain(one.trusts),
                "tolerates": _plain(one.tolerates),
                "reference": _plain(one.reference),
                "follows": follows,
                "breaks": breaks,
                "dropouts": dropouts(here.get(name)),
            }
        )
    return out


def _plain(text: str) -> str:
    """A docstring's line without its marks of code."""
    return text.replace("`", "")
