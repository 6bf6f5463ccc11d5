"""The weighted mean over secure sums: against exact arithmetic, and what becomes of updates that do not fit."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.app.server_app import WORDING
from fedsec.encoding import ladder, mean, mean_spec
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import Arrays, Layout
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import BadMessage, ConfigurationError, DataError, LayoutError, TooFewParties
from fedsec.local import Fault, LocalFederation, Update
from fedsec.protocol import Sum
from fedsec.strategies.plain import Plain
from fedsec.strategies.shamir import Shamir
from fedsec.wire import codec
from fedsec.wire.exchange import Refusal
from tests.tiers import examples, slow

MODEL: Arrays = {"b": np.zeros((2, 3), np.float32), "a": np.linspace(-1, 1, 4)}
FIXED = MeanSpec(4.0, 10_000)


def update(weight: Any = 10, metrics: mean.Metrics | None = None, **arrays: Any) -> Update:
    return Update({**MODEL, **arrays}, metrics or {}, weight)


@settings(max_examples=examples(60))
@given(data=st.data())
def test_the_mean_of_scaled_updates_within_its_bound(data: st.DataObject) -> None:
    """Drawn cohorts, weights, updates, clips and bits, under both strategies, against fractions."""
    hospitals = data.draw(st.integers(3, 7), label="hospitals")
    cohort = data.draw(st.sets(st.integers(1, hospitals), min_size=3), label="cohort")
    bits, clip = data.draw(st.integers(4, 40), label="bits"), data.draw(st.sampled_from([0.25, 1.0, 4.0]), label="clip")
    largest = data.draw(st.sampled_from([1, 7, 1000]), label="largest weight")
    spec, draw = MeanSpec(clip, largest), np.random.default_rng(data.draw(st.integers(0, 2**32), label="seed"))
    kind = data.draw(st.sampled_from([Plain, Shamir]), label="strategy")
    model = {"w": draw.normal(0, 1, (2, 2)), "v": draw.normal(0, 1, 3)}
    updates = {
        party: Update(
            {name: array + draw.normal(0, clip / 2, array.shape) for name, array in model.items()},
            {"loss": float(draw.uniform(0, 5)), "counts": [float(x) for x in draw.integers(0, 99, 2)]},
            int(draw.integers(1, largest + 1)),
        )
        for party in cohort
    }
    result = LocalFederation(kind(value_bits=bits), hospitals, spec).mean(updates, model)
    weight = sum(int(one.weight) for one in updates.values())
    assert (result.included, result.weight, list(result.arrays)) == (cohort, weight, list(model))
    bound = FixedPoint(bits, clip).error_bound(len(cohort), largest, weight)
    peaks = [max(float(np.abs(one.arrays[name] - model[name]).max()) for name in model) for one in updates.values()]
    assert result.clipped == sum(peak > clip for peak in peaks)
    for name, array in model.items():
        for index in np.ndindex(array.shape):
            exact = Fraction(float(array[index]))
            for one, peak in zip(updates.values(), peaks, strict=True):
                change = Fraction(float(one.arrays[name][index] - array[index]))
                exact += Fraction(int(one.weight), weight) * change * (Fraction(clip) / Fraction(max(peak, clip)))
            assert abs(float(Fraction(float(result.arrays[name][index])) - exact)) <= bound * 1.001 + 1e-12
    counted: list[Any] = [(one.weight, one.metrics) for one in updates.values()]
    got: Any = result.metrics
    assert abs(got["loss"] - sum(times * metrics["loss"] for times, metrics in counted) / weight) <= 1e-9
    for place in (0, 1):
        exact_count = sum(times * int(of["counts"][place]) for times, of in counted)
        assert got["counts"][place] == pytest.approx(exact_count / weight, rel=1e-15)


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(
    scale=st.floats(1e-9, 1e6),
    weights=st.lists(st.floats(1e-3, 1e7), min_size=3, max_size=6),
    shrinks=st.lists(st.sampled_from([1.0, 0.3, 1e-2, 1e-5]), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_a_measured_scale_fits_by_itself(scale: float, weights: list[float], shrinks: list[float], seed: int) -> None:
    """Updates of any size and weights of any size: no update is scaled down, and the mean is plain FedAvg's."""
    draw, model = np.random.default_rng(seed), {"w": np.zeros(50)}
    federation = LocalFederation(Plain(), len(weights))
    for shrink in shrinks:
        scale *= shrink
        updates = {
            party: Update({"w": draw.normal(0, scale, 50)}, {}, weight) for party, weight in enumerate(weights, start=1)
        }
        found = federation.mean(updates, model)
        expected = np.average([one.arrays["w"] for one in updates.values()], axis=0, weights=weights)
        assert found.clipped == found.unusable == 0
        assert found.weight == pytest.approx(sum(weights), rel=1e-6)
        error = len(weights) * found.step / 2 + sum(2.0**-33 / w for w in weights) * scale * 10
        assert np.abs(found.arrays["w"] - expected).max() <= error * 1.001
        if not found.coarse:
            assert error <= scale / 10


