"""A server that watches who refuses: what a hospital's rows decide is neither refused nor told, but counted in the sum.

The app refuses rows beyond a limit that the server sends, as many apps check their rows. By halving the limit's range a
server would read a single patient's largest value, one bit in each session.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.errors import RunFailed
from tests.disclosure.attacked import Real, Server, deployed, refused, simulated

pytestmark = pytest.mark.slow  # whole federations are attacked

HOSPITALS, SESSIONS = 5, 10
PATIENTS = [np.random.default_rng(seed).random(30 + seed) for seed in range(HOSPITALS)]
LARGEST = [float(rows.max()) for rows in PATIENTS]
COUNTS = [len(rows) for rows in PATIENTS]
OPTIONS: dict[str, Any] = {"weights": "equal", "clip": 4.0, "metric_ranges": {"loss": (0.0, 1.0)}}


def app(order: tuple[int, ...] = tuple(range(HOSPITALS))) -> Callable[..., tuple[Real, Mapping[str, Any]]]:
    """The app where hospital `place` has the rows of `order[place]`; updates are the same everywhere."""

    def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
        rows = PATIENTS[order[place]]
        if rows.max() > config.get("limit", 2.0):
            raise ValueError(f"a value of {rows.max()}")
        return model + 0.5, {"loss": 0.25, "num-examples": len(rows)}

    return train


def bisected(beyond: Callable[[float, int], bool], sessions: int, high: float) -> float:
    """Where halving ends, if `beyond(middle, session)` says whether a value is above the middle."""
    low = 0.0
    for session in range(sessions):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle, session) else (low, middle)
    return high


def named(server: Server, place: int) -> float:
    """The largest value of one hospital's patients, as its answers tell."""

    def beyond(limit: float, session: int) -> bool:
        secure = server.founds()
        with suppress(RunFailed):  # with fewer usable updates than the floor
            server.asks(secure, np.full(2, float(session)), limit=limit)
        return place + 1 in [party for _, party, _ in secure.rounds[-1].incidents]

    return bisected(beyond, SESSIONS, 1.0)


def test_refusals_would_tell_a_patient_s_largest_value(tmp_path: Path) -> None:
    server = simulated(app(), HOSPITALS, **OPTIONS)
    assert named(server, 2) == pytest.approx(LARGEST[2], abs=2.0**-SESSIONS)
    hospitals = deployed(tmp_path, app(), HOSPITALS, {"train": SESSIONS}, np.ones(2), **OPTIONS)
    found = named(hospitals, 2)
    assert not hospitals.grid.reasons
    assert found <= 2.0**-SESSIONS  # no answer ever differed
    with refused(hospitals, f"stage 'train' has had the {SESSIONS} sums that the agreement allows"):
        hospitals.asks(hospitals.founds(), np.full(2, -1.0), limit=0.5)


def seen(folder: Path, order: tuple[int, ...], limits: list[float]) -> list[Any]:
    """All that a server sees of deployed hospitals with these rows, beside what is random: sums, counts and words."""
    server = deployed(folder, app(order), HOSPITALS, {"train": len(limits)}, np.ones(2), **OPTIONS)
    view: list[Any] = []
    for number, limit in enumerate(limits):
        secure = server.founds()
        try:
            server.asks(secure, np.full(2, float(number)), limit=limit)
            view.append(server.opened[-1].sum.vector.tolist())
        except RunFailed as error:
            view.append(str(error))
        view.append((secure.rounds[-1].unusable, secure.rounds[-1].incidents))
    return [*view, list(server.grid.reasons)]


def test_which_hospital_s_rows_are_beyond_a_limit_changes_nothing_that_a_server_sees(tmp_path: Path) -> None:
    """It learns how many hospitals are beyond the limit it chose: log2(n + 1) bits a session, and the number is agreed.

    In six sessions these are all of the counts that five hospitals can have, and rows that other hospitals hold, of
    which each has another number, lead to the same bytes.
    """
    cuts = [0.0, *sorted(LARGEST)]
    limits = [(low + high) / 2 for low, high in itertools.pairwise(cuts)] + [1.0]
    views = [
        seen(tmp_path / str(number), order, limits) for number, order in enumerate([(0, 1, 2, 3, 4), (3, 1, 4, 0, 2)])
    ]
    assert views[0] == views[1] and views[0][-1] == []
    counts = {view[0] for view in views[0] if isinstance(view, tuple)}
    assert counts <= set(range(HOSPITALS + 1))
    assert math.log2(len(counts)) <= math.log2(HOSPITALS + 1)


