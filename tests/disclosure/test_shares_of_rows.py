"""Shares of rows in a sum under equal weights: exact ones tell all row counts, rounded ones less, and totals none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from fedsec.app import client_app
from fedsec.app.config import RunConfig
from fedsec.data import preparation
from fedsec.data.label import Label
from fedsec.data.preparation import COUNT, PRESENT
from fedsec.data.schema import Number, Schema
from fedsec.data.table_columns import of_columns
from fedsec.encoding import wide
from fedsec.flower import SecureAggregation
from fedsec.flower.records import from_numpy
from fedsec.learning import models
from fedsec.learning.auc import NEGATIVE, POSITIVE, RANGES, auc_of_histogram, histogram
from tests.disclosure.attacked import FIRST, Server, Train, deployed
from tests.disclosure.lattice import common_denominator

pytestmark = pytest.mark.slow  # whole federations are attacked

COUNTS = (61, 77, 90, 104, 123)
ROWS = sum(COUNTS)
RNG = np.random.default_rng(8)
TARGET = RNG.integers(0, 2, ROWS).astype(np.float64)
SCORE = RNG.normal(0.0, 2.0, ROWS) + 2 * TARGET
FINEST = 2.0**-60
EQUAL: dict[str, Any] = {"weights": "equal", "clip": 4.0, "metric_ranges": RunConfig().spec().ranges}
MODEL = np.zeros(1)


def evaluated(counts: Sequence[int], shares: bool) -> Train:
    """Each hospital's histograms of the scores of its rows, whose number these are."""
    parts = np.split(np.arange(ROWS), np.cumsum(counts)[:-1])
    return lambda place, model, config: (model, histogram(SCORE[parts[place]], TARGET[parts[place]], shares))


def own_counts() -> list[dict[str, list[float]]]:
    """Each hospital's rows by bin, in the order of the sum."""
    parts = np.split(np.arange(ROWS), np.cumsum(COUNTS)[:-1])
    each = (histogram(SCORE[part], TARGET[part], shares=False) for part in parts)
    return [{key: one[key] for key in sorted(one)} for one in each]


def sums_of(server: Server, grid: float) -> list[Fraction]:
    """What the server opened of the bins, with all digits that the sum has."""
    secure = server.founds()
    server.asks(secure, MODEL, "evaluate")
    vector, bits = server.opened[-1].sum.vector, secure.protocol.value_bits
    sums = wide.decode(vector[-wide.limbs(bits) * 128 :], len(COUNTS), bits)
    return [number * Fraction(grid) for number in sums if number]


def denominator(sums: Sequence[Fraction], precision: int) -> int:
    """What the fullest bins have for a common denominator, as far as their digits tell."""
    return common_denominator(sorted(sums)[-4:], precision)