@pytest.mark.parametrize(
    ("weights", "change"),
    [
        ([12_000, 100, 100, 100, 100], 0.1),  # the largest hospital was left out of every round
        ([10] * 5, 1e-4),
        ([100] * 5, 0.01),
        ([100] * 5, 100.0),
        ([12.5, 12.5, 12.5], 0.5),
        ([1e9, 1, 1], 3e-7),
    ],
)
def test_updates_that_fixed_terms_lost(weights: list[float], change: float) -> None:
    updates = {place: Update({"w": np.full(3, change)}, {}, weight) for place, weight in enumerate(weights, start=1)}
    found = LocalFederation(Shamir(), len(weights)).mean(updates, {"w": np.zeros(3)})
    assert found.arrays["w"] == pytest.approx([change] * 3, rel=1e-4)
    assert (found.clipped, found.coarse, found.weight) == (0, False, sum(weights))


def test_included_survivors_set_offset_and_weight() -> None:
    """A hospital that drops out takes its offset and its weight with it."""
    federation = LocalFederation(Shamir(), 5, FIXED, faults=[Fault("drop", "ShareInput", 4)])
    updates = {party: update(party, a=MODEL["a"] + party / 10) for party in range(1, 6)}
    result = federation.mean(updates, MODEL)
    assert (result.included, result.weight) == ({1, 2, 3, 5}, 11)
    shift = (0.1 * 1 + 0.2 * 2 + 0.3 * 3 + 0.5 * 5) / 11
    assert result.arrays["a"] == pytest.approx(MODEL["a"] + shift, abs=1e-3)
    assert np.abs(result.arrays["b"]).max() < 1e-3


@pytest.mark.parametrize("spec", [MeanSpec(), FIXED, *slow([MeanSpec(largest_weight=5000), MeanSpec(clip=8.0)])])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["=", ">"])
def test_arrays_keep_the_models_dtype_and_shape(dtype: Any, order: Any, spec: MeanSpec) -> None:
    """0-d and empty arrays, Fortran order and the other byte order: the mean of plain arithmetic."""
    model = {"x": np.array([[100, 3]], dtype), "scalar": np.array(7, dtype), "none": np.zeros((0, 5), dtype)}
    kind = np.dtype(dtype).newbyteorder(order)
    changed = {"x": np.asfortranarray(np.array([[104, 3]], kind)), "scalar": np.array(9, kind), "none": model["none"]}
    updates = {party: Update(changed if party < 3 else model, {}, 5000) for party in (1, 2, 3)}
    result = LocalFederation(Plain(), 3, spec).mean(updates, model)
    for name, array in model.items():
        assert (result.arrays[name].dtype, result.arrays[name].shape) == (array.dtype, array.shape)
    wanted = {"x": 100 + 8 / 3, "scalar": 7 + 4 / 3}
    for name, value in wanted.items():
        got = float(result.arrays[name].ravel()[0])
        assert got == (round(value) if np.dtype(dtype).kind in "iu" else pytest.approx(value, abs=0.05))
    assert result.arrays["x"][0, 1] == 3


@pytest.mark.parametrize(("model", "trained"), [("f4", "f8"), ("f8", "f4"), ("f8", "f2"), ("i8", "f4"), ("f8", "i8")])
def test_updates_of_another_dtype_are_cast_to_the_models(model: str, trained: str) -> None:
    """FedAdam hands out float64 where clients reply float32."""
    updates = {party: Update({"w": np.array([2, 4], trained)}, {}, party) for party in (1, 2, 3)}
    found = LocalFederation(Plain(), 3).mean(updates, {"w": np.array([1, 4], model)})
    assert (found.arrays["w"].dtype, found.arrays["w"].tolist()) == (np.dtype(model), pytest.approx([2, 4], abs=1e-4))


@pytest.mark.parametrize(("dtype", "value"), [("f2", 1e6), ("f4", 1e39), ("i1", 300.0), ("i4", 2.0**31)])
def test_values_beyond_the_models_dtype_cost_their_hospital_alone(dtype: str, value: float) -> None:
    updates = {party: Update({"w": np.array([1.0 if party < 4 else value])}, {}, 1) for party in (1, 2, 3, 4)}
    spec = MeanSpec(clip=1e40, largest_weight=1) if value > 1e38 else MeanSpec()
    federation = LocalFederation(Plain(), 4, spec)
    found = federation.mean(updates, {"w": np.zeros(1, dtype)})
    assert (found.unusable, list(federation.unusable)) == (1, [4])
    assert re.search(f"array 'w' has values from .* beyond the range of .* {np.dtype(dtype)}", federation.unusable[4])
    if value < 1e38:
        assert float(found.arrays["w"][0]) == pytest.approx(0.75, abs=0.26)


