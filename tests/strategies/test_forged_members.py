"""A server shows most hospitals a roster in which one member's signature is forged: nobody complains of that member.

A roster's hash holds no signatures, so all are in one session. To whom the member is a stranger no seal of it opens; if
that were a reason to complain, the member would open genuine shares of its input to the server.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from fedsec import catalog
from fedsec.errors import FedsecError
from fedsec.protocol import complaints
from fedsec.protocol.complaints import Complaint
from fedsec.wire.membership import roster_hash
from tests.conftest import DishonestServer

HOSPITALS, VICTIM = 7, 7
DISPUTING = [
    (name, options)
    for name in catalog.names()
    if (kind := catalog.strategy(name)).dispute_phases
    for options in ([{"server": "semi-honest"}, {"server": "malicious"}] if "server" in kind().parameters() else [{}])
]


@pytest.mark.parametrize(("name", "options"), DISPUTING)
def test_nobody_complains_of_a_member_that_it_does_not_believe_in(
    monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    made, protocol = list[Complaint](), catalog.strategy(name)(**options)
    led = DishonestServer(protocol, HOSPITALS)
    believed = led.enrol()
    forged = {**believed, VICTIM: replace(believed[VICTIM], signature=bytes(64))}
    assert roster_hash(believed) == roster_hash(forged)
    for party in believed:
        led.adopt(party, believed if party == VICTIM else forged)
    led.coordinator.roster = believed
    complain = complaints.complain

    def noted(*given: Any) -> Any:
        found = complain(*given)
        made.extend([found] if found else [])
        return found

    monkeypatch.setattr(complaints, "complain", noted)
    session = led.session()
    with contextlib.suppress(FedsecError):  # without the victim there may be too few
        led.run(protocol.aggregate(session.cohort, led.coordinator.public), dict.fromkeys(session.cohort, session))
    assert VICTIM in led.contributed or name.startswith("secagg")
    assert not [one for one in made if VICTIM in one.digests]