def explained(whole: int, parts: Sequence[int], most: Sequence[int]) -> list[tuple[int, ...]]:
    """All ways to write a number as a sum of multiples of the parts, with multipliers up to `most`."""
    if len(parts) == 1:
        times, rest = divmod(whole, parts[0])
        return [(times,)] if not rest and times <= most[0] else []
    first = range(min(most[0], whole // parts[0]) + 1)
    return [(k, *more) for k in first for more in explained(whole - k * parts[0], parts[1:], most[1:])]


def test_exact_sums_of_shares_tell_a_common_denominator_of_all_row_counts(tmp_path: Path) -> None:
    """One sum is enough. On the grid that is agreed on unless another is, its digits do not tell it."""
    told = {}
    for grid, options in ((FINEST, {"metric_grids": dict.fromkeys(RANGES, FINEST)}), (2.0**-10, {})):
        server = deployed(tmp_path / f"{grid}", evaluated(COUNTS, True), 5, {"evaluate": 1}, MODEL, **EQUAL, **options)
        assert server.agreement is not None and server.agreement.encoding.spec.grid_of(POSITIVE) == grid
        sums = sums_of(server, grid)
        told[grid] = denominator(sums, 46 if grid == FINEST else 10)
        if grid == FINEST:
            assert all(abs(told[grid] * each - round(told[grid] * each)) < 1e-6 for each in sums)
            fine = sums
    whole = math.lcm(*COUNTS)
    assert told[FINEST] == whole
    own = np.array([np.concatenate(list(one.values())) for one in own_counts()]).T.astype(int)
    found = [explained(round(whole * each), [whole // count for count in COUNTS], COUNTS) for each in fine]
    right = [each == [tuple(row)] for each, row in zip(found, (row for row in own if row.any()), strict=True)]
    assert (sum(right), len(right)) == (76, 76)  # given the row counts, each hospital's own count in each bin
    assert not any(told[2.0**-10] % count == 0 for count in COUNTS)


@pytest.mark.parametrize("others", [(91, 91, 91, 91, 91), (3, 400, 12, 20, 20), COUNTS[::-1]])
def test_totals_tell_the_rows_of_all_hospitals_together_and_not_whose_they_are(
    tmp_path: Path, others: tuple[int, ...]
) -> None:
    """However the rows lie at the hospitals, the sum is the same to the last bit."""
    spec = RunConfig(equal_weights=True).spec()
    options: dict[str, Any] = {**EQUAL, "metric_ranges": spec.ranges, "totals": spec.totals}
    views = []
    for counts in (COUNTS, others):
        server = deployed(tmp_path / str(counts), evaluated(counts, False), 5, {"evaluate": 1}, MODEL, **options)
        secure = server.founds()
        found = server.asks(secure, MODEL, "evaluate")[1]
        views.append(server.opened[-1].sum.vector.tolist())
        assert sum(map(sum, (found[POSITIVE], found[NEGATIVE]))) == pytest.approx(ROWS / 5)
    assert views[0] == views[1]
    assert auc_of_histogram(found) == pytest.approx(auc_of_histogram(histogram(SCORE, TARGET)))


def counted(server: Server, secure: SecureAggregation, model: float, **config: Any) -> tuple[float, float]:
    """What one sum comes to: all rows, and those of class 1."""
    found = server.asks(secure, np.full(1, model), "evaluate", **config)[1]
    positive, negative = (secure.rounds[-1].included * sum(found[key]) for key in (POSITIVE, NEGATIVE))
    return positive + negative, positive


@pytest.mark.parametrize("how", ["lost", "unusable"])
def test_two_totals_that_differ_by_a_hospital_tell_its_rows_whatever_the_models(how: str, tmp_path: Path) -> None:
    """The server calls a hospital lost in one of them, or has its app fail by what it sends with the model."""
    parts = np.split(np.arange(ROWS), np.cumsum(COUNTS)[:-1])

    def evaluate(place: int, model: Any, config: Mapping[str, Any]) -> Any:
        if len(parts[place]) > config.get("limit", ROWS):
            raise ValueError("too many rows for this app")
        return model, histogram(SCORE[parts[place]] * (1 + model[0]), TARGET[parts[place]], shares=False)

    spec = RunConfig(equal_weights=True).spec()
    options: dict[str, Any] = {**EQUAL, "metric_ranges": spec.ranges, "totals": spec.totals}
    server = deployed(tmp_path, evaluate, 5, {"evaluate": 2}, MODEL, **options)
    secure = server.founds()
    whole = counted(server, secure, 0.0)
    config: dict[str, Any] = {}
    if how == "lost":
        answer = server.grid.send_and_receive
        server.grid.send_and_receive = lambda messages, timeout=None: [  # type: ignore[method-assign]
            one for one in answer(messages, timeout=timeout) if one.metadata.src_node_id != FIRST + 4
        ]
    else:
        config = {"limit": COUNTS[4] - 1}
    less = counted(server, secure, 0.3, **config)
    assert (secure.rounds[-1].included, secure.rounds[-1].unusable) == ((4, 0) if how == "lost" else (5, 1))
    found = tuple(round(all_of - rest) for all_of, rest in zip(whole, less, strict=True))
    assert found == (123, int(TARGET[parts[4]].sum()))
    if how == "lost":  # which subtracts by who was in a sum
        (one,) = secure.disclosure().subtracted
        totals = {key.partition(" ")[0]: value for key, value in one.totals.items()}
        assert one.party == 5 and one.weight is None
        assert totals[POSITIVE] + totals[NEGATIVE] == pytest.approx(123, abs=1e-5)


def test_the_study_s_app_sends_totals_under_equal_weights_and_no_share_of_its_rows(tmp_path: Path) -> None:
    """Its replies, over rows of its own: counts are whole numbers, and add up to its rows."""
    rows = {"age": [f"{40 + row}" for row in range(37)], "died": ["1" if row % 3 else "0" for row in range(37)]}
    lines = ["age,died", *(f"{age},{died}" for age, died in zip(rows["age"], rows["died"], strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    agreed = Schema((Number("age", 0.0, 120.0),), Label("died", "classification"))
    (tmp_path / "schema.toml").write_text(agreed.to_toml())
    prepared = preparation.pooled(of_columns("rows", rows, agreed, ""))
    told = {}
    for equal in (True, False):
        run = {**RunConfig(dataset="own", equal_weights=equal, clients=3).model_dump(by_alias=True)}
        place = {"fedsec-data": str(tmp_path / "rows.csv"), "fedsec-schema": str(tmp_path / "schema.toml")}
        context = Context(1, 7, place, RecordDict(), run)
        config = ConfigRecord({"preparation": prepared.to_json(), "schema": agreed.to_toml(), "server-round": 1})
        arrays = from_numpy({"weights": np.zeros(1), "bias": np.zeros(1)})
        for kind in ("query.statistics", "evaluate"):
            message = Message(RecordDict({"arrays": arrays, "config": config}), dst_node_id=7, message_type=kind)
            app = client_app.count if kind == "query.statistics" else client_app.evaluate
            told[kind, equal] = dict(app(message, context).content.metric_records["metrics"])
    spec = RunConfig(equal_weights=True).spec()
    for kind in ("query.statistics", "evaluate"):
        counts = {key: value for key, value in told[kind, True].items() if spec.is_total(key)}
        expected = {COUNT, PRESENT} if kind == "query.statistics" else {POSITIVE, NEGATIVE, *models.COUNTS}
        assert counts.keys() >= expected
        shares = told[kind, False]
        assert {key: np.atleast_1d(value).tolist() for key, value in counts.items() if key != COUNT} == {
            key: pytest.approx((37 * np.atleast_1d(shares[key])).tolist()) for key in counts if key != COUNT
        }
    assert told["query.statistics", True][COUNT] == 37.0
    evaluated = told["evaluate", True]
    assert sum(evaluated[key] for key in models.COUNTS) == 37.0 == sum(evaluated[POSITIVE]) + sum(evaluated[NEGATIVE])
    whole = [evaluated[key] for key in models.COUNTS] + [*evaluated[POSITIVE], *evaluated[NEGATIVE]]
    assert all(float(value).is_integer() for value in whole)
    fine = {key for key in evaluated if not spec.is_total(key) and key != "num-examples"}
    assert fine == {"loss", "accuracy"} and all(spec.grid_of(key) == 2.0**-10 for key in fine)
