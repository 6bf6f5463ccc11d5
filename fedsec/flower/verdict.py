"""What each aggregation of a run came to, and whether the run as a whole failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedsec.agreement.agreement_file import trains
from fedsec.flower.incidents import printable, shortened
from fedsec.protocol import PartyId
from fedsec.wire.exchange import Incident

NOTED, UNUSABLE = "input", "no usable update: "
"""Phase and beginning of an incident that a simulated hospital tells of its own update."""
CAUSES = 3
"""So many of them stand in the error of a void round; the log of the round has all."""


@dataclass(frozen=True)
class Round:
    """What one secure aggregation of a run came to. `failure` is empty where it succeeded."""

    round: int
    stage: str
    sampled: int
    included: int = 0
    parties: tuple[PartyId, ...] = ()
    weight: int | float = 0
    clipped: int = 0
    metrics: Mapping[str, float | list[float]] | None = None
    sum_hash: str = ""
    failure: str = ""
    incidents: tuple[Incident, ...] = ()
    warnings: tuple[str, ...] = ()
    """What was scaled down, cut, missing or too coarse, each with its cure."""
    unusable: int = 0
    """Of those included, the hospitals without a usable update: they count as no change."""

    @property
    def trains(self) -> bool:
        """Whether it was an aggregation of training."""
        return trains(self.stage)

    @property
    def why(self) -> str:
        """The failure, and in a simulation, where hospitals said why their updates were not usable, those causes."""
        grouped: dict[str, list[PartyId]] = {}
        for phase, party, reason in self.incidents:
            if phase == NOTED:
                grouped.setdefault(printable(reason.removeprefix(UNUSABLE)), []).append(party)
        told = [f"party {', '.join(map(str, parties))}: {reason}" for reason, parties in grouped.items()]
        more = [f"and {len(told) - CAUSES} other causes"] if len(told) > CAUSES else []
        return "; ".join([self.failure, *told[:CAUSES], *more])


def void(rounds: Sequence[Round]) -> str:
    """Every void aggregation with its cause, in one line; empty where all succeeded."""
    lost = [one for one in rounds if one.failure]
    return f"{len(lost)} of {len(rounds)} aggregations are void: {_causes(lost)}" if lost else ""


def _causes(lost: Sequence[Round]) -> str:
    """Each shortened: with many parties it lists each, and the log of its round has them all."""
    return "; ".join(f"round {one.round} {one.stage}: {shortened(one.why)}" for one in lost)


def incomplete(rounds: Sequence[Round]) -> str:
    """The aggregations that succeeded without some of the sampled clients, in one line; empty where there is none."""
    less = [
        f"round {one.round} {one.stage} over {one.included - one.unusable} of {one.sampled}"
        for one in rounds
        if not one.failure and one.included - one.unusable < one.sampled
    ]
    return f"means without all sampled clients, for the reasons above: {'; '.join(less)}" if less else ""


def failed(rounds: Sequence[Round], allowed: int | None = None) -> str:
    """Why a run of these aggregations failed; empty where it did not.

    It failed where no aggregation of training succeeded, or where more of them are void than `allowed`; None is half
    of them.
    """
    trained = [one for one in rounds if one.trains]
    lost = [one for one in trained if one.failure]
    if trained and len(lost) == len(trained):
        return f"no round of training succeeded; the last one: {lost[-1].why}"
    most = len(trained) // 2 if allowed is None else allowed
    if len(lost) > most:
        return (
            f"{len(lost)} of {len(trained)} rounds of training are void, and at most {most} may be "
            f"(void_rounds_allowed): {_causes(lost)}"
        )
    return ""