def test_buffers_travel_as_values() -> None:
    """Running statistics of raw features, beside parameters whose clip they exceed by far."""
    names = ("bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "shadow")
    model = {"w": np.zeros(2, np.float32), **dict.fromkeys(names[:2], np.ones(3, np.float32))}
    model |= {names[2]: np.array(8, np.int64), names[3]: np.zeros(2)}
    updates = {
        party: Update(
            {
                "w": np.full(2, party / 10, np.float32),
                names[0]: np.array([5e8, -700.25, party], np.float32),
                names[1]: np.array([4e8, 0.0, 1e-7 * party], np.float32),
                names[2]: np.array(36),
                names[3]: np.array([1e5, -1e5]),
            },
            {},
            20 * party,
        )
        for party in (1, 2, 3)
    }
    found = LocalFederation(Shamir(), 3, MeanSpec(1.0, 1000, buffers=("sha*",))).mean(updates, model)
    assert found.arrays[names[0]].tolist() == [5e8, -700.25, pytest.approx(14 / 6)]
    assert found.arrays[names[1]].tolist() == [4e8, 0.0, pytest.approx(1e-7 * 14 / 6, abs=2.0**-31)]
    assert (found.arrays[names[2]].tolist(), found.arrays[names[2]].dtype) == (36, np.int64)
    assert found.arrays[names[3]].tolist() == [1e5, -1e5]
    assert (found.clipped, found.saturated) == (0, 0)


def test_a_buffer_is_never_negative_and_saturates_where_it_is_counted() -> None:
    updates = {p: Update({"running_var": np.array([1e-12 * p, 3e9])}, {}, 7) for p in (1, 2, 3)}
    federation = LocalFederation(Plain(), 3)
    found = federation.mean(updates, {"running_var": np.zeros(2)})
    assert found.arrays["running_var"][0] >= 0
    assert (found.arrays["running_var"][1], found.saturated) == (2.0**31, 3)
    cure = "which was cut there: train in other units, or leave the array out of the model"
    assert f"3 of 3 hospitals had a buffer beyond ±2^31, {cure}" in federation.averaging.warnings(found)


def test_a_group_of_arrays_keeps_its_direction_within_its_norm() -> None:
    model = {"enc.w": np.zeros(2), "enc.b": np.zeros(1), "head.w": np.zeros(2)}
    spec = MeanSpec(bounds={"enc.*": 5.0, "*": 100.0})
    large = Update({"enc.w": np.array([6.0, 0.0]), "enc.b": np.array([8.0]), "head.w": np.array([30.0, 40.0])}, {}, 1)
    federation = LocalFederation(Plain(), 3, spec)
    found = federation.mean({1: large, 2: large, 3: large}, model)
    assert found.arrays["enc.w"] == pytest.approx([3.0, 0.0], abs=1e-4)
    assert found.arrays["enc.b"] == pytest.approx([4.0], abs=1e-4)
    assert found.arrays["head.w"] == pytest.approx([30.0, 40.0], abs=1e-4)
    assert found.clipped == 3


def test_only_the_arrays_of_the_replies_are_averaged() -> None:
    model = {"adapter": np.zeros(2), "frozen": np.full(3, 7.0)}
    updates = {party: Update({"adapter": np.full(2, float(party))}, {}, 1) for party in (1, 2, 3)}
    found = LocalFederation(Shamir(), 3).mean(updates, model)
    assert found.arrays["adapter"] == pytest.approx([2, 2])
    assert found.arrays["frozen"].tolist() == [7.0] * 3 and list(found.arrays) == list(model)
    nothing = LocalFederation(Shamir(), 3).mean(updates, {})  # training starts from nothing
    assert (list(nothing.arrays), nothing.arrays["adapter"].tolist()) == (["adapter"], pytest.approx([2, 2], abs=1e-4))


def test_evaluation_has_metrics_only() -> None:
    metrics: mean.Metrics = {"auc": 0.75, "hist": [1.0, 2.0, 4.0], "one": [3.0]}
    federation = LocalFederation(Shamir(value_bits=5), 3)  # so narrow that every scalar takes many limbs
    result = federation.mean({party: Update({}, metrics, 10_000) for party in (1, 2, 3)}, {}, stage="evaluate")
    assert (result.arrays, result.weight, result.clipped) == ({}, 30_000, 0)
    assert result.metrics == metrics
    without = federation.mean({party: Update({}, {}, 1) for party in (1, 2, 3)}, {}, stage="evaluate")
    assert (without.metrics, without.weight) == ({}, 3)


@pytest.mark.parametrize("bounds", [(-1e6, 1e6), (0.0, 1.0), (-7.0, 1.0), (1.0, 3e12)])
@pytest.mark.parametrize("weights", [(1, 2, 3), (0.5, 12.5, 3.25), (10**9, 1, 1)])
def test_a_metric_of_one_comes_back_as_one(bounds: tuple[float, float], weights: tuple[float, ...]) -> None:
    spec = MeanSpec(ranges={"m": bounds})
    updates = {place: Update({}, {"m": 1.0}, weight) for place, weight in enumerate(weights, start=1)}
    found = LocalFederation(Plain(), 3, spec).mean(updates, {})
    assert (found.metrics["m"], found.weight) == (1.0, sum(weights))


def test_a_metric_that_cannot_be_computed_is_neutral_and_counted() -> None:
    """At the full weight, so that dividing by the weight of the others publishes nobody's row count."""
    spec, federation = MeanSpec(ranges={"auc": (0.0, 1.0)}), LocalFederation(Shamir(), 5)
    federation = LocalFederation(Shamir(), 5, spec)
    updates = {party: update(10 * party, {"auc": 0.9, "loss": 0.5}, a=MODEL["a"] + 1) for party in range(1, 6)}
    updates[3] = update(30, {"auc": math.nan, "loss": 0.5}, a=MODEL["a"] + 1)
    found = federation.mean(updates, MODEL)
    assert found.metrics == {"auc": pytest.approx((0.9 * 120 + 0.5 * 30) / 150), "loss": 0.5}
    assert (found.uncomputed, found.unusable, found.withheld) == ({"auc": 1}, 0, ())
    assert found.arrays["a"] == pytest.approx(MODEL["a"] + 1, abs=1e-4)  # its update counts
    updates |= {party: update(10, {"auc": math.nan, "loss": 0.5}) for party in (1, 2)}
    found = federation.mean(updates, MODEL)
    assert (dict(found.metrics), found.withheld, found.uncomputed) == ({"loss": 0.5}, ("auc",), {"auc": 3})
    assert "metric 'auc' could not be computed by 3 of 5 hospitals and is withheld" in federation.averaging.warnings(
        found
    )


@pytest.mark.parametrize("value", [3.2e9, math.inf, -(10**400)])
def test_a_metric_beyond_its_range_is_cut_and_counted_or_counts_as_none(value: Any) -> None:
    updates = {party: Update({}, {"loss": 0.0 if party < 3 else value}, 1) for party in (1, 2, 3)}
    found = LocalFederation(Plain(), 3).mean(updates, {})
    if value == 3.2e9:
        assert (found.metrics["loss"], found.out_of_range) == (2.0**31 / 3, {"loss": 1})
    else:
        assert (found.uncomputed, found.withheld) == ({"loss": 1}, ("loss",))


UNUSABLE: list[tuple[Update, str]] = [
    (update(a=np.array([0, np.nan, 0, 1.0])), r"array 'a' is not finite at \(1,\) \(1 such"),
    (update(b=np.full((2, 3), np.inf, np.float32)), r"array 'b' is not finite at \(0, 0\) \(6 such"),
    (update(b=np.array([[0, 0, 0], [0, -np.inf, np.inf]], np.float32)), r"'b' is not finite at \(1, 1\) \(2 such"),
    *((update(weight), f"num-examples is {weight}") for weight in (0, -1, math.nan, math.inf, -math.inf)),
    *((update(weight), "num-examples is an integer; it must lie above 0") for weight in (10**400, 10**5000)),
    *((update(weight), f"num-examples is {weight} and rounds to 0") for weight in (1e-20, 2.0**-34)),
    (update(10_001), r"num-examples is 10001; .* at most at 10000 \(largest_weight\)"),
    *((update(odd), "num-examples is ") for odd in (True, "3", None, [3], np.ones(1))),
]


@pytest.mark.parametrize(
    ("weights", "total", "unusable"), [("exact", 30, 1), ("powers-of-two", 24, 1), ("equal", 4, 0)]
)
def test_a_weight_that_rounds_to_nothing_counts_where_weights_do(weights: Any, total: int, unusable: int) -> None:
    updates = {party: update(a=MODEL["a"] + 1) for party in (1, 2, 3)}
    tiny = update(1e-20, a=MODEL["a"] + 1)
    found = LocalFederation(Shamir(), 4, MeanSpec(weights=weights)).mean({**updates, 4: tiny}, MODEL)
    assert (found.weight, found.unusable) == (total, unusable)
    assert found.arrays["a"] == pytest.approx(MODEL["a"] + 1, abs=1e-3)


@pytest.mark.parametrize("spec", [FIXED, *slow([MeanSpec(largest_weight=10_000)])])
@pytest.mark.parametrize(("odd", "text"), UNUSABLE, ids=[text[:30] for _, text in UNUSABLE])
def test_an_update_that_is_not_usable_counts_as_no_change(odd: Update, text: str, spec: MeanSpec) -> None:
    """Whether a hospital answers does not depend on its rows: the sum counts it, and its own log has the cause."""
    federation = LocalFederation(Shamir(), 4, spec)
    updates = {party: update(a=MODEL["a"] + 1) for party in (1, 2, 3)}
    found = federation.mean({**updates, 4: odd}, MODEL)
    assert (found.included, found.unusable, set(federation.unusable)) == ({1, 2, 3, 4}, 1, {4})
    assert math.isfinite(found.weight) and 30 <= found.weight <= 40
    assert found.arrays["a"] == pytest.approx(MODEL["a"] + 30 / found.weight, abs=1e-2)
    assert re.search(text, federation.unusable[4])
    with pytest.raises(DataError, match="2 of 4 hospitals had no usable update, and at least 3 are needed"):
        federation.mean({**updates, 4: odd, 3: odd}, MODEL)


ODD: list[Any] = [[], "0.5", None, [0.5, "x"], [[0.5]], {"x": 0.5}, 1j, b"1", np.ones(2)]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_metric_that_is_no_number_names_its_key(odd: Any) -> None:
    with pytest.raises(LayoutError, match="metric 'loss' is a") as caught:
        mean.contribution(MODEL, MODEL, {"loss": odd}, 1, FIXED, 24)
    assert Refusal.of(caught.value).reason.startswith("LayoutError: metric 'loss' is a")


def test_numbers_of_numpy_are_numbers() -> None:
    metrics: Any = {"loss": np.float32(0.5), "hits": [np.int64(3), 4.0], "pair": (1, 2)}
    plain = mean.contribution({}, {}, {"loss": 0.5, "hits": [3, 4], "pair": [1, 2]}, 7, FIXED, 24)
    again = mean.contribution({}, {}, metrics, np.int64(7), FIXED, 24)
    assert (again.vector.tolist(), again.layout) == (plain.vector.tolist(), plain.layout)
    assert plain.layout.metrics == {"loss": 0, "hits": 2, "pair": 2}


def test_a_model_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="array 'x' is not finite at"):
        mean.contribution({"x": np.ones(1)}, {"x": np.array([math.nan])}, {}, 1, FIXED, 24)


