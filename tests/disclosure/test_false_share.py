"""A hospital that answers with a false share of the sum, while others do not answer at all; and one proven false."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Error, Message

from fedsec.errors import RunFailed
from fedsec.flower.records import RECORD
from fedsec.server.coordinator import FALSE_ANSWER
from fedsec.strategies.shamir import Shamir, ShareOfSum, SumShares
from fedsec.wire import envelope
from tests.disclosure.attacked import FIRST, Server
from tests.disclosure.test_dishonest_hospital import HOSPITALS, MODEL, corrupt, hospitals

pytestmark = pytest.mark.slow  # whole federations are attacked


def silent(server: Server, places: Collection[int], phase: type[Any]) -> None:
    """Let these hospitals not answer a phase."""
    honest = server.grid.mod

    def mod(message: Message, context: Context, app: Any) -> Message:
        asked = envelope.read(message.content.config_records[RECORD]["request"]).header.phase
        if asked == phase.tag and context.node_id - FIRST in places:
            return Message(Error(0, "lost"), reply_to=message)
        return honest(message, context, app)

    server.grid.mod = mod


def false_share(true: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A share of the sum that is another one in every value."""
    state, reply = true(*given, **named)
    if isinstance(reply, ShareOfSum):
        reply = replace(reply, share=(reply.share + 1) % ((1 << reply.prime_bits) - 1))
    return state, reply


@pytest.mark.parametrize(
    ("spare", "outcome"),
    [
        (0, "another model"),
        (1, "they are not on one polynomial; to correct one, 7 are needed, and nothing proves which"),
        (2, "the right model"),
    ],
)
def test_a_false_share_among_lost_ones_is_corrected_or_makes_the_round_void(
    tmp_path: Path, spare: int, outcome: str
) -> None:
    """With as many answers as it takes there is nothing to compare; one more detects, two more correct."""
    server = hospitals(tmp_path)
    needed = Shamir().points_needed(range(HOSPITALS))
    corrupt(server, 0, Shamir, "respond", false_share)
    silent(server, range(needed + spare, HOSPITALS), SumShares)
    secure = server.founds()
    if spare == 1:
        with pytest.raises(RunFailed, match=outcome):
            server.asks(secure, MODEL)
    else:
        try:
            right = np.allclose(server.asks(secure, MODEL)[0], 0.5, atol=1e-5)
        except RunFailed as error:  # a sum of no honest inputs
            assert "one hospital's input is enough for this" in str(error)
            right = False
        assert right is (outcome == "the right model")
    assert 1 not in [party for _, party, why in secure.rounds[-1].incidents if "lost" not in why]


def impossible(true: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A share in another field than the sum's, which proves its sender false."""
    state, reply = true(*given, **named)
    return state, replace(reply, prime_bits=61) if isinstance(reply, ShareOfSum) else reply


def test_a_hospital_proven_false_ends_no_run_whose_cohort_is_all(tmp_path: Path) -> None:
    """The others refuse a cohort without it: it stays in theirs, and is asked nothing again."""
    server = hospitals(tmp_path)
    assert server.agreement is not None and server.agreement.cohort == "all"
    corrupt(server, 0, Shamir, "respond", impossible)
    secure, before = server.founds(), len(server.app.read)
    for step in range(4):
        assert np.allclose(server.asks(secure, MODEL + step)[0], step + 0.5, atol=1e-5)
        assert secure.rounds[-1].incidents == (("release", 1, FALSE_ANSWER),)
    read = sorted(place for place, _ in server.app.read[before:])
    assert read == [0, *sorted(4 * list(range(1, HOSPITALS)))]


def test_where_no_dropout_is_tolerated_rounds_after_it_are_void_and_nobody_is_asked(tmp_path: Path) -> None:
    server = hospitals(tmp_path, 3, "shamir:server=malicious")
    corrupt(server, 0, Shamir, "respond", impossible)
    secure = server.founds()
    with pytest.raises(RunFailed, match="phase SumShares: 2 of 3 parties answered and 3 are needed"):
        server.asks(secure, MODEL)
    read = len(server.app.read)
    for step in (1, 2):
        with pytest.raises(RunFailed, match=r"proven false, and left out of this cohort of 3: party 1. .* no dropout,"):
            server.asks(secure, MODEL + step)
        assert secure.rounds[-1].incidents == (("release", 1, FALSE_ANSWER),)
    assert len(server.app.read) == read
