"""The ranking of a comparison's strategies by seconds from end to end, and the sentences that say what it came to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fedsec.report import units
from fedsec.report.analysis import WHOLE, family
from fedsec.report.document import Cell, Comparison, Network, seconds

TRUSTS = {"any": "any strategy", "follows": "semi-honest server", "breaks": "malicious server"}
"""What is asked of a strategy, as on the page."""


@dataclass(frozen=True)
class Place:
    """A strategy in the ranking; `rank` is 0 for a baseline or where the trust required is not promised."""

    rank: int
    cell: Cell
    family: str
    seconds: float
    low: float
    high: float
    wire: float


def promises(cell: Cell, trust: str) -> bool:
    """Whether a strategy withstands what is asked: `any`, `follows` or `breaks`."""
    if trust == "any":
        return True
    if cell.withstands is None:
        return False
    return (cell.withstands.semi_honest_server if trust == "follows" else cell.withstands.malicious_server) >= 0


def ranking(comparison: Comparison, cells: Iterable[Cell], network: Network, trust: str = "any") -> list[Place]:
    """All whole cells by end-to-end seconds; ranks are given to those that protect and promise what is asked."""
    places = []
    for cell in cells:
        if cell.status not in WHOLE or cell.round is None:
            continue
        total, hospital, server = seconds(cell, network), cell.round.hospital_cpu_most, cell.round.server_cpu
        wire = total - hospital.median - server.median
        low, high = wire + hospital.low + server.low, wire + hospital.high + server.high
        places.append(Place(0, cell, family(comparison, cell.strategy), total, low, high, wire))
    places.sort(key=lambda place: place.seconds)
    able = [place for place in places if place.family != "clear" and promises(place.cell, trust)]
    return [replace(place, rank=able.index(place) + 1 if place in able else 0) for place in places]


def answer(places: Sequence[Place]) -> tuple[str, str]:
    """The cheapest strategy's name, or nothing, and how it compares with the next and with the baseline."""
    ranked = [place for place in places if place.rank]
    if not ranked:
        return "", "No strategy with a whole round in this setting promises this."
    best, parts = ranked[0], [f"A round takes {units.seconds(ranked[0].seconds)} from end to end."]
    if len(ranked) == 1:
        parts.append("It is the only one that qualifies.")
    else:
        second = ranked[1]
        times = f", {units.times(second.seconds / best.seconds)} as long."
        close = ": no clear difference, as measurements spread wider than that."
        parts.append(
            f"The next, {second.cell.strategy}, takes {units.seconds(second.seconds)}"
            f"{close if second.low <= best.high else times}"
        )
    clear = next((place for place in places if place.family == "clear"), None)
    if clear is not None:
        parts.append(
            f"Without protection, {clear.cell.strategy} takes {units.seconds(clear.seconds)}; "
            f"{best.cell.strategy} takes {units.times(best.seconds / clear.seconds)} as long."
        )
    return best.cell.strategy, " ".join(parts)


def promise(cell: Cell) -> str:
    """How many colluding hospitals a strategy withstands here, and how many dropouts."""
    parts = []
    if cell.withstands is not None:
        follows, breaks = cell.withstands.semi_honest_server, cell.withstands.malicious_server
        one = (
            f"withstands {units.plural(follows, 'colluding hospital')} while the server follows the protocol"
            if follows >= 0
            else "promises nothing about colluding hospitals while the server follows the protocol"
        )
        other = (
            f"{breaks:,} if the server is malicious" if breaks >= 0 else "promises nothing if the server is malicious"
        )
        parts.append(f"It {one}, and {other}.")
    if cell.tolerance:
        dropouts = [f"{count:,} in {phase}" for phase, count in cell.tolerance.items()]
        parts.append(f"Hospitals that may drop out: {units.words(dropouts)}.")
    return " ".join(parts)
