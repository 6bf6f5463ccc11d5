"""A cell under Flower on Ray, and the same cell in process: the same phases, messages and bytes, and about the CPU."""

from __future__ import annotations

import pytest

from fedsec.simulations.costs.measure import flower_rounds, rounds
from fedsec.simulations.costs.setting import Setting


@pytest.mark.parametrize(
    ("setting", "noise"),
    [(Setting("shamir", 3, 20_000, 24), 3.0), (Setting("paillier", 3, 3_000, 24, 2048), 2.0)],
    ids=["shamir", "paillier"],
)
def test_both_engines_agree(setting: Setting, noise: float) -> None:
    # A median of five. A message costs some 0.5 ms more in a process of its own, which finds cold caches: a third of
    # what shamir's steps take, and nothing beside what Paillier's take.
    flower, local = flower_rounds.clock(setting, 5, timeout=300.0), rounds.clock(setting, 5, 30.0)
    figures = ("stage", "name", "asked", "replies", "messages", "up", "up_most", "down", "down_most")
    for one, other in zip(flower.phases, local.phases, strict=True):
        assert [getattr(one, name) for name in figures] == [getattr(other, name) for name in figures]
    assert flower.round.up == local.round.up and flower.round.messages == local.round.messages
    ratio = flower.round.hospital_cpu.median / local.round.hospital_cpu.median
    assert 1 / noise < ratio < noise, f"{ratio:.2f} times the CPU"