def test_bounds_that_a_server_moves_would_tell_row_counts_and_losses_and_are_refused(tmp_path: Path) -> None:
    """Where weights are the number of rows: a bound below a hospital's count makes its update unusable."""
    exact = {**OPTIONS, "weights": "exact", "largest_weight": 1000}
    server = simulated(app(), HOSPITALS, **exact)

    def more_rows(limit: float, session: int) -> bool:
        secure = server.founds(largest_weight=max(1, math.floor(limit)))
        with suppress(RunFailed):
            server.asks(secure, np.full(2, float(session)))
        return 3 in [party for _, party, _ in secure.rounds[-1].incidents]

    assert math.floor(bisected(more_rows, 12, 1000.0)) == COUNTS[2]
    hospitals = deployed(tmp_path, app(), HOSPITALS, {"train": 9}, np.ones(2), **exact)
    with refused(hospitals, "encoding largest_weight is 32; agreed was 1000"):
        hospitals.asks(hospitals.founds(largest_weight=32), np.zeros(2))
    with refused(hospitals, "encoding ranges is {'loss': (0.0, 0.2)}; agreed was {'loss': (0.0, 1.0)}"):
        hospitals.asks(hospitals.founds(ranges={"loss": (0.0, 0.2)}), np.zeros(2))
    with refused(hospitals, "encoding weight_key is 'loss'; agreed was 'num-examples'"):
        hospitals.asks(hospitals.founds(weight_key="loss"), np.zeros(2))
    for value, text in ((np.nan, "nan"), (1e30, "1e+30"), (2**62, "4.61169e+18")):
        with refused(hospitals, f"array 'w' of the model has the value {text}"):
            hospitals.asks(hospitals.founds(), np.full(2, value))


def leaving(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    """An app that ends its process at one hospital, as scripts do that find something wrong with rows."""
    if place == 1:
        sys.exit("no such rows")
    return model + 0.5, {}


def test_an_app_that_would_leave_tells_nothing_either(tmp_path: Path) -> None:
    server = deployed(tmp_path, leaving, HOSPITALS, {"train": 1}, np.ones(2), weights="equal", clip=4.0)
    secure = server.founds()
    server.asks(secure, np.ones(2))
    assert (secure.rounds[-1].unusable, secure.rounds[-1].incidents, server.grid.reasons) == (1, (), [])


def test_where_one_hospital_alone_has_a_usable_update_its_sum_is_that_update(tmp_path: Path) -> None:
    """An honest server calls such a round void, with fewer usable updates than the floor, after the sum was opened.

    What apps fail on is the server's choice, by the model or by what it sends with it. Only noise prevents this.
    """
    changes = np.random.default_rng(9).normal(0, 0.3, (HOSPITALS, 2))

    def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
        if PATIENTS[place].max() > config.get("limit", 2.0):
            raise ValueError("a value beyond the limit")
        return model + changes[place], {"loss": 0.25}

    protocol = "secagg:server=malicious"
    server = deployed(tmp_path, train, HOSPITALS, {"train": 1}, np.ones(2), protocol, node={}, **OPTIONS)
    secure, (lowest, second) = server.founds(), sorted(LARGEST)[:2]
    with pytest.raises(RunFailed, match="4 of 5 hospitals had no usable update, and at least 3 are needed"):
        server.asks(secure, np.ones(2), limit=(lowest + second) / 2)
    half = 1 << (secure.protocol.value_bits - 1)
    parameters = server.opened[-1].sum.vector[:2].astype(np.int64) - HOSPITALS * half
    read = parameters * OPTIONS["clip"] / (half - 1)
    assert np.allclose(read, changes[LARGEST.index(lowest)], atol=1e-5)
    said = [text for section in secure.disclosure().sections for text in section.sentences]
    assert any("every round was void, and a sum may have been opened before its round was" in text for text in said)
