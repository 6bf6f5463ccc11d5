"""An agreement in plain English: what leaves a hospital, to whom, how often, and what could be derived from it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fedsec import catalog
from fedsec.agreement.agreement_file import Agreement, Encoding, Stage, trains
from fedsec.encoding.mean_spec import VALUES
from fedsec.errors import FedsecError
from fedsec.protocol import SecureSum, headings

SHOWN = 12
"""How many digits of a hash or a key, and how many names of a list, are shown where the whole would not be read."""


TRUST = (
    "The strategy promises nothing against a malicious server: each hospital has to trust the server to follow the "
    "protocol, and to say so where it is (fedsec-trusts-server=true), or agree on another strategy or parameters."
)


class Section(NamedTuple):
    """A part of the explanation: its title and its sentences."""

    title: str
    lines: tuple[str, ...]


def short(agreement: Agreement) -> str:
    """The first digits of the hash, by which people name an agreement."""
    return agreement.hash.hex()[:SHOWN]


def explain(agreement: Agreement) -> tuple[Section, ...]:
    """What the agreement lets leave a hospital, in sentences for whoever has to approve it."""
    return tuple(
        Section(title, tuple(lines(agreement)))
        for title, lines in (
            ("Who", _who),
            ("What leaves a hospital, and how often", _what),
            ("Who sees it", _to_whom),
            ("What could be derived from it", _derived),
            ("What else is fixed", _fixed),
        )
    )


def _who(agreement: Agreement) -> Iterator[str]:
    names = [f"{one.name} ({one.key[:SHOWN]}…)" for one in agreement.hospitals]
    yield f"{_plural(len(names), 'hospital')}: {', '.join(names)}." if names else "No hospital is named yet."
    yield f"The server has the key {agreement.server[:SHOWN]}…"
    if agreement.cohort == "all":
        yield "Each sum is asked of all of these hospitals, and of nobody else."
    else:
        yield f"Each sum is asked of as many of these hospitals as the server picks, at least {agreement.floor}."


def _what(agreement: Agreement) -> Iterator[str]:
    for name, stage in agreement.stages.items():
        yield f"Stage {name}: {_contents(agreement, name, stage)}, in {how_often(stage)}."
    yield (
        f"All of it becomes part of a sum over at least {agreement.floor} hospitals before anybody reads it: see whom "
        "that rests on, below. No row leaves, and nothing else does."
    )
    yield (
        "With each sum go counts of hospitals, without names: how many had no usable update, were scaled down, or had "
        f"a metric cut to its range. A count tells at most {_count_bits(agreement)} bits."
    )


def _contents(agreement: Agreement, name: str, stage: Stage) -> str:
    parts = []
    if trains(name):
        values = sum(math.prod(one.shape) for one in agreement.arrays)
        parts.append(f"the changes of {_plural(values, 'parameter')} in {_plural(len(agreement.arrays), 'array')}")
    if stage.metrics:
        numbers = sum(length or 1 for length in stage.metrics.values())
        of = f" of {numbers:,} numbers" if numbers > len(stage.metrics) else ""
        parts.append(f"{_plural(len(stage.metrics), 'metric')}{of} ({_list(sorted(stage.metrics))})")
    return " and ".join([*parts, "the hospital's weight"])


def how_often(stage: Stage) -> str:
    """How many sums a stage may have, in words."""
    again = f", {stage.repeats} of them meant for sums that were void" if stage.repeats else ""
    return f"at most {_plural(stage.sessions + stage.repeats, 'sum')}{again}"


def _to_whom(agreement: Agreement) -> Iterator[str]:
    try:
        protocol = _built(agreement)
        about = headings(type(protocol))
    except FedsecError as error:
        yield f"The strategy {agreement.strategy.name} cannot be described here: {error}."
        return
    if not protocol.private:
        yield f"The strategy {protocol.name} hides nothing: the server sees every hospital's numbers. Nodes refuse it."
        return
    yield f"The server opens the sums, by the strategy {protocol.name}. It learns {about['Server learns'].rstrip('.')}."
    yield f"Trust: {about['Trusts'].rstrip('.')}."
    cohort = _cohort(agreement)
    yield (
        f"With these parameters, {_colluders(protocol.withstands(cohort), 'follows the protocol')}, and "
        f"{_colluders(protocol.withstands(cohort, True), 'does as it likes')}."
    )
    if needs_trust(agreement):
        yield TRUST
    yield "Everybody who gets the model learns what the model tells."


def needs_trust(agreement: Agreement) -> bool:
    """Whether the strategy promises nothing against a malicious server, so that nodes refuse it unless they trust it.

    Raises ConfigurationError where the strategy is not installed here.
    """
    return _built(agreement).withstands(_cohort(agreement), True) < 0


def _built(agreement: Agreement) -> SecureSum[Any, Any]:
    return catalog.build(agreement.strategy.name, dict(agreement.strategy.parameters))


def _cohort(agreement: Agreement) -> range:
    return range(1, max(len(agreement.hospitals), agreement.floor) + 1)


def _colluders(number: int, does: str) -> str:
    if number < 0:
        return f"nothing is promised where the server {does}"
    return f"{number or 'no'} other hospital{'s' * (number != 1)} may help a server that {does}"


def _derived(agreement: Agreement) -> Iterator[str]:
    encoding = agreement.encoding
    if encoding.weights == "exact":
        yield (
            "Row counts: each hospital counts by its number of rows, so the total is opened, and from sums in which "
            "all changes have one size (a first step of Adam) each hospital's row count and the sign of each of its "
            "changes can be derived."
        )
    elif encoding.weights == "powers-of-two":
        yield (
            "Row counts to a power of two: those are agreed on here. No row count enters a sum, but weights still "
            "label the parts of it, for groups of hospitals with the same weight."
        )
    else:
        yield "No row count by weights: all hospitals weigh the same, and no weight labels a part of a sum."
        yield "All signs at once: where every hospital's change has the same size and sign, the sum says so."
    yield from about_metrics(agreement)
    if encoding.spec.measured:
        yield "Sizes of updates, to a factor of two and without names: the scale of the sums is measured."
    if agreement.cohort == "sampled" or agreement.floor < len(agreement.hospitals):
        yield (
            "One hospital's part, roughly, where two sums differ by that hospital: it dropped out of one of them"
            + (", or was not sampled" if agreement.cohort == "sampled" else "")
            + ". The models of the two sums differ, which blurs it and does not hide it."
        )
    yield (
        "Rows, from sums over few hospitals with few rows, and from the trained model: no noise is added "
        f"(privacy = {agreement.privacy!r}). Only noise prevents that."
    )
    yield "A hospital that lies about its own update moves the mean, within the clip, and nobody can tell which it was."


def about_metrics(agreement: Agreement) -> Iterator[str]:
    """What sums of metrics can tell of row counts, by how they are rounded."""
    keys = sorted({key for stage in agreement.stages.values() for key in stage.metrics})
    spec = agreement.encoding.spec
    yield from metrics_tell({key: spec.grid_of(key) for key in keys}, [key for key in keys if spec.is_total(key)])


def metrics_tell(grids: Mapping[str, float | None], totals: Collection[str]) -> Iterator[str]:
    """What sums of metrics can tell of row counts: by their grids, None where there is none, and which are totals."""
    rounded = [key for key, grid in grids.items() if grid is not None]
    exact = [key for key, grid in grids.items() if grid is None and key not in totals]
    if exact:
        yield (
            f"Metrics that are summed exactly: {_list(exact)}. Shares of rows among them, such as an accuracy or a bin "
            "of a histogram, can tell every hospital's row count, and then its counts."
        )
    if rounded:
        grid = max(grid for grid in grids.values() if grid is not None)
        yield (
            f"Metrics that are rounded in the sum, to multiples of {grid:.1g} at most: {_list(rounded)}. Shares of "
            "rows among them tell row counts less exactly; how much less is not bounded."
        )
    if totals:
        yield (
            f"Totals over the rows of all hospitals: {_list(sorted(totals))}. One sum of them tells no hospital's row "
            "count; two sums tell that of a hospital which dropped out of one, or had no usable update in it."
        )


def _fixed(agreement: Agreement) -> Iterator[str]:
    encoding = agreement.encoding
    yield f"Strategy {agreement.strategy.name} with {_pairs(agreement.strategy.parameters)}."
    clip = "is not bounded" if encoding.clip is None else f"is scaled down to changes of at most {encoding.clip:g}"
    yield f"An update {clip}" + (f", and to norms of {_pairs(encoding.bounds)}" if encoding.bounds else "") + "."
    yield f"Weights are {encoding.weights}" + (
        f"; an update with more than {encoding.largest_weight} {encoding.weight_key} counts as none."
        if encoding.largest_weight
        else "."
    )
    yield (
        f"Metrics lie within {_pairs({key: f'{low:g} to {high:g}' for key, (low, high) in encoding.ranges.items()})}; "
        f"others within {_interval(encoding.metric_range)}. What lies outside is cut.{_grids(encoding)}"
    )
    yield f"No parameter of a model that is trained from exceeds {agreement.largest_parameter:g}."
    yield f"fedsec {agreement.fedsec}" + (
        f", and the app whose files have the SHA-256 {agreement.bundle}."
        if agreement.bundle
        else ", and the app as it is installed at the hospital: no bundle is named."
    )
    yield f"Run configuration: {_pairs(agreement.configuration)}."
    if agreement.free:
        yield f"Free in the run configuration, since nothing that leaves depends on them: {', '.join(agreement.free)}."


def _grids(encoding: Encoding) -> str:
    """How metrics are rounded."""
    spec = encoding.spec
    single = [f"{key} to multiples of {grid:g}" for key, grid in encoding.grids.items() if not spec.is_total(key)]
    others = [] if encoding.metric_grid is None else [f"{'others' if single else 'all'} to {encoding.metric_grid:g}"]
    texts = [
        *([f" Rounded are {', '.join([*single, *others])}, times the heaviest weight."] if single or others else []),
        *([f" Totals over rows, which are not rounded: {', '.join(encoding.totals)}."] if encoding.totals else []),
    ]
    return "".join(texts)


def _interval(bounds: tuple[float, float]) -> str:
    return "±2^31" if bounds == (-VALUES, VALUES) else f"{bounds[0]:g} to {bounds[1]:g}"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value if value != '' else 'empty'}" for key, value in values.items()) or "none"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _plural(number: int, one: str) -> str:
    return f"{number:,} {one}{'s' * (number != 1)}"


def _count_bits(agreement: Agreement) -> str:
    return f"{math.log2(max(len(agreement.hospitals), agreement.floor) + 1):.2g}"
