"""The bytes that are predicted are those that are then measured: every phase, every strategy, to the byte."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec import catalog
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.simulations.costs.federation import Federation
from fedsec.simulations.costs.predict.bytes import PhaseTraffic, _line, _small_models, _weights, predict_bytes
from fedsec.simulations.costs.setting import Setting, takes_keys
from fedsec.strategy_spec import StrategySpec
from tests.conftest import TEXTBOOK, keys_of
from tests.tiers import exhaustive

FAST = "paillier:s=2:policy=fast"
VARIANTS = [*catalog.names(), FAST, "shamir:server=malicious", "lightsecagg:server=malicious", "packed_shamir:pack=3"]


def measured(setting: Setting) -> list[PhaseTraffic]:
    federation = Federation(setting)
    federation.enrol()
    return [
        PhaseTraffic(
            row.phase, row.parties, row.replies, row.bytes_down, row.bytes_down_max, row.bytes_up, row.bytes_up_max
        )
        for row in federation.run_round().rows
        if row.role == "hospital"
    ]


def of(strategy: str, hospitals: int, parameters: int, bits: int = 24, dropout: float = 0.0) -> Setting:
    return Setting(strategy, hospitals, parameters, bits, keys_of(StrategySpec.parse(strategy).name), dropout)


DROPPING, WIDE = (7, 5_003, 24, 0.15), (5, 16_500, 40, 0.0)
SETTINGS = [
    *[(name, *DROPPING) for name in VARIANTS if name != FAST],
    *exhaustive([(FAST, *DROPPING)]),
    *[(name, *WIDE) for name in VARIANTS if not takes_keys(name)],
    *exhaustive((name, *WIDE) for name in VARIANTS if takes_keys(name)),
]
"""With dropouts, and in wide values: under ciphertexts, those take the same path."""


@pytest.mark.parametrize(("strategy", "hospitals", "parameters", "bits", "dropout"), SETTINGS)
def test_to_the_byte(strategy: str, hospitals: int, parameters: int, bits: int, dropout: float) -> None:
    most = {TEXTBOOK: 30}.get(strategy, 300 if takes_keys(strategy) else parameters)
    setting = of(strategy, hospitals, min(parameters, most), bits, dropout)
    setting.check()
    assert list(predict_bytes(setting).phases) == measured(setting)


@settings(max_examples=8)
@given(
    strategy=st.sampled_from([name for name in VARIANTS if not takes_keys(name)]),
    hospitals=st.integers(3, 6),
    parameters=st.integers(1, 70_000),
    bits=st.integers(8, 44),
)
def test_in_drawn_settings(strategy: str, hospitals: int, parameters: int, bits: int) -> None:
    setting = of(strategy, hospitals, parameters, bits)
    try:
        setting.check()
    except FedsecError:
        return
    assert list(predict_bytes(setting).phases) == measured(setting)


def test_what_a_hospital_sends_is_the_sum_over_its_phases() -> None:
    setting = of("secagg", 5, 1_000)
    predicted, rows = predict_bytes(setting), measured(setting)
    assert predicted.up == sum(row.up for row in rows) / 5 and predicted.down == sum(row.down for row in rows) / 5
    assert predicted.up_most == sum(row.up_most for row in rows)
    assert predicted.down_most == sum(row.down_most for row in rows)


@pytest.mark.parametrize("width", [1, 2, 3, 7, 95])
@pytest.mark.parametrize("scalars", [0, 1, 3, 6, 94])
def test_small_models_separate_values_from_columns(width: int, scalars: int) -> None:
    """Any constant and rates are found again from the lengths of small models."""

    def columns(parameters: int) -> int:
        return -(-(parameters + scalars) // width)

    small = _small_models(columns)
    at: Any = [(1, parameters + scalars, columns(parameters)) for parameters in small]
    for target in (97, 1_000, 12_345):
        goal: Any = (1, target + scalars, columns(target))
        weights = _weights([tuple(map(Fraction, one)) for one in at], goal)
        for constant, by_value, by_column in ((40, 8, 0), (12, 0, 512), (99, 4, 768)):
            lengths = [constant + by_value * v + by_column * c for _, v, c in at]
            assert _line(lengths, weights) == constant + by_value * goal[1] + by_column * goal[2]


def test_what_cannot_be_run_is_not_predicted() -> None:
    with pytest.raises(ConfigurationError, match="below the floor"):
        predict_bytes(of("shamir", 2, 100))
