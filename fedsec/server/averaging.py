"""Means over secure sums, one after the other: measures a stage's scale first, then plans each session by the last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from fedsec.encoding import mean, wide
from fedsec.encoding.ladder import Plan, Scale
from fedsec.encoding.layout import Arrays, Layout
from fedsec.encoding.mean import Mean
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import DataError, TooFewParties
from fedsec.protocol import PartyId
from fedsec.server.coordinator import FALSE_ANSWER, Coordinator, Total
from fedsec.wire import codec
from fedsec.wire.envelope import NO_HASH
from fedsec.wire.exchange import Incident

COUNTED = 1024
"""Coordinates for the weight and the counts of a mean, generously, and as many more for each metric."""


def most_values(layout: Layout, bits: int) -> int:
    """An upper bound on how many values of `bits` bits a contribution of this layout has.

    Each of its numbers takes one or two, or the limbs of a wide value.
    """
    numbers = sum(each.size for each in layout.arrays) + layout.metric_values + COUNTED * (1 + len(layout.metrics))
    return numbers * max(2, wide.limbs(bits))


@dataclass(frozen=True)
class Wording:
    """How cures name the options of whoever reads them; by default those of SecureAggregation.

    unset   the option that makes the scale measured, where that is not by leaving one out
    ranges  what to do where a metric was cut to its range; empty where its range is no option
    """

    clip: str = "clip"
    largest_weight: str = "largest_weight"
    unset: str = ""
    ranges: str = "declare a wider one in metric_ranges"


@dataclass
class Stage:
    """What is known of one stage: its histograms and counts, and its layout."""

    plan: Plan = field(default_factory=lambda: Plan(b""))
    layout: Layout | None = None


class Averaging:
    """Asks a coordinator's parties for means, stage by stage.

    whole: the parties accept no cohort without those who were proven false, who then count as dropped out of it.
    """

    def __init__(self, coordinator: Coordinator, whole: bool = False) -> None:
        self.coordinator, self.whole = coordinator, whole
        self.stages: dict[str, Stage] = {}
        self.earlier: tuple[Incident, ...] = ()
        self.corrected = 0
        """Of the latest mean, how many answers were off and were corrected."""
        self._scales: tuple[Scale, Scale] | None = None
        """Where it is measured, the latest mean's scale, and that of the next mean of its stage."""

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Of the latest mean, phase, party and reason of each answer that was not accepted, failed or not."""
        return self.earlier + self.coordinator.incidents

    def mean(
        self,
        cohort: Collection[PartyId],
        reference: Arrays | None,
        *,
        stage: str,
        round_number: int,
        model: bytes = NO_HASH,
    ) -> tuple[Mean, Total]:
        """The mean over `cohort`, and the sum that it was read from.

        reference: the model's arrays; None where metrics alone are asked for. Parties that were proven false in this
        epoch are not asked. One whose layout is not the majority's is left out of this mean alone: it may be right the
        next time. Raises a FedsecError where the session failed.
        """
        known, spec = self.stages.setdefault(stage, Stage()), self.coordinator.terms.mean
        false = self.coordinator.false
        asked = sorted(cohort) if self.whole else sorted(set(cohort) - false)
        self.earlier = tuple(("release", party, FALSE_ANSWER) for party in sorted(set(cohort) - set(asked)))
        self.corrected, self._scales = 0, None
        if len(asked) < self.coordinator.protocol.floor:
            reasons = {party: f"{phase}: {reason}" for phase, party, reason in self.earlier}
            raise TooFewParties("release", self.coordinator.protocol.floor, asked, cohort).because(reasons)
        if reference is not None and spec.measured and not known.plan.largest:
            asked = self._measure(asked, known, stage, round_number, model)
            self.earlier += tuple(one for one in self.coordinator.incidents if not self.whole or one[2] != FALSE_ANSWER)
        plan = replace(known.plan, model=model, layout=b"" if known.layout is None else codec.encode(known.layout))
        values = None if known.layout is None else most_values(known.layout, self.coordinator.protocol.value_bits)
        total = self.coordinator.aggregate(asked, stage=stage, round_number=round_number, plan=plan, values=values)
        self._note(known, total)
        if total.layout is None:
            raise DataError("no contributor said what its coordinates are")
        bits, floor = self.coordinator.protocol.value_bits, self.coordinator.protocol.floor
        found = mean.decode(total.sum, total.layout, reference or {}, spec, bits, plan, floor)
        if plan.largest:
            known.plan = replace(known.plan, counts=(*known.plan.counts, found.counts))
            now, then = (mean.scale_of(total.layout, spec, each, bits) for each in (plan, known.plan))
            self._scales = now, then
        return found, total

    def _measure(
        self, asked: list[PartyId], known: Stage, stage: str, round_number: int, model: bytes
    ) -> list[PartyId]:
        """Sum the histograms of rungs: afterwards the stage's plan has a scale. Returns whom to ask for updates."""
        total = self.coordinator.aggregate(
            asked, stage=stage, round_number=round_number, plan=Plan(model, measuring=True)
        )
        self._note(known, total)
        spec, floor = self.coordinator.terms.mean, self.coordinator.protocol.floor
        largest, typical = mean.read_measurement(total.sum, spec, floor)
        known.plan = replace(known.plan, largest=largest, typical=typical)
        return asked if self.whole else sorted(total.sum.included - self.coordinator.false)

    def _note(self, known: Stage, total: Total) -> None:
        self.corrected += len(total.sum.corrected)
        if total.layout is not None:
            known.layout = total.layout

    def warnings(self, found: Mean, wording: Wording = Wording()) -> list[str]:
        """What somebody should know of a mean: what was scaled down, cut, missing or too coarse, and the cure."""
        spec, n = self.coordinator.terms.mean, len(found.included)
        warned = []
        if self.corrected:
            warned.append(
                f"{self.corrected} of the hospitals' answers that open the sum were false and were corrected: a "
                "hospital answered falsely, or sealed a false share to one that answered honestly; nothing proves which"
            )
        if found.clipped:
            warned.append(f"{found.clipped} of {n} hospitals' updates were scaled down: {self._larger(found, wording)}")
        if found.coarse:
            warned.append(
                f"the step of the fixed point ({found.step:.2g}) is more than a hundredth of the typical change of a "
                f"parameter ({found.typical:.2g}): {self._finer(wording)}"
            )
        if found.unusable:
            warned.append(
                f"{found.unusable} of {n} hospitals had no usable update and counted as no change; the cause is in "
                "their own logs"
            )
        if found.saturated:
            warned.append(
                f"{found.saturated} of {n} hospitals had a buffer beyond ±2^31, which was cut there: train in other "
                "units, or leave the array out of the model"
            )
        for key, number in found.out_of_range.items():
            low, high = spec.range_of(key)
            warned.append(
                f"metric {key!r} of {number} of {n} hospitals was cut to its range {low:g} to {high:g}"
                f"{wording.ranges and f': {wording.ranges}'}"
            )
        for key, number in found.uncomputed.items():
            outcome = "and is withheld" if key in found.withheld else "and counts as the middle of its range there"
            warned.append(f"metric {key!r} could not be computed by {number} of {n} hospitals {outcome}")
        return warned

    def _larger(self, found: Mean, wording: Wording) -> str:
        """What to do where updates were scaled down: to the measured scale, or to what the terms name."""
        spec, cures = self.coordinator.terms.mean, []
        beyond = found.counts[0] if found.counts else 0  # the clip or the scale; the others, a norm of bounds
        if beyond and spec.clip is not None:
            measured = f", or {wording.unset or 'leave it out'} and the scale is measured"
            cures.append(f"raise {wording.clip} ({spec.clip:g}){'' if spec.measured else measured}")
        if beyond and self._scales is not None:
            now, then = self._scales
            grows = "the next round's scale is larger; " if then.bound > now.bound else ""
            cures.append(f"{grows}name {_fixing(spec, wording)}, and the scale is fixed")
        if found.clipped > beyond:
            cures.append("raise the norms of bounds, if that is not what they are for")
        return "; ".join(cures)

    def _finer(self, wording: Wording) -> str:
        """What to do where the step of the fixed point is too coarse."""
        spec = self.coordinator.terms.mean
        if self._scales is None:
            equal = spec.weights == "equal"
            named = wording.clip if equal else f"{wording.clip} or {wording.largest_weight}"
            unset = wording.unset or f"leave {'it' if equal else 'one of them'} out"
            return f"lower {named}, or {unset} and the scale is measured"
        now, then = self._scales
        finer = "the next round's step is finer; " if (-then.limbs, then.bound) < (-now.limbs, now.bound) else ""
        return f"{finer}name {_fixing(spec, wording)} near the truth, and the scale is fixed"


def _fixing(spec: MeanSpec, wording: Wording) -> str:
    """What has to be named, and is not, so that nothing is measured."""
    missing = {wording.clip: spec.clip, wording.largest_weight: spec.heaviest}
    return " and ".join(name for name, value in missing.items() if value is None)
