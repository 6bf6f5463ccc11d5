"""The disclosure statement says of each strategy what it declares, and of a run what its sums were."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from fedsec import catalog
from fedsec.disclosure import Statement, statement
from fedsec.disclosure.facts import Group
from fedsec.disclosure.statement import groups
from fedsec.encoding.layout import ArraySpec, Layout
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.flower.verdict import Round
from fedsec.protocol import SecureSum

EXACT, EQUAL = MeanSpec(4.0, 1000), MeanSpec(4.0, 1)
LAYOUTS = {
    "train": Layout(
        (ArraySpec("w", (30,), "float64"), ArraySpec("n.running_mean", (2,), "float64")), {"train_loss": 0}
    ),
    "evaluate": Layout((), {"loss": 0, "positives": 10}),
}


def rounds(cohorts: list[tuple[int, ...]], sampled: int = 5, weight: int = 91) -> list[Round]:
    """One of training and one of evaluation over each cohort."""
    return [
        Round(number, stage, sampled, len(cohort), cohort, weight * len(cohort), metrics={metric: 0.25 * number})
        for number, cohort in enumerate(cohorts, start=1)
        for stage, metric in (("train", "train_loss"), ("evaluate", "loss"))
    ]


EVERYONE = [(1, 2, 3, 4, 5)] * 2


def said(found: Statement, role: str) -> str:
    (section,) = [section for section in found.sections if section.role == role]
    return " ".join(section.sentences)


def of(protocol: SecureSum[Any, Any], spec: MeanSpec = EXACT, **options: Any) -> Statement:
    return statement(protocol, spec, options.pop("sessions", rounds(EVERYONE)), layouts=LAYOUTS, **options)


TOGETHER = "and the server together could open one hospital's input"
ALONE = "together, without the server, could open one hospital's input"
SAID: dict[str, tuple[dict[str, Any], list[str]]] = {
    "plain": ({}, ["The server needs nobody's help to read an input."]),
    "shamir": (
        {},
        [
            f"3 of 5 hospitals {ALONE}; fewer, with the server, learn a sum of the others' inputs and no more.",
            "could open one hospital's input alone: nothing is promised against it",
        ],
    ),
    "packed_shamir": (
        {"server": "malicious"},
        [
            f"4 of 5 hospitals {ALONE}; fewer",
            f"If the server does not follow the protocol, 2 of 5 hospitals {TOGETHER}",
        ],
    ),
    "additive": (
        {"aggregators": 2},
        [f"All 2 aggregators {TOGETHER}", f"follow the protocol, 2 of 5 hospitals {TOGETHER}"],
    ),
    "lightsecagg": ({}, [f"3 of 5 hospitals {TOGETHER}; fewer", "nothing is promised against it"]),
    "secagg": ({}, [f"4 of 5 hospitals {TOGETHER}", f"follow the protocol, 2 of 5 hospitals {TOGETHER}"]),
    "secagg_plus": ({}, [f"3 of 5 hospitals {TOGETHER}", "nothing is promised against it"]),
    "paillier": (
        {"witness": 3},
        [
            f"The witness (party 3) {TOGETHER}; the server and other hospitals learn a sum",
            f"The witness and the key holder (parties 3 and 1) {ALONE}.",
            f"follow the protocol, the witness (party 3) {TOGETHER}",
            f"follow the protocol, 2 of 5 hospitals {TOGETHER}",
        ],
    ),
    "paillier_textbook": ({}, [f"The witness (party 2) {TOGETHER}"]),
    "bfv": ({}, [f"The witness (party 2) {TOGETHER}"]),
}


@pytest.mark.parametrize("name", sorted(catalog.names()))
def test_who_could_open_an_input_is_what_the_strategy_declares(name: str) -> None:
    parameters, texts = SAID[name]
    found = of(catalog.strategy(name)(**parameters))
    colluding = said(found, "colluding hospitals")
    for text in texts:
        assert text in colluding, colluding
    assert found.strategy == name and found.cohort == 5 and found.private == (name != "plain")
    assert ("hides nothing" in said(found, "server")) == (name == "plain")
    assert Statement.model_validate_json(found.to_json()) == found


@pytest.mark.parametrize("name", sorted(catalog.names()))
@pytest.mark.parametrize("hospitals", [3, 4, 7, 12])
def test_groups_are_never_smaller_than_what_is_promised(name: str, hospitals: int) -> None:
    protocol, cohort = catalog.strategy(name)(), range(1, hospitals + 1)
    for group in groups(protocol, cohort) if protocol.private else ():
        promised = min(
            protocol.withstands(cohort, group.malicious), (protocol.floor if group.malicious else hospitals) - 2
        )
        assert group.count > promised
        assert group.count <= group.of


def test_roles_are_named() -> None:
    paillier = said(of(catalog.strategy("paillier")()), "hospital")
    assert "Party 1 is the key holder. It opens each sum, and so learns it too" in paillier
    assert "Party 2 is the witness. It sees every hospital's ciphertext" in paillier
    assert "Parties 1, 2 and 3 are aggregators." in said(of(catalog.strategy("additive")()), "hospital")


def test_a_sparse_graph_holds_but_for_chance() -> None:
    protocol = catalog.strategy("secagg_plus")()
    found = of(protocol, sessions=rounds([tuple(range(1, 201))], sampled=200))
    assert found.statistical_bits == 40
    assert (
        f"21 of 200 hospitals {TOGETHER}; fewer, with the server, learn a sum of the others' inputs and no more, except"
        in said(found, "colluding hospitals")
    )
    assert "probability 2^-40" in said(found, "colluding hospitals")
    assert of(protocol).statistical_bits is None


def test_row_counts_by_the_rule_of_weights() -> None:
    protocol = catalog.strategy("shamir")()
    exact = said(of(protocol), "server")
    assert "Row counts can be derived from the sum" in exact and "from enough parameters (93 with directions" in exact
    equal = of(protocol, EQUAL, sessions=rounds(EVERYONE, weight=1))
    assert equal.weights == "equal"
    assert "Row counts are no weights in the sum" in said(equal, "server") and "in 1 of 16 parameters" in said(
        equal, "server"
    )
    many = rounds([tuple(range(1, 31))], sampled=30, weight=1)
    assert "with directions by chance seldom" in said(of(protocol, EQUAL, sessions=many), "server")
    rounded = of(protocol, MeanSpec(4.0, 1000, weights="powers-of-two"))
    assert "Row counts are powers of two" in said(rounded, "server")
    assert of(protocol, MeanSpec(4.0, weights="equal")).weights == "equal"
    assert of(protocol, EQUAL).weights == "exact", "weights of 91 are not equal, whatever the specification's largest"


def test_what_was_opened_in_each_stage() -> None:
    void = Round(3, "train", 5, failure="TooFewParties: …")
    found = of(catalog.strategy("shamir")(), sessions=[*rounds(EVERYONE), void])
    train, evaluate = found.stages
    assert (train.stage, train.sums, train.void, train.parameters, train.buffers) == ("train", 2, 1, 30, 2)
    assert dict(evaluate.metrics) == {"loss": 1, "positives": 10} and evaluate.parameters == 0
    assert found.sums == 4 and train.measured == 0 and train.counter_bits == pytest.approx(math.log2(6))
    assert "saturated buffer" in train.counters and "saturated buffer" not in evaluate.counters
    assert "change in band 1 of 5" in train.counters and "bounded by a norm" not in train.counters
    assert found.counter_bits == pytest.approx(2 * math.log2(6) * (len(train.counters) + len(evaluate.counters)))
    text = said(found, "server")
    assert "Stage train: 2 weighted means of 30 parameters, 2 buffer values and 1 metric (train_loss); 1 more" in text
    assert "Stage evaluate: 2 weighted means of 2 metrics (loss, positives with 10 values)." in text


def test_a_measured_scale_says_what_it_told() -> None:
    found = of(catalog.strategy("shamir")(), MeanSpec(bounds={"w": 0.5}))
    (train, _) = found.stages
    assert (found.scale, train.measured, found.sums) == ("measured", 1, 5)
    assert train.histogram_bits == pytest.approx(2 * math.log2(math.comb(94, 5)))
    assert "lie at each of 89 powers of two, without names (51 bits at most)" in said(found, "server")
    hospital = said(found, "hospital")
    assert "the change of the arrays w within a norm of 0.5" in hospital
    assert "can be replaced" not in hospital
    free = of(catalog.strategy("shamir")(), MeanSpec(bounds={"v": 0.5}))
    assert "30 parameters of no agreed bound can be replaced" in said(free, "hospital") and free.unbounded == 30
    assert statement(catalog.strategy("shamir")(), MeanSpec(), rounds(EVERYONE)).unbounded is None


def test_what_follows_by_subtraction() -> None:
    found = of(catalog.strategy("shamir")(), sessions=rounds([(1, 2, 3, 4, 5), (1, 2, 3, 4)]), warnings=["so it is"])
    (one,) = found.subtracted
    assert (one.party, one.weight, set(one.metrics)) == (5, 91, {"train_loss (train)", "loss (evaluate)"})
    assert "knows of party 5: 91 rows, " in said(found, "server") and "So it is." in said(found, "server")
    equal = of(catalog.strategy("shamir")(), EQUAL, sessions=rounds([(1, 2, 3, 4, 5), (1, 2, 3, 4)], weight=1))
    assert equal.subtracted[0].weight is None and "rows" not in "".join(_known(equal))
    assert not of(catalog.strategy("shamir")()).subtracted


def _known(found: Statement) -> list[str]:
    return [text for text in said(found, "server").split(". ") if "By subtracting" in text]


def test_a_cohort_is_of_those_who_were_asked() -> None:
    """Two of seven had not joined, and one was left out for its layout: collusion is of the four that were asked."""
    incidents = (("set-up", 6, "no answer"), ("set-up", 7, "no answer"), ("layout", 5, "another"), ("Open", 1, "late"))
    one = Round(1, "train", 7, 3, (2, 3, 4), 30, metrics={}, incidents=incidents)
    assert of(catalog.strategy("shamir")(), sessions=[one]).cohort == 4


def test_a_run_without_a_sum() -> None:
    found = of(catalog.strategy("secagg")(), sessions=[Round(1, "train", 5, failure="RunFailed: …")])
    assert found.cohort == 0 and not found.groups and "It used no sum" in said(found, "server")
    assert json.loads(found.to_json())["stages"][0]["void"] == 1


def test_pins_and_corrections() -> None:
    assert "first use" in said(of(catalog.strategy("shamir")()), "colluding hospitals")
    assert "first use" not in said(of(catalog.strategy("shamir")(), pinned=True), "colluding hospitals")
    assert "No hospital enforced an agreement" in said(of(catalog.strategy("shamir")()), "server")
    assert "agreement" not in said(of(catalog.strategy("shamir")(), agreement="ab" * 32), "server")
    for name in ("shamir", "packed_shamir", "lightsecagg"):
        found = said(of(catalog.strategy(name)()), "hospital")
        assert "Of 5 answers that open a sum, 1 may be false without changing it" in found
        assert "is not corrected" in said(of(catalog.strategy(name)(server="malicious")), "hospital")
    assert "is not corrected" in said(of(catalog.strategy("additive")()), "hospital")


def test_a_server_that_needs_nobody() -> None:
    assert Group(who="hospitals", count=0, of=5, server=True, malicious=True).alone
    assert np.isfinite(of(catalog.strategy("shamir")()).counter_bits)
