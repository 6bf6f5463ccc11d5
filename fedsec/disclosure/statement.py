"""A run's disclosure statement, from what its strategy declares, its specification, and the sums that were opened."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from fedsec.disclosure.facts import Group, StageSums, Statement, Subtracted, Task
from fedsec.disclosure.sentences import sections
from fedsec.encoding import ladder
from fedsec.encoding.layout import Layout
from fedsec.encoding.mean_spec import MeanSpec, WeightRule
from fedsec.protocol import Coalition, PartyId, SecureSum
from fedsec.server.differencing import determined

LEFT_OUT = ("set-up", "layout")
"""Phases of the incidents of those who were not asked."""


class Session(Protocol):
    """One secure aggregation, as the server knows it; `failure` is empty where its sum was used."""

    @property
    def stage(self) -> str: ...
    @property
    def sampled(self) -> int: ...
    @property
    def parties(self) -> tuple[PartyId, ...]: ...
    @property
    def weight(self) -> int | float: ...
    @property
    def metrics(self) -> Mapping[str, Any] | None: ...
    @property
    def failure(self) -> str: ...
    @property
    def incidents(self) -> Sequence[tuple[str, PartyId, str]]: ...


def statement(
    protocol: SecureSum[Any, Any],
    spec: MeanSpec,
    sessions: Sequence[Session],
    *,
    layouts: Mapping[str, Layout] | None = None,
    pinned: bool = False,
    agreement: str = "",
    warnings: Sequence[str] = (),
) -> Statement:
    """Who could learn what from these sessions, with sentences for each role.

    layouts: what the coordinates of a stage were, where that is known; without it only metrics are. pinned: whether
    identities were. agreement: the hash of the agreement that hospitals enforced, "" where there was none. warnings:
    what is known besides, as of cohorts to come.
    """
    good = [one for one in sessions if not one.failure]
    cohort = min((asked(one) for one in good), default=0)
    everyone, weights = range(1, cohort + 1), weights_rule(spec, good)
    facts = Statement(
        strategy=protocol.name,
        parameters=protocol.parameters(),
        private=protocol.private,
        identities="pinned" if pinned else "first use",
        agreement=agreement,
        cohort=cohort,
        floor=protocol.floor,
        groups=groups(protocol, everyone) if cohort else (),
        roles=tuple(Task(name=r.name, parties=r.parties, learns=r.learns) for r in protocol.roles(everyone)),
        statistical_bits=protocol.statistical_bits(everyone),
        corrects=protocol.corrects(everyone, cohort),
        weights=weights,
        scale="measured" if spec.measured else "agreed",
        rungs=_rungs(spec),
        clip=spec.clip,
        bounds=dict(spec.bounds),
        unbounded=_unbounded(spec, layouts or {}),
        stages=tuple(
            _stage(stage, [one for one in sessions if one.stage == stage], spec, (layouts or {}).get(stage))
            for stage in dict.fromkeys(one.stage for one in sessions)
        ),
        subtracted=subtracted(good, weights, spec),
        warnings=tuple(warnings),
    )
    return facts.model_copy(update={"sections": sections(facts)})


def asked(session: Session) -> int:
    """How many hospitals a session asked: those sampled, without those who had not joined or were left out."""
    return session.sampled - len({party for phase, party, _ in session.incidents if phase in LEFT_OUT})


def groups(protocol: SecureSum[Any, Any], cohort: Collection[PartyId]) -> tuple[Group, ...]:
    """The groups that could open an input, with a server that follows the protocol, with one that does not, and with
    none.

    Whatever the strategy, all but one of a sum's hospitals know the last one's input by subtraction; and a malicious
    server chooses whose sum is opened, so that `floor` - 1 of them are enough with it.
    """
    found = []
    for malicious in (False, True):
        most = (protocol.floor if malicious else len(cohort)) - 1
        each = [group for group in protocol.coalitions(cohort, malicious) if group.server or not malicious]
        if malicious and protocol.withstands(cohort, True) >= 0:
            each.append(Coalition(frozenset(cohort), most))
        counts: dict[tuple[str, int, bool], int] = {}
        for group in each:
            key = (group.who, len(group.parties), group.server)
            least = min(group.count, most) if group.parties == frozenset(cohort) else group.count
            counts[key] = min(least, counts.get(key, least))
        found += [
            Group(who=who, count=count, of=of, server=server, malicious=malicious)
            for (who, of, server), count in counts.items()
        ]
    return tuple(found)


def weights_rule(spec: MeanSpec, sessions: Sequence[Session]) -> WeightRule:
    """How row counts enter the sums: as the specification says, or equal where no weight can be any but 1."""
    ones = spec.largest_weight == 1 and all(one.weight == int(one.weight) <= len(one.parties) for one in sessions)
    return "equal" if spec.weights == "exact" and ones else cast(WeightRule, spec.weights)


def subtracted(
    sessions: Sequence[Session], weights: WeightRule, spec: MeanSpec | None = None
) -> tuple[Subtracted, ...]:
    """What sums over different hospitals disclose of single ones: metrics, totals, and weights where they differ.

    A metric is disclosed where it follows from weighted means of several models, so about. A total over rows is exact
    where it does not depend on the model, as the sum of a histogram's bins does not.
    """
    metrics: dict[PartyId, dict[str, float]] = {}
    totals: dict[PartyId, dict[str, float]] = {}
    for stage in dict.fromkeys(one.stage for one in sessions):
        of_stage = [one for one in sessions if one.stage == stage]
        if not determined([(one.parties, 1.0) for one in of_stage]):
            continue
        known = determined([(one.parties, float(one.weight)) for one in of_stage])
        for name in sorted({key for one in of_stage for key in one.metrics or {}}):
            having = [(one, found) for one in of_stage if (found := (one.metrics or {}).get(name)) is not None]
            added = spec is not None and spec.is_total(name)
            if not added and not all(isinstance(value, float) for _, value in having):
                continue
            sums = [(one.parties, one.weight * math.fsum(np.atleast_1d(value))) for one, value in having]
            for party, total in determined(sums).items():
                label = f"{name} ({stage.removeprefix('query.')})"
                if added:
                    totals.setdefault(party, {})[label] = total
                elif weight := 1.0 if weights == "equal" else known.get(party):
                    metrics.setdefault(party, {})[label] = total / weight
    counts = {} if weights == "equal" else determined([(one.parties, float(one.weight)) for one in sessions])
    return tuple(
        Subtracted(party=party, weight=counts.get(party), metrics=metrics.get(party, {}), totals=totals.get(party, {}))
        for party in sorted({*metrics, *counts, *totals})
    )


def _unbounded(spec: MeanSpec, layouts: Mapping[str, Layout]) -> int | None:
    if spec.clip is not None:
        return 0
    arrays = {each.name: each for layout in layouts.values() for each in layout.parameters(spec.buffers)}
    return sum(each.size for each in arrays.values() if not spec.bound_of(each.name)) if arrays else None


def _rungs(spec: MeanSpec) -> int:
    return spec.rungs[1] - spec.rungs[0] + 1


def _stage(stage: str, sessions: Sequence[Session], spec: MeanSpec, layout: Layout | None) -> StageSums:
    good = [one for one in sessions if not one.failure]
    sizes = [len(one.parties) for one in good]
    most = max(sizes, default=0)
    parameters = sum(each.size for each in layout.parameters(spec.buffers)) if layout else 0
    buffers = sum(each.size for each in layout.buffers(spec.buffers)) if layout else 0
    seen = {
        key: len(value) if isinstance(value, list) else 0 for one in good for key, value in (one.metrics or {}).items()
    }
    metrics = {key: length or 1 for key, length in sorted((layout.metrics if layout else seen).items())}
    measured = int(parameters > 0 and spec.measured)
    return StageSums(
        stage=stage,
        sums=len(good),
        void=len(sessions) - len(good),
        fewest=min(sizes, default=0),
        most=most,
        measured=measured,
        parameters=parameters,
        buffers=buffers,
        metrics=metrics,
        grids={key: grid for key in metrics if (grid := spec.grid_of(key)) is not None},
        totals=tuple(key for key in metrics if spec.is_total(key)),
        counters=_counters(parameters, buffers, metrics, spec),
        counter_bits=math.log2(most + 1),
        histogram_bits=2 * math.log2(math.comb(most + _rungs(spec), most)) if measured else 0.0,
    )


def _counters(parameters: int, buffers: int, metrics: Collection[str], spec: MeanSpec) -> tuple[str, ...]:
    """What the coordinates beside the values count; those that are zero in any session of the stage are left out."""
    bands = [f"change in band {place} of {len(ladder.DOWN)}" for place in range(1, len(ladder.DOWN) + 1)]
    return (
        "unusable update",
        *(("bounded by a norm",) if parameters and spec.bounds else ()),
        *((*bands, "change too coarse for one limb") if parameters else ()),
        *(("saturated buffer",) if buffers else ()),
        *(f"{key}: not computed" for key in metrics),
        *(f"{key}: cut to its range" for key in metrics),
    )
