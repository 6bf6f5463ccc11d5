"""What an agreement admits: each check compares a request with it, and names field, what was asked and what was agreed.

All of it depends on messages, the node's configuration and the agreement alone, never on rows, so a refusal may say
what it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import fedsec
from fedsec.agreement.agreement_file import Agreement, kind, trains
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import Arrays, ArraySpec, Layout, difference, spec_of
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import BadMessage, LayoutError, PolicyError
from fedsec.protocol import PartyId, SecureSum
from fedsec.wire import codec
from fedsec.wire.membership import Member

CURE = "the server has to keep to the agreement, or all have to agree on another (`fedsec agree compare`)"

QUERY = "query"
"""Stages whose messages may hold arrays of the app's own, or none."""
PARAMETERS = "fiu"
"""The kinds of NumPy's dtypes that an update may have."""
NUMBERS = f"{PARAMETERS}b"
"""The kinds that a model may have."""


@dataclass(frozen=True)
class Allowance:
    """One answer to one model in a stage: what a journal counts. `limit` is the number of answers of the stage."""

    agreement: bytes
    stage: str
    model: bytes
    limit: int


def admit_software(agreement: Agreement) -> None:
    """Raise PolicyError unless this is the version of fedsec that was agreed on."""
    if agreement.fedsec != fedsec.__version__:
        raise PolicyError(f"this is fedsec {fedsec.__version__}; the agreement names {agreement.fedsec}")


def admit_named(agreement: Agreement, named: bytes) -> None:
    """Raise PolicyError unless terms name this agreement by its hash; a hospital may have approved another since."""
    if named != agreement.hash:
        what = f"agreement {named.hex()[:12]}" if named else "no agreement"
        raise PolicyError(f"the server offers terms under {what}; agreed was {agreement.hash.hex()[:12]}: {CURE}")


def admit_terms(
    agreement: Agreement, named: bytes, offered: SecureSum[Any, Any], mean: MeanSpec, agreed: SecureSum[Any, Any]
) -> None:
    """Raise PolicyError unless the terms that a server offers are those of the agreement that they name."""
    admit_named(agreement, named)
    if type(offered) is not type(agreed):
        raise _refused("strategy", offered.name, agreed.name)
    ours, theirs = agreed.parameters(), offered.parameters()
    for key in sorted(ours):
        if ours[key] != theirs[key]:
            raise _refused(f"strategy parameter {key}", theirs[key], ours[key])
    expected = agreement.encoding.spec
    for each in fields(expected):
        if getattr(mean, each.name) != getattr(expected, each.name):
            raise _refused(f"encoding {each.name}", getattr(mean, each.name), getattr(expected, each.name))


def admit_roster(agreement: Agreement, roster: Mapping[PartyId, Member]) -> None:
    """Raise PolicyError unless these parties are hospitals of the agreement, and all of them where all contribute."""
    strangers = [party for party, member in sorted(roster.items()) if member.identity not in agreement.keys]
    if strangers:
        raise PolicyError(f"parties {strangers} of the roster are not hospitals of the agreement")
    if agreement.cohort == "all" and len(roster) < len(agreement.keys):
        raise PolicyError(
            f"{len(roster)} of the agreement's {len(agreement.keys)} hospitals are enrolled, and its cohort is all of "
            "them: wait for the others, or agree on cohort = 'sampled'"
        )


def admit_cohort(agreement: Agreement, cohort: Collection[PartyId], roster: Collection[PartyId]) -> None:
    """Raise PolicyError unless these contributors are who was agreed on."""
    if agreement.cohort == "all" and set(cohort) != set(roster):
        raise PolicyError(f"a cohort of {len(cohort)}; the agreement's cohort is all {len(roster)} hospitals")


