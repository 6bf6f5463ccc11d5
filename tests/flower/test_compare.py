"""A cell under Flower on Ray, and the same cell in process: the same phases, messages and bytes."""

from __future__ import annotations

import pytest

from fedsec.simulations.costs.measure import flower_rounds, rounds
from fedsec.simulations.costs.setting import Setting

pytestmark = pytest.mark.exhaustive


def test_both_engines_agree() -> None:
    """Paillier has a set-up as well as rounds. That CPU is counted alike is a figure of benchmarks/, not of a test."""
    setting = Setting("paillier", 3, 300, 24, 2048)
    flower, local = flower_rounds.measure(setting, 2, timeout=3600.0), rounds.measure(setting, 2, 3600.0)
    figures = ("stage", "name", "asked", "replies", "messages", "up", "up_most", "down", "down_most")
    for one, other in zip(flower.phases, local.phases, strict=True):
        assert [getattr(one, name) for name in figures] == [getattr(other, name) for name in figures]
    assert flower.round.up == local.round.up and flower.round.messages == local.round.messages
    assert flower.round.hospital_cpu.median > 0 and local.round.hospital_cpu.median > 0
