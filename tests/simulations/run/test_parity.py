"""One seed, one cohort: every strategy sums the same integers, so all end in the same bits, near unquantised FedAvg."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fedsec import catalog
from fedsec.app.config import RunConfig
from fedsec.data import bundled, preparation
from fedsec.encoding import mean
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.learning import models
from fedsec.learning.local_training import Training, client_evaluate, client_update
from fedsec.local import LocalFederation
from fedsec.simulations.run import hospitals
from fedsec.simulations.run.baselines import fedavg, pooled
from fedsec.simulations.run.partitions import partition
from fedsec.simulations.run.results import model_hash
from tests.conftest import TEXTBOOK
from tests.tiers import exhaustive

pytestmark = pytest.mark.slow

HOSPITALS, ROUNDS = 5, 2
NATURAL = "natural"
SETTINGS = [
    ("breast-cancer", "logistic", "even"),
    ("breast-cancer", "mlp", "label-skew"),
    ("diabetes", "linear", "label-skew"),
    ("diabetes", "mlp", "even"),
    ("randhie", "logistic", NATURAL),
]


NAMES = [name for name in catalog.names() if name not in (TEXTBOOK, "plain")]
"""With real keys; the baseline would take a minute for a round: `test_conformance` has it with small ones."""


@functools.cache
def federation(name: str, count: int) -> LocalFederation:
    return LocalFederation(catalog.strategy(name)(), count)


def natural(dataset: str) -> tuple[bundled.Dataset, bundled.Dataset, list[Any]]:
    """Features of real sites, by their summed statistics."""
    here = hospitals.of_config(RunConfig(dataset=dataset))
    found = preparation.pooled(here.train)
    return found.apply(here.train), found.apply(here.test), list(here.parts)


def one_round(training: Training, number: int, shares: list[Any], model: Any, names: list[str]) -> dict[str, mean.Mean]:
    """Each strategy's mean of the same updates; their integer sums are compared bit by bit."""
    spec, bits = RunConfig.read({}).resolved([len(share.target) for share in shares]).spec(), 24
    encoded, updates = {}, []
    for place, share in enumerate(shares):
        update, metrics = client_update(training, number, place, model, share.features, share.target)
        updates.append(update)
        encoded[place + 1] = mean.contribution(update, model, metrics, len(share.target), spec, bits)
    totals = {
        name: federation(name, len(shares)).sum({party: made.vector for party, made in encoded.items()})
        for name in ("plain", *names)
    }
    oracle = totals["plain"].sum.vector
    assert all(np.array_equal(total.sum.vector, oracle) for total in totals.values())
    layout = encoded[1].layout
    means = {name: mean.decode(total.sum, layout, model, spec, bits) for name, total in totals.items()}
    weights = [len(share.target) for share in shares]
    bound = FixedPoint(bits, spec.clip).error_bound(len(shares), spec.largest_weight, sum(weights))
    for name, start in model.items():
        changes = [np.clip(update[name] - start, -spec.clip, spec.clip) for update in updates]
        for place in np.ndindex(start.shape):
            exact = sum(Fraction(w) * Fraction(change[place]) for w, change in zip(weights, changes, strict=True))
            exact = Fraction(float(start[place])) + exact / sum(weights)
            got = Fraction(float(means["plain"].arrays[name][place]))
            assert abs(got - exact) <= Fraction(bound) + Fraction(1, 10**13)
    assert means["plain"].weight == sum(weights) and means["plain"].clipped == 0
    return means


@pytest.mark.parametrize(("dataset", "model", "how"), [*SETTINGS[:3], *exhaustive(SETTINGS[3:])])
def test_all_strategies_end_in_the_same_bits(dataset: str, model: str, how: str) -> None:
    """Each strategy meets two of the settings, and each setting two of them or more: sums of integers know no data."""
    setting = SETTINGS.index((dataset, model, how))
    names = [name for place, name in enumerate(NAMES) if setting in (place % 5, (place + 2) % 5)]
    if how == NATURAL:
        train, test, parts = natural(dataset)
    else:
        train, test = bundled.split(bundled.load(dataset), seed=7)
        parts = partition(train, HOSPITALS, how, seed=7)  # type: ignore[arg-type]
    training = Training(models.build(model, train.task), rounds=ROUNDS, seed=7)
    shares = [train.take(rows) for rows in parts]
    parameters = training.model.initial(train.features.shape[1], 7)
    for number in range(1, ROUNDS + 1):
        means = one_round(training, number, shares, parameters, names)
        assert len({model_hash(result.arrays) for result in means.values()}) == 1
        assert len({str(result.metrics) for result in means.values()}) == 1
        parameters = means["plain"].arrays
    assert all(
        np.isfinite(value) for value in client_evaluate(training, parameters, test.features, test.target).values()
    )


@pytest.mark.exhaustive
def test_on_randhie_the_sites_together_are_as_good_as_their_rows_in_one_place() -> None:
    train, test, parts = natural("randhie")
    training = RunConfig(dataset="randhie").training(train.task)
    together = fedavg(training, train, parts, test)[1][-1]["auc"]
    assert together >= 0.99 * pooled(training, train, test)["auc"] > 0.99 * 0.6
