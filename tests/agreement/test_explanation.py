"""What an agreement says in plain English, how two differ, and what is proposed for a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from fedsec.agreement.agreement_file import Agreement, Hospital
from fedsec.agreement.differences import Difference, differences
from fedsec.agreement.explanation import explain, short
from fedsec.agreement.proposal import for_deployment
from fedsec.errors import ConfigurationError
from tests.agreement.test_agreement_file import HOSPITALS, KEYS, SERVER, agreement, content, with_weights

MEMBERS = [Hospital(name=f"H{n}", key=key.public.hex()) for n, key in enumerate(HOSPITALS[:4])]
SIMULATED: dict[str, Any] = {"encoding": {"clip": 4.0, "largest_weight": 1000, "weights": "exact"}}


def text(agreed: Agreement) -> str:
    return "\n".join(line for section in explain(agreed) for line in section.lines)


def test_it_says_what_leaves_how_often_and_to_whom() -> None:
    said = text(agreement())
    for sentence in (
        "3 hospitals: H0 (",
        f"The server has the key {SERVER.public.hex()[:12]}…",
        "Each sum is asked of all of these hospitals, and of nobody else.",
        "Stage train: the changes of 3 parameters in 1 array and 1 metric (loss) and the hospital's weight, in at most "
        "4 sums, 1 of them meant for sums that were void.",
        "Stage query.statistics: the hospital's weight, in at most 1 sum.",
        "at least 3 hospitals",
        "Strategy shamir with floor 3, server malicious.",
        "An update is scaled down to changes of at most 4.",
        "auc 0 to 1; others within ±2^31",
        "no bundle is named",
        "Run configuration: rounds 3, strategy shamir.",
    ):
        assert sentence in said, sentence
    assert short(agreement()) == agreement().hash.hex()[:12]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "No row count by weights: all hospitals weigh the same"),
        (SIMULATED, "each hospital's row count and the sign of each of its changes can be derived"),
        (
            {
                "encoding": {"clip": 4.0, "largest_weight": 64, "weights": "powers-of-two"},
                "hospitals": with_weights(*[64] * 3),
            },
            "Row counts to a power of two",
        ),
        ({"encoding": {}}, "Sizes of updates, to a factor of two"),
        ({"cohort": "sampled"}, "or was not sampled"),
        ({"strategy": {"name": "plain"}}, "hides nothing: the server sees every hospital's numbers"),
        ({"strategy": {"name": "shamir"}}, "each hospital has to trust the server to follow the protocol"),
        ({"strategy": {"name": "gone"}}, "The strategy gone cannot be described here: unknown strategy 'gone'"),
        ({"bundle": "1" * 64}, f"the app whose files have the SHA-256 {'1' * 64}"),
    ],
)
def test_it_says_what_could_be_derived(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in text(agreement(**changes))
    if changes:
        assert sentence not in text(agreement())


def test_where_all_must_take_part_no_dropout_tells_a_part() -> None:
    told = "it dropped out of one of them"
    assert told in text(agreement(hospitals=[one.model_dump(exclude_none=True) for one in MEMBERS]))
    assert told not in text(agreement())  # three of three


def test_differences_are_named_by_field() -> None:
    assert differences(agreement(), agreement()) == []
    other = agreement(
        title="other",
        encoding={**content()["encoding"], "clip": 2.0},
        stages={"train": {"sessions": 4, "repeats": 1, "metrics": {"loss": 0}}},
        arrays=[{"name": "w", "dtype": "float32", "shape": [3]}],
        hospitals=[{**one, "name": "new"} if one["name"] == "H2" else one for one in content()["hospitals"]],
    )
    found = differences(agreement(), other)
    assert Difference("encoding.clip", 4.0, 2.0) in found
    assert Difference("title", "sepsis", "other") in found
    assert Difference("arrays.w.dtype", "float64", "float32") in found
    assert Difference("stages.train.sessions", 3, 4) in found
    assert Difference("stages.query.statistics.sessions", 1, None) in found
    assert {each.field for each in found} >= {"hospitals.H2.key", "hospitals.new.key"}
    configuration = content()["configuration"]
    for value in (3.0, True, "3"):
        other = agreement(configuration={**configuration, "rounds": value})
        assert other.hash != agreement().hash
        assert differences(agreement(), other) == [Difference("configuration.rounds", 3, value)]
    turned = agreement(hospitals=content()["hospitals"][::-1])
    assert differences(agreement(), turned) == [
        Difference("order of hospitals", ["H0", "H1", "H2"], ["H2", "H1", "H0"])
    ]


def test_a_deployment_is_proposed_equal_weights_and_nothing_measured() -> None:
    made = for_deployment(agreement(**SIMULATED), KEYS[6].public, MEMBERS, free=["rounds"], title="new")
    assert (made.encoding.weights, made.encoding.clip, made.encoding.largest_weight) == ("equal", 4.0, None)
    assert not made.encoding.spec.measured
    assert made.server == KEYS[6].public.hex() and made.hospitals == tuple(MEMBERS) and made.title == "new"
    assert made.configuration == {"strategy": "shamir"} and made.free == ("output", "rounds")
    kept = for_deployment(agreement(**SIMULATED), SERVER.public, MEMBERS, weights="exact", clip=2.0, bundle="0" * 64)
    assert (kept.encoding.weights, kept.encoding.clip, kept.encoding.largest_weight) == ("exact", 2.0, 1000)
    assert kept.bundle == "0" * 64 and kept.arrays == agreement().arrays and kept.stages == agreement().stages


def test_powers_of_two_are_as_large_as_the_largest_of_them() -> None:
    members = [one.model_copy(update={"weight": 64}) for one in MEMBERS]
    made = for_deployment(agreement(**SIMULATED), SERVER.public, members, weights="powers-of-two")
    assert (made.encoding.weights, made.encoding.largest_weight) == ("powers-of-two", 64)


def test_a_weight_is_shared_by_the_floor_of_hospitals_whoever_is_called_lost() -> None:
    """Two weights of three hospitals each: a server that calls one lost would leave two of that weight."""
    members = [
        Hospital(name=f"H{place}", key=key.public.hex(), weight=64 << place % 2) for place, key in enumerate(KEYS[:6])
    ]
    for strategy, lost in (("shamir", 2), ("paillier", 3)):
        drafted = agreement(**SIMULATED, strategy={"name": strategy, "parameters": {"floor": 3}})
        with pytest.raises(ConfigurationError, match=f"weight 64 is that of 3 hospitals, of which {lost} may drop out"):
            for_deployment(drafted, SERVER.public, members, weights="powers-of-two")
    tolerant = {"name": "shamir", "parameters": {"floor": 3, "threshold": 6}}
    made = for_deployment(agreement(**SIMULATED, strategy=tolerant), SERVER.public, members, weights="powers-of-two")
    assert made.encoding.metric_grid == 2.0**-10
    for count, allowed in ((5, True), (4, False)):
        drafted = agreement(**SIMULATED, strategy={"name": "shamir", "parameters": {"floor": 3, "threshold": 4}})
        group = [one.model_copy(update={"weight": 64}) for one in members[:count]]
        if allowed:
            for_deployment(drafted, SERVER.public, group, weights="powers-of-two")


def test_metrics_are_proposed_on_a_grid_and_totals_belong_to_equal_weights() -> None:
    made = for_deployment(agreement(**SIMULATED), SERVER.public, MEMBERS)
    assert made.encoding.metric_grid == 2.0**-10
    told = text(made)
    assert "rounded in the sum, to multiples of 0.001 at most: loss. Shares of rows among them tell row counts" in told
    equal = {"encoding": {"clip": 4.0, "weights": "equal", "totals": ["*loss"], "grids": {"auc": 0.125}}}
    totals = agreement(**equal)
    assert for_deployment(totals, SERVER.public, MEMBERS).encoding == totals.encoding
    told = text(totals)
    assert "Totals over the rows of all hospitals: loss. One sum of them tells no hospital's row count" in told
    assert "auc to multiples of 0.125, others to 0.000976562" in told
    with pytest.raises(ConfigurationError, match="equal weights, with totals over rows among its metrics; exact ones"):
        for_deployment(totals, SERVER.public, MEMBERS, weights="exact", largest_weight=9)
    exact = for_deployment(
        agreement(encoding={"clip": 4.0, "weights": "equal"}), SERVER.public, MEMBERS, weights="exact", largest_weight=9
    )
    assert exact.encoding.metric_grid is None


@pytest.mark.parametrize(
    ("simulated", "options", "match"),
    [
        ({"encoding": {}}, {}, "clip is not named, for the simulation measured its scale: name it, the largest change"),
        ({"encoding": {"clip": 4.0}}, {"weights": "exact"}, "largest_weight is not named and weights are exact"),
        (SIMULATED, {"weights": "powers-of-two"}, "largest_weight is not named and weights are powers-of-two"),
        (SIMULATED, {"free": ["ronds"]}, "unknown key of the run configuration 'ronds'; did you mean 'rounds'"),
        (SIMULATED, {"hospitals": MEMBERS[:2]}, "2 hospitals are fewer than the floor of 3"),
        (SIMULATED, {"hospitals": [*MEMBERS[:3], MEMBERS[0]]}, "two hospitals have the name 'H0'"),
        ({**SIMULATED, "strategy": {"name": "gone"}}, {}, "unknown strategy 'gone'"),
        ({**SIMULATED, "strategy": {"name": "shamir", "parameters": {"floor": 3, "threshold": 9}}}, {}, "threshold"),
    ],
)
def test_what_cannot_be_proposed_is_refused(simulated: dict[str, Any], options: dict[str, Any], match: str) -> None:
    members = options.pop("hospitals", MEMBERS)
    with pytest.raises(ConfigurationError, match=match):
        for_deployment(agreement(**simulated), SERVER.public, members, **options)