@pytest.mark.parametrize("kind", [Plain, Shamir])
@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (update(metrics={"other": 1.0}), "metrics missing: 'loss'; metrics not expected: 'other'"),
        (update(metrics={"loss": [1.0]}), "metrics of another length: 'loss'"),
        (update(metrics={"loss": 1.0, "more": 2.0}), "metrics not expected: 'more'"),
        (update(), "metrics missing: 'loss'"),
    ],
)
def test_a_hospital_with_another_layout_is_left_out_and_named_with_the_key(kind: Any, odd: Update, text: str) -> None:
    federation = LocalFederation(kind(), 5, FIXED)
    updates = {party: update(metrics={"loss": 1.0}) for party in range(1, 6)}
    if kind is Plain:
        assert federation.mean({**updates, 3: odd}, MODEL).included == {1, 2, 4, 5}
    else:
        assert federation.mean({**updates, 3: odd}, MODEL).weight == 40
    federation.averaging.mean([1, 2, 3, 4, 5], MODEL, stage="train", round_number=2)
    (incident,) = federation.averaging.incidents
    assert incident[1] == 3 and incident[2].startswith("LayoutError") and text in incident[2], "it was asked again"
    fresh = LocalFederation(kind(), 5, FIXED)
    with pytest.raises(TooFewParties, match=text):
        fresh.faults = [Fault("drop", phase.__name__, 1) for phase in fresh.protocol.rounds()]
        fresh.faults += [Fault("drop", phase.__name__, 2) for phase in fresh.protocol.rounds()]
        fresh.mean({**updates, 3: odd}, MODEL)