def admit_session(agreement: Agreement, stage: str, plan: Plan | None) -> Allowance:
    """What this session takes of the stage's allowance; raises PolicyError where it was not agreed on."""
    agreed = agreement.stages.get(stage)
    if agreed is None:
        raise PolicyError(f"stage {stage!r} is not in the agreement, which has {sorted(agreement.stages)}: {CURE}")
    if plan is None:
        raise PolicyError("a request for an input without a plan of its encoding; the agreement names the encoding")
    if plan.measuring:
        raise PolicyError("a session that measures the scale, which the agreement names; nothing is measured")
    if plan.layout and plan.layout != agreement.layouts[stage]:
        asked = codec.decode(plan.layout, Layout)
        raise PolicyError(
            f"the plan's layout of stage {stage!r} is not the agreement's: "
            f"{difference(asked, agreement.layout(stage))}: {CURE}"
        )
    return Allowance(agreement.hash, stage, plan.model, agreed.sessions + agreed.repeats)


def admit_configuration(agreement: Agreement, asked: Mapping[str, Any]) -> None:
    """Raise PolicyError unless a run's configuration is the agreement's, but for keys that it leaves free."""
    for key in sorted(agreement.configuration.keys() | asked.keys() - set(agreement.free)):
        ours, theirs = agreement.configuration.get(key), asked.get(key)
        if type(ours) is not type(theirs) or ours != theirs:
            raise _refused(f"run configuration {key!r}", theirs, ours)


def admit_bundle(agreement: Agreement, found: str) -> None:
    """Raise PolicyError unless the app's files are those that were agreed on; `found` is their SHA-256, or "" where
    the app runs from what is installed here."""
    if found != agreement.bundle:
        raise _refused("app bundle", found or "no bundle", agreement.bundle or "no bundle")


def admit_model(agreement: Agreement, stage: str, arrays: Arrays) -> None:
    """Raise PolicyError on a model that no honest training leads to: before any row is read.

    Its arrays must be the agreement's where it is trained or evaluated, and every parameter finite and within
    `largest_parameter`.
    """
    if agreement.arrays and kind(stage) != QUERY:
        try:
            # A model that is only evaluated may have masks beside its parameters, which no update holds.
            counted = {name: one for name, one in arrays.items() if trains(stage) or one.dtype.kind in PARAMETERS}
            found = tuple(spec_of(name, array) for name, array in sorted(counted.items()))
        except LayoutError as error:
            raise PolicyError(f"the model is not the agreement's: {error}") from error
        expected = agreement.updates
        if found and not _covers(found, expected):
            raise PolicyError(
                f"the model is not the agreement's: {difference(Layout(found, {}), Layout(expected, {}))}: {CURE}"
            )
    for name, array in sorted(arrays.items()):
        if array.dtype.kind not in NUMBERS:
            raise PolicyError(f"array {name!r} of the model has dtype {array.dtype}; numbers were expected")
        if array.size:
            extremes = float(array.min()), float(array.max())  # NaN where one is
            for value in extremes:
                if not abs(value) <= agreement.largest_parameter:
                    raise PolicyError(
                        f"array {name!r} of the model has the value {value:g}; the agreement's largest_parameter is "
                        f"{agreement.largest_parameter:g}"
                    )


def _covers(found: Collection[ArraySpec], expected: Collection[ArraySpec]) -> bool:
    """Whether a model has every array that updates hold; it may have others, which stay as they are.

    Dtypes are left out: Flower makes floats of integers when it averages.
    """
    return {(one.name, one.shape) for one in expected} <= {(one.name, one.shape) for one in found}


def weight_of(agreement: Agreement, identity: bytes) -> int | None:
    """The weight that was agreed on for this hospital; None where its own row count, or 1, is taken."""
    return next((one.weight for one in agreement.hospitals if one.key == identity.hex()), None)


def check_answer(agreement: Agreement, stage: str, layout: bytes) -> None:
    """Raise BadMessage where this party's own contribution has another layout than was agreed on."""
    if layout != agreement.layouts[stage]:
        raise BadMessage("this party's contribution has not the agreement's layout, and was not sent")


def _refused(field: str, asked: object, agreed: object) -> PolicyError:
    return PolicyError(f"{field} is {asked!r:.200}; agreed was {agreed!r:.200}: {CURE}")
