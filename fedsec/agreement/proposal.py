"""An agreement for a deployment, proposed from that of a simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from fedsec import catalog
from fedsec.agreement.agreement_file import Agreement, Encoding, Hospital, validated
from fedsec.encoding.fixed_point import FixedPoint, prove_headroom
from fedsec.encoding.mean_spec import WeightRule
from fedsec.errors import ConfigurationError, unknown

KEEP_CLIP = "the largest change of a parameter in a round; the simulation warns if one scales updates down"


def for_deployment(
    drafted: Agreement,
    server: bytes,
    hospitals: Sequence[Hospital],
    *,
    weights: WeightRule = "equal",
    clip: float | None = None,
    largest_weight: int | None = None,
    bundle: str | None = None,
    title: str | None = None,
    free: Collection[str] = (),
) -> Agreement:
    """The agreement of these hospitals on what a simulation did, whose own agreement is `drafted`.

    What is None stays as the simulation had it. Nothing is measured: raises ConfigurationError where no clip is named,
    or no largest weight where weights are exact, and where these hospitals cannot run the strategy.
    """
    encoding = drafted.encoding
    heaviest = largest_weight
    if weights == "exact":
        heaviest = heaviest or encoding.largest_weight
    elif weights == "powers-of-two":
        heaviest = heaviest or max((one.weight or 0 for one in hospitals), default=0) or None
    clip = encoding.clip if clip is None else clip
    if clip is None:
        raise ConfigurationError(f"clip is not named, for the simulation measured its scale: name it, {KEEP_CLIP}")
    if weights != "equal" and heaviest is None:
        raise ConfigurationError(
            f"largest_weight is not named and weights are {weights}: name the most {encoding.weight_key} of a hospital"
        )
    for key in free:
        if key not in drafted.configuration:
            raise unknown("key of the run configuration", key, drafted.configuration)
    proposed = {
        **drafted.model_dump(mode="json"),
        "title": drafted.title if title is None else title,
        "server": server.hex(),
        "hospitals": [one.model_dump(mode="json") for one in hospitals],
        "encoding": {**_rounded(encoding, weights), "weights": weights, "clip": clip, "largest_weight": heaviest},
        "bundle": drafted.bundle if bundle is None else bundle,
        "configuration": {key: value for key, value in drafted.configuration.items() if key not in free},
        "free": sorted({*drafted.free, *free}),
    }
    made = validated(proposed, "for these hospitals")
    check_runs(made)
    return made


def _rounded(encoding: Encoding, weights: WeightRule) -> dict[str, Any]:
    """The encoding of a simulation; its grid of metrics is not kept where it had other weights."""
    if weights == encoding.weights:
        return encoding.model_dump(mode="json")
    if encoding.totals:
        raise ConfigurationError(
            f"the simulation had {encoding.weights} weights, with totals over rows among its metrics; {weights} ones "
            f"take none: simulate with {weights} weights, or propose --weights {encoding.weights}"
        )
    return {**encoding.model_dump(mode="json"), "metric_grid": None, "grids": {}}


def check_runs(agreement: Agreement) -> None:
    """Raise ConfigurationError or HeadroomError where the agreement's hospitals cannot run its strategy."""
    protocol = catalog.build(agreement.strategy.name, dict(agreement.strategy.parameters))
    if not protocol.private:
        raise ConfigurationError(
            f"strategy {protocol.name!r} shows the server every hospital's numbers, and a deployed node refuses it: "
            "agree on another one (`fedsec strategies` lists them)"
        )
    cohort = range(1, len(agreement.hospitals) + 1)
    protocol.check(cohort)
    prove_headroom(protocol.value_bits, len(cohort), protocol.capacity(cohort))
    FixedPoint(protocol.value_bits, agreement.encoding.clip or 1.0)
    _check_groups(agreement, protocol.tolerance(cohort).values())


def _check_groups(agreement: Agreement, tolerated: Collection[int]) -> None:
    """Raise ConfigurationError where dropouts may leave fewer than the floor of those who share an agreed weight.

    A server chooses whom it calls lost. tolerated: dropouts, by phase.
    """
    lost = max(tolerated, default=0)
    groups = Counter(one.weight for one in agreement.hospitals if one.weight is not None)
    for weight, count in sorted(groups.items()):
        if count - lost < agreement.floor:
            raise ConfigurationError(
                f"weight {weight} is that of {count} hospitals, of which {lost} may drop out of a sum; that leaves "
                f"{max(count - lost, 0)}, and the floor is {agreement.floor}: choose parameters that tolerate at most "
                f"{max(count - agreement.floor, 0)} dropouts, join weights, or agree on equal ones"
            )
