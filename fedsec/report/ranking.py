"""The ranking of a comparison's strategies, and the sentences that say what it came to.

Trust comes first: no strategy has a rank before somebody says what the server may do, how many hospitals may collude
with it, and how many may drop out. Those that promise this are ranked by seconds from end to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fedsec.report import units
from fedsec.report.analysis import WHOLE, family
from fedsec.report.document import Cell, Comparison, Network, seconds

SERVERS = {"semi-honest": "follows the protocol (semi-honest)", "malicious": "may break the protocol (malicious)"}
"""What the server may do, as on the page."""
QUESTIONS = {
    "server": "what the server may do",
    "colluding": "how many hospitals may collude with it",
    "dropouts": "how many may drop out of a round",
}
"""What has to be answered before a strategy is recommended, in the order of the page."""
NOTHING = "No strategy has a whole round in this setting."
COUNTED: Mapping[str, tuple[str, str, str]] = {
    "colluding": ("no hospital colluding with it", "1 hospital colluding with it", "{n} hospitals colluding with it"),
    "dropouts": ("nobody dropping out", "1 dropping out", "{n} dropping out"),
}
"""An answer in words: none, one, and more."""


class Trust(NamedTuple):
    """Whom the hospitals trust: what the server may do, and how many may collude with it and drop out in any phase.

    An answer that nobody has given is "" or None.
    """

    server: str = ""
    colluding: int | None = None
    dropouts: int | None = None

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The questions that are still open."""
        return tuple(name for name, answer in self._asdict().items() if answer in ("", None))

    def words(self) -> str:
        """`with a malicious server, 2 hospitals colluding with it and 1 dropping out`; "" while a question is open."""
        if self.unanswered:
            return ""
        counts = {"colluding": self.colluding or 0, "dropouts": self.dropouts or 0}
        colluding, dropouts = (COUNTED[name][min(count, 2)].format(n=count) for name, count in counts.items())
        return f"{server_words(self.server)}, {colluding} and {dropouts}"


UNANSWERED = Trust()


def server_words(server: str) -> str:
    """A server of `SERVERS` as it stands in a sentence."""
    return f"with a {server} server"


def still_open(questions: Sequence[str]) -> str:
    """What has to be answered first."""
    asked = units.words([QUESTIONS[name] for name in questions])
    return f"Trust comes before cost. Say {asked}: then the cheapest strategy that withstands this stands here."


@dataclass(frozen=True)
class Place:
    """A strategy in the ranking.

    rank: 0 for a baseline, where the trust required is not promised, and while trust is unanswered.
    """

    rank: int
    cell: Cell
    family: str
    seconds: float
    low: float
    high: float
    wire: float


def withstood(cell: Cell, server: str) -> int:
    """How many hospitals may collude with a server of `SERVERS`; -1 where nothing is promised."""
    if cell.withstands is None:
        return -1
    return cell.withstands.malicious_server if server == "malicious" else cell.withstands.semi_honest_server


def tolerated(cell: Cell) -> int:
    """How many hospitals may drop out in any phase: as many as in the phase that tolerates the fewest."""
    return min(cell.tolerance.values(), default=0)


def promises(cell: Cell, trust: Trust) -> bool:
    """Whether a strategy withstands what is asked; nothing is promised while a question is open."""
    if trust.colluding is None or trust.dropouts is None or not trust.server:
        return False
    return withstood(cell, trust.server) >= trust.colluding and tolerated(cell) >= trust.dropouts


def ranking(comparison: Comparison, cells: Iterable[Cell], network: Network, trust: Trust = UNANSWERED) -> list[Place]:
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


def answer(places: Sequence[Place], trust: Trust) -> tuple[str, str]:
    """The cheapest strategy's name, or nothing, and how it compares with the next and with the baseline.

    Where there is none: which question is still open, or what the strategies promise at most.
    """
    if not places:
        return "", NOTHING
    if trust.unanswered:
        return "", still_open(trust.unanswered)
    ranked = [place for place in places if place.rank]
    if not ranked:
        return "", " ".join(["No strategy with a whole round in this setting promises this.", *_most(places, trust)])
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


def _most(places: Sequence[Place], trust: Trust) -> list[str]:
    """What those that protect promise at most, each by itself: what would have to be asked for less."""
    cells = [place.cell for place in places if place.family != "clear"]
    if not cells:
        return []
    colluding = max(withstood(cell, trust.server) for cell in cells)
    most = f"withstands {units.plural(colluding, 'colluding hospital')}" if colluding >= 0 else "promises nothing"
    dropouts = units.plural(max(map(tolerated, cells)), "dropout")
    return [f"At most, one {most} {server_words(trust.server)}, and one tolerates {dropouts} in any phase."]


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
