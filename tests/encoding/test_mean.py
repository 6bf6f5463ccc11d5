"""The weighted mean over secure sums: against exact arithmetic, and every update that it must refuse."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.encoding import mean
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.encoding.mean import Layout, MeanSpec
from fedsec.errors import BadMessage, ConfigurationError, DataError, TooFewParties
from fedsec.local import Fault, LocalFederation, Update
from fedsec.protocol import Sum
from fedsec.strategies.plain import Plain
from fedsec.strategies.shamir import Shamir
from fedsec.wire import codec
from fedsec.wire.exchange import Refusal

MODEL: mean.Arrays = {"b": np.zeros((2, 3), np.float32), "a": np.linspace(-1, 1, 4)}


def update(weight: Any = 10, metrics: mean.Metrics | None = None, **arrays: Any) -> Update:
    return Update({**MODEL, **arrays}, metrics or {}, weight)


@settings(max_examples=60)
@given(data=st.data())
def test_the_mean_of_clipped_updates_within_its_bound(data: st.DataObject) -> None:
    """Drawn cohorts, weights, updates, clips and bits, under both strategies, against fractions."""
    hospitals = data.draw(st.integers(3, 7), label="hospitals")
    cohort = data.draw(st.sets(st.integers(1, hospitals), min_size=3), label="cohort")
    bits, clip = data.draw(st.integers(4, 40), label="bits"), data.draw(st.sampled_from([0.25, 1.0, 4.0]), label="clip")
    spec = MeanSpec(clip=clip, largest_weight=data.draw(st.sampled_from([1, 7, 1000]), label="largest weight"))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32), label="seed"))
    kind = data.draw(st.sampled_from([Plain, Shamir]), label="strategy")
    model = {"w": draw.normal(0, 1, (2, 2)), "v": draw.normal(0, 1, 3)}
    updates = {
        party: Update(
            {name: array + draw.normal(0, clip, array.shape) for name, array in model.items()},
            {"loss": float(draw.uniform(0, 5)), "counts": [float(x) for x in draw.integers(0, 99, 2)]},
            int(draw.integers(1, spec.largest_weight + 1)),
        )
        for party in cohort
    }
    result = LocalFederation(kind(value_bits=bits), hospitals, spec).mean(updates, model)
    weight = sum(int(one.weight) for one in updates.values())
    assert result.included == cohort
    assert (result.weight, list(result.arrays)) == (weight, list(model))
    bound = FixedPoint(bits, clip).error_bound(len(cohort), spec.largest_weight, weight)
    beyond = 0
    for name, array in model.items():
        for index in np.ndindex(array.shape):
            changes = [Fraction(float(one.arrays[name][index] - array[index])) for one in updates.values()]
            beyond += sum(abs(change) > clip for change in changes)
            bounded = [max(Fraction(-clip), min(Fraction(clip), change)) for change in changes]
            exact = Fraction(float(array[index])) + sum(
                (
                    Fraction(int(one.weight), weight) * change
                    for one, change in zip(updates.values(), bounded, strict=True)
                ),
                Fraction(0),
            )
            assert abs(float(Fraction(float(result.arrays[name][index])) - exact)) <= bound * 1.001 + 1e-12
    assert result.clipped == beyond
    step = 2e6 / mean.METRIC_STEPS
    counted: list[Any] = [(one.weight, one.metrics) for one in updates.values()]
    got: Any = result.metrics
    assert abs(got["loss"] - sum(times * metrics["loss"] for times, metrics in counted) / weight) <= step
    for place in (0, 1):
        assert abs(got["counts"][place] - sum(times * of["counts"][place] for times, of in counted) / weight) <= step


def test_included_survivors_set_offset_and_weight() -> None:
    """A hospital that drops out takes its offset and its weight with it."""
    federation = LocalFederation(Shamir(), 5, faults=[Fault("drop", "ShareInput", 4)])
    updates = {party: update(party, a=MODEL["a"] + party / 10) for party in range(1, 6)}
    result = federation.mean(updates, MODEL)
    assert result.included == {1, 2, 3, 5}
    assert result.weight == 11
    shift = (0.1 * 1 + 0.2 * 2 + 0.3 * 3 + 0.5 * 5) / 11
    assert result.arrays["a"] == pytest.approx(MODEL["a"] + shift, abs=1e-3)
    assert np.abs(result.arrays["b"]).max() < 1e-3


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float16, np.float32, np.float64])
def test_arrays_keep_their_dtype_and_shape(dtype: Any) -> None:
    model = {"x": np.array([[100, 3]], dtype), "scalar": np.array(7, dtype), "none": np.zeros((0, 5), dtype)}
    changed = {"x": np.array([[104, 3]], dtype), "scalar": np.array(9, dtype), "none": model["none"]}
    updates = {party: Update(changed if party < 3 else model, {}, 5000) for party in (1, 2, 3)}
    result = LocalFederation(Plain(), 3).mean(updates, model)
    for name, array in model.items():
        assert (result.arrays[name].dtype, result.arrays[name].shape) == (array.dtype, array.shape)
    wanted = 100 + 8 / 3
    got = float(result.arrays["x"][0, 0])
    assert got == (round(wanted) if np.dtype(dtype).kind in "iu" else pytest.approx(wanted, abs=0.05))
    assert result.arrays["x"][0, 1] == 3


def test_counts_in_integers_fit_a_model_that_was_averaged_to_floats() -> None:
    updates = {party: Update({"batches": np.array(party)}, {}, 10_000) for party in (1, 2, 3)}
    result = LocalFederation(Plain(), 3).mean(updates, {"batches": np.array(1.5)})
    assert result.arrays["batches"].dtype == np.float64
    assert result.arrays["batches"].shape == ()
    assert float(result.arrays["batches"]) == pytest.approx(2, abs=1e-5)


def test_evaluation_has_metrics_only() -> None:
    metrics: mean.Metrics = {"auc": 0.75, "hist": [1.0, 2.0, 4.0], "one": [3.0]}
    federation = LocalFederation(Shamir(value_bits=5), 3)  # so narrow that every scalar takes many limbs
    result = federation.mean({party: Update({}, metrics, 10_000) for party in (1, 2, 3)}, {}, stage="evaluate")
    assert (result.arrays, result.weight, result.clipped) == ({}, 30_000, 0)
    assert result.metrics["auc"] == pytest.approx(0.75, abs=1e-9)
    assert result.metrics["hist"] == pytest.approx([1.0, 2.0, 4.0], abs=1e-9)
    assert result.metrics["one"] == pytest.approx([3.0], abs=1e-9)
    without = federation.mean({party: Update({}, {}, 1) for party in (1, 2, 3)}, {}, stage="evaluate")
    assert (without.metrics, without.weight) == ({}, 3)


@pytest.mark.parametrize("value", [-2.5, 0.0, 7.5])
def test_metrics_on_the_edges_of_their_range_are_exact(value: float) -> None:
    spec = MeanSpec(ranges={"m": (-2.5, 7.5)})
    result = LocalFederation(Plain(), 3, spec).mean({p: Update({}, {"m": value}, p) for p in (1, 2, 3)}, {})
    assert result.metrics["m"] == pytest.approx(value, abs=1e-14)


ODD: list[Any] = [[], "0.5", None, [0.5, "x"], [[0.5]], {"x": 0.5}, 1j, b"1", np.ones(2)]
REFUSED: list[tuple[Update, str]] = [
    (update(a=np.array([0, np.nan, 0, 1.0])), r"array 'a' is not finite at \(1,\) \(1 such"),
    (update(b=np.full((2, 3), np.inf, np.float32)), r"array 'b' is not finite at \(0, 0\) \(6 such"),
    (update(b=np.array([[0, 0, 0], [0, -np.inf, np.inf]], np.float32)), r"'b' is not finite at \(1, 1\) \(2 such"),
    (update(a=np.zeros((4, 1))), r"'a' of shape \(4, 1\) .*'a' of shape \(4,\)"),
    (update(a=np.float64(1.0) * np.ones(())), r"'a' of shape \(\) "),  # it would broadcast
    (update(a=np.zeros(4, np.float32)), "'a' .* dtype float32; .* dtype float64"),
    (update(a=np.zeros(4, ">f8")), "'a' of shape"),
    (update(a=np.zeros(4, bool)), "array 'a' has dtype bool"),
    (update(a=np.zeros(4, complex)), "array 'a' has dtype complex128"),
    (update(a=np.array(["x"] * 4)), "array 'a' has dtype <U1"),
    (update(c=np.zeros(1)), r"arrays \['c'\]"),
    (Update({"b": MODEL["b"]}, {}, 1), r"arrays \['a'\]"),
    (Update({"a": MODEL["a"], "B": MODEL["b"]}, {}, 1), r"arrays \['B', 'b'\]"),
    (Update({}, {}, 1), r"arrays \['a', 'b'\]"),
    *((update(weight), f"num-examples is {weight}") for weight in (0, -1, 2.5, math.nan, math.inf, -math.inf, 10**400)),
    (update(10_001), r"num-examples is 10001; .* from 1 to 10000 \(largest_weight\)"),
    (update(metrics={"auc": math.nan}), "metric 'auc' is outside its declared range"),
    (update(metrics={"auc": 1.01}), r"metric 'auc' is outside its declared range 0\.0\.\.1\.0"),
    (update(metrics={"auc": [0.5, -0.01]}), "metric 'auc'"),
    (update(metrics={"loss": math.inf}), r"metric 'loss' .* -1000000\.0\.\.1000000\.0"),
    (update(metrics={"loss": -(10**400)}), "metric 'loss' is beyond"),
    *((update(metrics={"loss": odd}), "metric 'loss'") for odd in ODD),
    *((update(odd), "num-examples is ") for odd in (True, "3", None, [3], np.ones(1))),
]


@pytest.mark.parametrize(("refused", "text"), REFUSED, ids=[text[:30] for _, text in REFUSED])
def test_an_update_that_cannot_be_averaged(refused: Update, text: str) -> None:
    spec = MeanSpec(ranges={"auc": (0.0, 1.0)})
    with pytest.raises(DataError, match=text) as caught:
        mean.encode(refused.arrays, MODEL, refused.metrics, refused.weight, spec, 24)
    assert Refusal.of(caught.value) == Refusal("DataError")  # the server learns the class, and no figure
    federation = LocalFederation(Shamir(), 4, spec)
    good = federation.mean({1: update(), 2: update(), 3: update(), 4: refused}, MODEL)
    assert good.included == {1, 2, 3}
    with pytest.raises(TooFewParties, match=r"\(party 1: ShareInput: DataError\)$"):
        federation.mean({1: refused, 2: update(), 3: update()}, MODEL)


def test_integers_that_float64_does_not_hold_are_refused() -> None:
    for array in (np.array([1 << 53]), np.array([-(1 << 53)]), np.array([1 << 53], np.uint64)):
        mean.encode({"n": array}, {"n": array}, {}, 1, MeanSpec(), 24)
        with pytest.raises(DataError, match=r"array 'n' holds integers beyond 2\*\*53"):
            mean.encode({"n": array}, {"n": array + np.sign(array)}, {}, 1, MeanSpec(), 24)


def test_numbers_of_numpy_are_numbers() -> None:
    metrics: Any = {"loss": np.float32(0.5), "hits": [np.int64(3), 4.0], "pair": (1, 2)}
    plain, layout = mean.encode({}, {}, {"loss": 0.5, "hits": [3, 4], "pair": [1, 2]}, 7, MeanSpec(), 24)
    again, same = mean.encode({}, {}, metrics, float(np.int64(7)), MeanSpec(), 24)
    assert (again.tolist(), same) == (plain.tolist(), layout)
    assert layout.metrics == {"loss": 0, "hits": 2, "pair": 2}


def test_a_model_that_is_not_finite_or_too_far_is_refused() -> None:
    for reference, trained in ((math.nan, 1.0), (-1.7e308, 1.7e308)):
        with pytest.raises(DataError, match="array 'x': the update's difference to the model is not finite"):
            mean.encode({"x": np.array([trained])}, {"x": np.array([reference])}, {}, 1, MeanSpec(), 24)


@pytest.mark.parametrize("strategy", [Plain(), Shamir()])
@pytest.mark.parametrize(
    "odd",
    [
        update(metrics={"other": 1.0}),
        update(metrics={"loss": [1.0]}),
        update(metrics={"loss": 1.0, "more": 2.0}),  # another length, too
        update(),
    ],
)
def test_hospitals_whose_layouts_differ_are_named(strategy: Any, odd: Update) -> None:
    federation = LocalFederation(strategy, 5)
    updates = {party: update(metrics={"loss": 1.0}) for party in range(1, 6)}
    with pytest.raises(BadMessage, match=r"different layouts: \[\[1, 2, 4, 5\], \[3\]\]"):
        federation.mean({**updates, 3: odd}, MODEL)
    assert federation.mean(updates, MODEL).weight == 50


def test_a_sum_that_its_layout_does_not_explain() -> None:
    vector, layout = mean.encode({}, {}, {"m": 1.0}, 5, MeanSpec(), 24)
    for changed in (vector[:-1], np.append(vector, vector)):
        with pytest.raises(BadMessage, match=f"the sum has {changed.size} coordinates"):
            mean.decode(Sum(changed, frozenset({1})), layout, {}, MeanSpec(), 24)
    with pytest.raises(BadMessage, match="total weight is 5; 0 contributors"):
        mean.decode(Sum(vector, frozenset()), layout, {}, MeanSpec(), 24)
    with pytest.raises(BadMessage, match="total weight is 0"):
        mean.decode(Sum(vector * np.uint64(0), frozenset({1})), layout, {}, MeanSpec(), 24)
    vector, layout = mean.encode(MODEL, MODEL, {}, 5, MeanSpec(), 24)
    with pytest.raises(BadMessage, match="not that of the model"):
        mean.decode(Sum(vector, frozenset({1})), layout, {**MODEL, "a": np.zeros((2, 2))}, MeanSpec(), 24)
    assert codec.decode(codec.encode(layout), Layout) == layout


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
    ],
)
def test_specifications_that_cannot_work(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        MeanSpec(**options)
