"""A sum that no contributions within their bounds add up to makes the round void; honest ones never do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.encoding import ladder, mean, wide
from fedsec.encoding.ladder import Plan
from fedsec.encoding.layout import Arrays
from fedsec.encoding.mean_spec import WEIGHT_STEPS, MeanSpec, metric_steps
from fedsec.errors import BadMessage
from fedsec.local import LocalFederation, Update
from fedsec.protocol import Sum, Vector
from fedsec.strategies.plain import Plain
from fedsec.strategies.shamir import Shamir
from tests.tiers import examples

BITS = 24
MODEL: Arrays = {"a.weight": np.zeros(6), "b.weight": np.zeros(4), "n.running_mean": np.zeros(2)}
PARAMETERS = 10
COUNTS = {"unusable": 0, "saturated": 1, "bounded": 2, "bands": 3, "uncomputed": 3 + ladder.COUNTS}
METRICS = {"auc": 0.5, "loss": 2.0}
SPEC = MeanSpec(4.0, 10_000, ranges={"auc": (0.0, 1.0)}, bounds={"b.*": 1.0})
MEASURED = MeanSpec(ranges={"auc": (0.0, 1.0)}, bounds={"b.*": 1.0})
"""Its scale follows from the plan."""
PLAN = Plan(
    b"", largest=tuple(ladder.histogram(64.0, ladder.LADDER)), typical=tuple(ladder.histogram(8.0, ladder.LADDER))
)


def contributions(spec: MeanSpec = SPEC, plan: Plan = PLAN, weight: int = 91) -> tuple[list[Vector], Any]:
    """Of five hospitals, honest."""
    change = {"a.weight": np.full(6, 0.5), "b.weight": np.full(4, 0.1), "n.running_mean": np.ones(2)}
    made = [mean.contribution(change, MODEL, METRICS, weight, spec, BITS, plan) for _ in range(5)]
    return [one.vector for one in made], made[0].layout


def decoded(
    vectors: list[Vector], layout: Any, spec: MeanSpec = SPEC, plan: Plan = PLAN, model: Arrays = MODEL
) -> mean.Mean:
    total = Sum(np.sum(vectors, axis=0, dtype=np.uint64), frozenset(range(1, len(vectors) + 1)))
    return mean.decode(total, layout, model, spec, BITS, plan)


def values_place() -> int:
    return PARAMETERS + COUNTS["uncomputed"] + 2 * len(METRICS)


def written(value: float, steps: float, place: int, of: int, vector: Vector) -> None:
    """Write one wide value in place of the one at `place` of `of`, from `values_place` on."""
    part = np.empty(wide.limbs(BITS), np.uint64)
    wide.encode(np.array([value]), steps, part, BITS)
    vector[place : place + of * wide.limbs(BITS) : of] = part


@pytest.mark.parametrize(("spec", "plan"), [(SPEC, Plan(b"")), (MEASURED, PLAN)])
def test_honest_contributions_pass(spec: MeanSpec, plan: Plan) -> None:
    found = decoded(*contributions(spec, plan), spec, plan)
    assert found.arrays["a.weight"] == pytest.approx([0.5] * 6, abs=1e-4)


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(data=st.data())
def test_updates_at_their_bounds_pass(data: st.DataObject) -> None:
    """Every hospital at the clip, at its norm, at the ends of ranges: rounding alone voids nothing, at any bits."""
    bits, count = data.draw(st.integers(2, 40), label="bits"), data.draw(st.integers(3, 9), label="hospitals")
    clip = data.draw(st.sampled_from([1e-3, 0.3, 4.0, None]), label="clip")
    norm = data.draw(st.sampled_from([1e-4, 0.7, 10.0]), label="norm")
    spec = MeanSpec(clip, data.draw(st.sampled_from([7, 1000, None])), ranges={"m": (0.1, 0.7)}, bounds={"b*": norm})
    weights = st.integers(1, spec.largest_weight or 10**6)
    sign, draw = data.draw(st.sampled_from([-1, 1])), np.random.default_rng(data.draw(st.integers(0, 99)))
    push = {name: sign * 1e6 * (draw.normal(1, 0.2, array.shape)) for name, array in MODEL.items()}
    push["a.weight"] = np.full(6, sign * 1e6)
    federation = LocalFederation(Plain(value_bits=bits), count, spec)
    updates = {
        party: Update(push, {"m": data.draw(st.sampled_from([0.1, 0.7, -5.0, 5.0]))}, data.draw(weights))
        for party in range(1, count + 1)
    }
    for _ in range(2):
        assert federation.mean(updates, MODEL).clipped == count


def test_one_hospital_that_replaces_the_model_makes_the_round_void() -> None:
    """With a weight of 2 and the largest integers it would move the mean by 4,000, where the clip is 4."""
    vectors, layout = contributions(SPEC, weight=2)
    vectors[4][:PARAMETERS] = (1 << BITS) - 1
    with pytest.raises(BadMessage, match=r"the change of array 'a.weight' is 4000\.\d*, beyond its limit of 4: one"):
        decoded(vectors, layout)
    vectors[4][:PARAMETERS] = 1
    with pytest.raises(BadMessage, match=r"the change of array 'a.weight' is -3999\.\d*, beyond its limit of -4"):
        decoded(vectors, layout)


def test_in_a_federation_the_failure_names_no_hospital(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = LocalFederation(Shamir(), 5, MeanSpec(4.0, 10_000))
    updates = {party: Update({"w": np.full(3, 0.1)}, {}, 10) for party in range(1, 6)}
    honest = federation._encoder

    def replaced(party: int, update: Update, reference: Arrays) -> Any:
        def give(plan: Plan | None) -> tuple[Vector, bytes]:
            vector, layout = honest(party, update, reference)(plan)
            if party == 2:
                vector[:3] = (1 << federation.protocol.value_bits) - 1
            return vector, layout

        return give

    monkeypatch.setattr(federation, "_encoder", replaced)
    with pytest.raises(BadMessage, match=r"beyond its limit of 4: one hospital's input is enough for this") as caught:
        federation.mean(updates, {"w": np.zeros(3)})
    assert "party" not in str(caught.value)
    monkeypatch.undo()
    assert federation.mean(updates, {"w": np.zeros(3)}).arrays["w"] == pytest.approx([0.1] * 3, abs=1e-2)


def test_a_group_longer_than_its_norm() -> None:
    vectors, layout = contributions(weight=10_000)
    vectors[4][6:PARAMETERS] = (1 << (BITS - 1)) + ((1 << (BITS - 1)) - 1)  # a change of 4, four times, and no more
    with pytest.raises(BadMessage, match=r"the arrays 'b\.\*' has the L2 norm 1\.7\d*, beyond its limit of 1: one"):
        decoded(vectors, layout)


def test_two_limbs_beyond_the_measured_scale() -> None:
    fine = Plan(
        b"",
        largest=tuple(ladder.histogram(2.0**20, ladder.LADDER)),
        typical=tuple(ladder.histogram(2.0**-10, ladder.LADDER)),
    )
    assert fine.scale(ladder.LADDER, BITS).limbs == 2
    small = MeanSpec()
    made = [mean.contribution({"a": np.ones(2)}, {"a": np.zeros(2)}, {}, 1, small, 30, fine) for _ in range(3)]
    vectors = [one.vector for one in made]
    vectors[0][2] = (1 << 30) - 1  # 30 bits in the high limb, which has 18
    total = Sum(np.sum(vectors, axis=0, dtype=np.uint64), frozenset({1, 2, 3}))
    with pytest.raises(BadMessage, match=r"the change of array 'a' is \S+, beyond its limit of 2\.68"):
        mean.decode(total, made[0].layout, {"a": np.zeros(2)}, small, 30, fine)


def test_a_coordinate_above_what_the_bits_allow() -> None:
    vectors, layout = contributions()
    vectors[0][0] = 1 << 40
    with pytest.raises(BadMessage, match=r"coordinate of the sum is \d+, and 5 values of 24 bits come to 83886075 at"):
        decoded(vectors, layout)


@pytest.mark.parametrize(
    ("counted", "added", "text"),
    [
        ({"unusable": 6}, {}, "6 without a usable update"),
        ({"saturated": 6}, {}, "6 hospitals with a buffer cut to its range"),
        ({"bounded": 6}, {}, "6 bounded"),
        ({"unusable": 1}, {}, "1 without a usable update and 5 with a change"),
        ({"bands": 1}, {}, "0 without a usable update and 6 with a change"),
        ({"unusable": 2, "bounded": 4}, {"bands": -5}, "2 without a usable update and 4 bounded"),
        ({"uncomputed": 3}, {"cut": 3}, "3 without a metric and 3 with that metric cut"),
        ({"bands": 0}, {"coarse": 6}, "6 hospitals with a coarse change and 5 with any"),
    ],
)
def test_counts_that_contradict_each_other(counted: dict[str, int], added: dict[str, int], text: str) -> None:
    vectors, layout = contributions()
    total = np.sum(vectors, axis=0, dtype=np.uint64)
    place = {name: PARAMETERS + at for name, at in COUNTS.items()}
    bands = place["bands"] + int(np.flatnonzero(total[place["bands"] : place["uncomputed"]])[0])
    places = place | {"bands": bands, "coarse": place["uncomputed"] - 1, "cut": place["uncomputed"] + len(METRICS)}
    for name, number in {**counted, **added}.items():
        total[places[name]] = int(total[places[name]]) + number
    with pytest.raises(BadMessage, match=text):
        mean.decode(Sum(total, frozenset(range(1, 6))), layout, MODEL, SPEC, BITS, PLAN)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-500.0, "the total weight is -136"),
        (60_000.0, "the total weight is 60364; 5 contributors of at most 10000 each"),
    ],
)
def test_impossible_weights(value: float, text: str) -> None:
    vectors, layout = contributions()
    written(value, WEIGHT_STEPS, values_place(), 3, vectors[4])
    with pytest.raises(BadMessage, match=text):
        decoded(vectors, layout)


def test_a_buffer_beyond_its_range() -> None:
    vectors, layout = contributions()
    written(2.0**60, WEIGHT_STEPS, values_place() + 1, 3, vectors[4])
    with pytest.raises(BadMessage, match=r"the mean of buffer 'n.running_mean' is 2.5\d*e\+15, beyond its limit of"):
        decoded(vectors, layout)


@pytest.mark.parametrize(("value", "text"), [(455.0, "1.4, beyond its limit of 1"), (-364.0, "-0.4, beyond its limit")])
def test_a_metric_beyond_its_range(value: float, text: str) -> None:
    """Four hospitals add 182 to a sum over 455 rows, and no fifth one more than 91 or less than 0."""
    vectors, layout = contributions()
    place = values_place() + 3 * wide.limbs(BITS)
    written(value, metric_steps(0.0, 1.0), place, len(METRICS), vectors[4])
    with pytest.raises(BadMessage, match=f"the mean of metric 'auc' is {text}"):
        decoded(vectors, layout)


@pytest.mark.parametrize(
    ("place", "number", "text"),
    [
        (0, 6, "0 without a usable update and 11 with a change"),
        (-1, 1, "1 without a usable update and 5 with a change"),
        (-2, 9, "14 hospitals with a coarse change and 5 with any"),
    ],
)
def test_histograms_that_no_hospitals_add_up_to(place: int, number: int, text: str) -> None:
    measuring = Plan(b"", measuring=True)
    vectors, _ = contributions(MEASURED, measuring)
    total = np.sum(vectors, axis=0, dtype=np.uint64)
    everyone = frozenset(range(1, 6))
    largest, typical = mean.read_measurement(Sum(total, everyone), MEASURED, 3)
    assert sum(largest) == sum(typical) == 5
    total[place] += np.uint64(number)
    with pytest.raises(BadMessage, match=text):
        mean.read_measurement(Sum(total, everyone), MEASURED, 3)


@pytest.mark.parametrize(
    ("weights", "total", "text"),
    [
        ("equal", 4.0, "each of 5 contributors weighs 1"),
        ("equal", 4.5, "each of 5 contributors weighs 1"),
        ("powers-of-two", 63.0, "no sum of 5 powers of two"),
        ("powers-of-two", 0.984375, "no sum of 5 powers of two"),
    ],
)
def test_a_total_weight_that_the_rule_of_weights_cannot_have(weights: str, total: float, text: str) -> None:
    spec = replace(SPEC, weights=weights)
    vectors, layout = contributions(spec, weight=8)
    assert decoded(vectors, layout, spec).weight == (5 if weights == "equal" else 40)
    others = 4 if weights == "equal" else 32
    written(total - others, WEIGHT_STEPS, values_place(), 3, vectors[4])
    with pytest.raises(BadMessage, match=f"the total weight is {total:g}.*{text}"):
        decoded(vectors, layout, spec)


def test_weights_of_no_consequence_are_equal() -> None:
    """A weight that rounds to nothing counts as any other, where all count the same."""
    federation = LocalFederation(Plain(), 3, MeanSpec(4.0, weights="equal"))
    updates = {party: Update({"w": np.ones(2)}, {}, weight) for party, weight in enumerate((1e-12, 5, 7e8), start=1)}
    assert federation.mean(updates, {"w": np.zeros(2)}).weight == 3