def test_layouts_without_a_majority_void_the_round() -> None:
    updates = {party: update(metrics={"loss": 1.0} if party % 2 else {}) for party in range(1, 5)}
    with pytest.raises(BadMessage, match=r"no(ne has a)? majority"):
        LocalFederation(Shamir(), 4, FIXED).mean(updates, MODEL)


def test_a_sum_that_its_layout_does_not_explain() -> None:
    made = mean.contribution({}, {}, {"m": 1.0}, 5, FIXED, 24)
    for changed in (made.vector[:-1], np.append(made.vector, made.vector)):
        with pytest.raises(BadMessage, match=f"the sum has {changed.size} coordinates"):
            mean.decode(Sum(changed, frozenset({1})), made.layout, {}, FIXED, 24)
    zero = mean.neutral(made.layout, {}, None, FIXED, 24, Plan(b""), "no rows")
    with pytest.raises(DataError, match="1 of 1 hospitals had no usable update"):
        mean.decode(Sum(zero.vector, frozenset({1})), made.layout, {}, FIXED, 24)
    heavy = mean.contribution({}, {}, {"m": 1.0}, 10_001, MeanSpec(), 24)
    with pytest.raises(BadMessage, match="total weight is 10001"):
        mean.decode(Sum(heavy.vector, frozenset({1})), made.layout, {}, FIXED, 24)
    made = mean.contribution(MODEL, MODEL, {}, 5, FIXED, 24)
    with pytest.raises(BadMessage, match="not that of the model"):
        mean.decode(Sum(made.vector, frozenset({1})), made.layout, {**MODEL, "a": np.zeros((2, 2))}, FIXED, 24)
    more = made.vector.copy()
    more[sum(array.size for array in MODEL.values())] = 2
    with pytest.raises(BadMessage, match="2 without a usable update"):
        mean.decode(Sum(more, frozenset({1})), made.layout, MODEL, FIXED, 24)
    assert codec.decode(codec.encode(made.layout), Layout) == made.layout


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"clip": 0.0}, "clip is 0.0"),
        ({"clip": -1}, "clip is -1.0"),
        ({"clip": math.nan}, "clip is nan"),
        ({"clip": math.inf}, "clip is inf"),
        ({"largest_weight": 0}, "largest_weight is 0"),
        ({"largest_weight": 1 << 40}, "largest_weight is 1099511627776"),
        ({"metric_range": (1.0, 1.0)}, r"range of metric \(default\) is 1.0..1.0"),
        ({"metric_range": (-math.inf, 0.0)}, "-inf"),
        ({"metric_range": (-1.7e308, 1.7e308)}, r"range of metric \(default\)"),
        ({"ranges": {"auc": (1.0, 0.0)}}, "range of metric auc is 1.0..0.0"),
        ({"ranges": {"auc": (0.0, math.nan)}}, "range of metric auc"),
        ({"bounds": {"enc.*": 0.0}}, r"bound of 'enc\.\*' is 0\.0"),
        ({"bounds": {"*": math.inf}}, "a norm above 0"),
        ({"rungs": (3, 2)}, r"rungs is \(3, 2\)"),
        ({"rungs": (-60, 2)}, "from -40 to 48"),
        ({"metric_grid": 0.0, "weights": "equal"}, r"the grid of metric \(default\) is 0; .* at least 2.33e-10 was"),
        ({"grids": {"auc": math.nan}, "weights": "equal"}, "the grid of metric auc is nan"),
        ({"grids": {"auc": 1e-20}, "ranges": {"auc": (0, 1)}, "weights": "equal"}, "at least 1.08e-19 was expected"),
        ({"metric_grid": 0.5}, "metrics have a grid and largest_weight is not named"),
        ({"grids": {"auc": "fine"}, "weights": "equal"}, "the grid of metric 'auc' is 'fine'; a number was expected"),
        ({"totals": ("*",)}, "totals need equal weights"),
        ({"ranges": {"m": (0.0, 1e40)}, "weights": "equal"}, "the grid of metric m is 0.000976562"),
        ({"totals": "*", "weights": "equal"}, "a list of patterns of metrics' names"),
    ],
)
def test_specifications_that_cannot_work(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        MeanSpec(**options)


@pytest.mark.parametrize(
    ("options", "weights", "unit"),
    [
        ({"weights": "equal"}, (5, 90, 300), 1),
        ({"weights": "powers-of-two", "largest_weight": 300}, (64, 64, 256), 256),
        ({"weights": "exact", "largest_weight": 300, "metric_grid": mean_spec.GRID}, (61, 90, 300), 256),
    ],
)
def test_a_metric_times_its_weight_is_rounded_to_its_grid(options: Any, weights: tuple[int, ...], unit: int) -> None:
    """The sum is of multiples of the grid times the heaviest weight, of a total exactly, and of 1.0 again 1.0."""
    totals = ("rows",) if options["weights"] == "equal" else ()
    spec = MeanSpec(clip=1.0, grids={"coarse": 0.25}, ranges={"whole": (0.0, 1.0)}, totals=totals, **options)
    told = [
        {"fine": 0.1 * place + 0.0123, "coarse": -3.3 * place, "whole": 1.0, "rows": 2.0**-30} for place in range(3)
    ]
    made = [mean.contribution({}, {}, one, weight, spec, 24) for one, weight in zip(told, weights, strict=True)]
    total = Sum(np.sum([one.vector for one in made], axis=0, dtype=np.uint64), frozenset({1, 2, 3}))
    found = mean.decode(total, made[0].layout, {}, spec, 24).metrics
    heavy = [1 if options["weights"] == "equal" else weight for weight in weights]
    for key, grid in (("fine", mean_spec.GRID * unit), ("coarse", 0.25 * unit)):
        steps = sum(round(one[key] * weight / grid) for one, weight in zip(told, heavy, strict=True))
        assert found[key] == pytest.approx(steps * grid / sum(heavy), abs=1e-12)
    assert found["whole"] == 1.0
    assert found["rows"] == (2.0**-30 if totals else 0.0)


def test_a_mean_on_a_grid_stays_in_its_range_and_a_total_of_nothing_is_0() -> None:
    spec = MeanSpec(
        weights="equal", grids={"auc": 0.35}, ranges={"auc": (0.0, 1.0), "rows": (0.0, 99.0)}, totals=["rows"]
    )  # type: ignore[arg-type]
    made = mean.contribution({}, {}, {"auc": 1.0, "rows": 9.0}, 1, spec, 24)
    none = mean.neutral(made.layout, {}, 1, spec, 24, ladder.Plan(b""), "no rows")
    assert mean.decode(Sum(made.vector, frozenset({1})), made.layout, {}, spec, 24).metrics == {"auc": 1.0, "rows": 9.0}
    both = mean.decode(Sum(made.vector + none.vector, frozenset({1, 2})), made.layout, {}, spec, 24)
    assert both.metrics["rows"] == 4.5 and both.unusable == 1


def test_the_group_of_an_array_does_not_depend_on_the_order_of_patterns() -> None:
    """Messages sort a mapping: what a hospital enforces must be what the server's operator wrote, in any order."""
    bounds = {"*": 100.0, "w": 0.1, "enc.*": 2.0, "enc.head*": 3.0, "[w]": 7.0, "*.bias": 4.0}
    for order in itertools.islice(itertools.permutations(bounds), 0, None, 37):
        spec = MeanSpec(bounds={name: bounds[name] for name in order})
        again = codec.decode(codec.encode(spec), MeanSpec)
        for each in (spec, again):
            found = {name: each.bound_of(name) for name in ("w", "enc.x", "enc.head.y", "enc.bias", "v", "[w]")}
            assert found == {
                "w": ("w", 0.1),
                "enc.x": ("enc.*", 2.0),
                "enc.head.y": ("enc.head*", 3.0),
                "enc.bias": ("*.bias", 4.0),
                "v": ("*", 100.0),
                "[w]": ("[w]", 7.0),
            }


def test_the_first_session_of_a_stage_measures_and_no_other_does() -> None:
    federation = LocalFederation(Plain(), 3)
    for number in (1, 2, 3):
        federation.mean({party: update(a=MODEL["a"] + 0.1) for party in (1, 2, 3)}, MODEL)
        assert federation.coordinator.sessions.counter == 1 + 1 + number + 1  # enrol, adopt and set-up, and one more
        assert len(federation.averaging.stages["train"].plan.counts) == number
    assert sum(federation.averaging.stages["train"].plan.largest) == 3
    assert len(federation.averaging.stages["train"].plan.counts[0]) == ladder.COUNTS


def jumping(spec: MeanSpec) -> list[str]:
    """The warnings on the second of two means, whose updates are a thousand times as large as the first's."""
    federation = LocalFederation(Plain(), 3, spec)
    start = {"w": np.zeros(3)}
    for size in (1.0, 1000.0):
        found = federation.mean({party: Update({"w": np.full(3, size)}, {}, 1) for party in (1, 2, 3)}, start)
    return [text for text in federation.averaging.warnings(found) if "scaled down" in text]


@pytest.mark.parametrize(
    ("spec", "cure"),
    [
        (MeanSpec(), "the next round's scale is larger; name clip and largest_weight, and the scale is fixed"),
        (MeanSpec(weights="equal"), "the next round's scale is larger; name clip, and the scale is fixed"),
        (MeanSpec(rungs=(-10, 2)), "name clip and largest_weight, and the scale is fixed"),
        (
            MeanSpec(2.0),
            "raise clip (2); the next round's scale is larger; name largest_weight, and the scale is fixed",
        ),
        (MeanSpec(2.0, 10), "raise clip (2), or leave it out and the scale is measured"),
        (MeanSpec(bounds={"w": 2.0}), "raise the norms of bounds, if that is not what they are for"),
    ],
)
def test_the_cure_of_an_update_that_was_scaled_down_works(spec: MeanSpec, cure: str) -> None:
    assert jumping(spec) == [f"3 of 3 hospitals' updates were scaled down: {cure}"]


def test_cures_name_the_options_of_whoever_reads_them() -> None:
    federation = LocalFederation(Plain(), 3, MeanSpec(2.0, 10, ranges={"loss": (0.0, 1.0)}))
    update = Update({"w": np.full(3, 9.0)}, {"loss": 7.0}, 1)
    found = federation.mean(dict.fromkeys((1, 2, 3), update), {"w": np.zeros(3)})
    told = federation.averaging.warnings
    assert told(found) == [
        "3 of 3 hospitals' updates were scaled down: raise clip (2), or leave it out and the scale is measured",
        "metric 'loss' of 3 of 3 hospitals was cut to its range 0 to 1: declare a wider one in metric_ranges",
    ]
    assert told(found, WORDING) == [
        "3 of 3 hospitals' updates were scaled down: raise --clip (2), or set --clip 0 and the scale is measured",
        "metric 'loss' of 3 of 3 hospitals was cut to its range 0 to 1",
    ]
    tiny = dict.fromkeys((1, 2, 3), Update({"w": np.full(3, 1e-14)}, {}, 1))
    coarse = LocalFederation(Plain(), 3, MeanSpec(1000.0, 10**9))
    (text,) = coarse.averaging.warnings(coarse.mean(tiny, {"w": np.zeros(3)}), WORDING)
    assert text.endswith(": lower --clip or --largest-weight, or set --clip 0 and the scale is measured")
    measured = LocalFederation(Plain(), 3, MeanSpec(None, 10, rungs=(-10, 2)))
    huge = Update({"w": np.full(3, 1000.0)}, {}, 1)
    (text,) = measured.averaging.warnings(measured.mean(dict.fromkeys((1, 2, 3), huge), {"w": np.zeros(3)}), WORDING)
    assert text.endswith(": name --clip, and the scale is fixed")


def test_the_cure_of_a_step_that_is_too_coarse() -> None:
    def told(spec: MeanSpec) -> list[str]:
        federation = LocalFederation(Plain(), 3, spec)
        tiny = {party: Update({"w": np.full(3, 1e-14)}, {}, 1) for party in (1, 2, 3)}
        found = federation.mean(tiny, {"w": np.zeros(3)})
        return [text.partition("): ")[2] for text in federation.averaging.warnings(found)]

    assert told(MeanSpec(rungs=(0, 0))) == ["name clip and largest_weight near the truth, and the scale is fixed"]
    assert told(MeanSpec(1000.0, 10**9)) == [
        "lower clip or largest_weight, or leave one of them out and the scale is measured"
    ]
    assert told(MeanSpec(10.0**12, weights="equal")) == ["lower clip, or leave it out and the scale is measured"]
    assert told(MeanSpec()) == []


@settings(max_examples=examples(40))
@given(
    counts=st.lists(st.lists(st.integers(0, 500), min_size=3, max_size=3), min_size=3, max_size=5),
    equal=st.booleans(),
    bits=st.integers(4, 40),
)
def test_whole_numbers_with_a_grid_of_their_own_take_few_values_and_are_exact(
    counts: list[list[int]], equal: bool, bits: int
) -> None:
    """Totals, or shares of a weight: counts beside a metric of all digits, in either order."""
    keys = ("a counts", "z counts")
    if equal:
        names = {"ranges": dict.fromkeys(keys, (0.0, 512.0)), "weights": "equal", "totals": keys}
        spec, plain = MeanSpec(4.0, grids=dict.fromkeys(keys, 1.0), **names), MeanSpec(4.0, **names)
    else:
        ranges = dict.fromkeys(keys, (0.0, 1.0))
        spec = MeanSpec(4.0, 700, ranges=ranges, grids=dict.fromkeys(keys, 1 / 512))
        plain = MeanSpec(4.0, 700, ranges=ranges)
    updates = {}
    for party, each in enumerate(counts, start=1):
        weight = 1 if equal else 500 + party
        told = [one / weight for one in each]
        updates[party] = Update({}, {"a counts": told, "loss": 0.25, "z counts": told[::-1]}, weight)
    found = LocalFederation(Plain(value_bits=bits), len(counts), spec).mean(updates, {})
    total = [found.weight * value for value in found.metrics["a counts"]]  # type: ignore[union-attr]
    assert total == pytest.approx([sum(column) for column in zip(*counts, strict=True)], abs=1e-9)
    assert found.metrics["z counts"] == pytest.approx(found.metrics["a counts"][::-1])  # type: ignore[index]
    assert found.metrics["loss"] == pytest.approx(0.25) and not found.out_of_range
    sizes = [mean.contribution({}, {}, updates[1].metrics, 1, one, bits).vector.size for one in (spec, plain)]
    assert sizes[1] - sizes[0] == 6 * (-(-104 // bits) - -(-11 // bits))
