"""What a server notes in its trail of each aggregation: what was released over whom, who did not answer, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedsec.agreement.agreement_file import Agreement
from fedsec.errors import ConfigurationError, expect
from fedsec.flower.verdict import NOTED, Round
from fedsec.protocol import PartyId
from fedsec.trail import Trail
from fedsec.wire.membership import Member

SERVER = "server"


def of_option(path: Path | str | None) -> Trail | None:
    """The trail that an option names; raises ConfigurationError where that is no path."""
    if path is None:
        return None
    expect("trail", path, (Path, str), "the path of a file, or None")
    if not str(path):
        raise ConfigurationError("trail is ''; the path of a file, or None, was expected")
    return Trail(Path(path).expanduser(), SERVER)


def note(trail: Trail, outcome: Round, roster: Mapping[PartyId, Member], agreement: Agreement | None) -> None:
    """Add what an aggregation came to; raises TrailError where that cannot be."""

    def named(party: PartyId) -> str:
        known = roster.get(party)
        return (agreement.name_of(known.identity) if agreement and known else "") or f"party {party}"

    about: dict[str, Any] = {"round": outcome.round, "stage": outcome.stage}
    for phase, party, reason in outcome.incidents:
        if phase != NOTED:  # what a simulated hospital tells of its own update
            trail.add("not answered", **about, phase=phase, hospital=named(party), reason=reason)
    if agreement:
        about["agreement"] = agreement.hash.hex()
    if outcome.failure:
        trail.add("void", **about, reason=outcome.failure)
    else:
        trail.add("released", **about, hospitals=[named(party) for party in outcome.parties], sum=outcome.sum_hash)
