"""A first agreement, from what a simulation did: its strategy, encoding, layouts, stages and configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import fedsec
from fedsec.agreement.agreement_file import (
    AgreedArray,
    AgreedStrategy,
    Agreement,
    Encoding,
    Hospital,
    Stage,
    kind,
    trains,
)
from fedsec.encoding.layout import Layout
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.protocol import SecureSum

LOCAL = ("agreement", "identity", "output", "phase-timeout", "schema-file")
"""Keys of a run's configuration that say where files lie at the server, or how long it waits."""


def of_run(
    protocol: SecureSum[Any, Any],
    spec: MeanSpec,
    layouts: Mapping[str, Layout],
    sums: Mapping[str, int],
    *,
    configuration: Mapping[str, Any],
    server: bytes,
    hospitals: Sequence[bytes],
    every: bool,
    bundle: str = "",
    title: str = "",
) -> Agreement:
    """The agreement under which a run would have gone as it did; nobody has approved it.

    layouts, sums: by stage, what replies held, and how many sums there were. every: whether all hospitals contributed
    to each of them.
    """
    arrays = next((layout.arrays for stage, layout in layouts.items() if trains(stage)), ())
    return Agreement(
        title=title,
        fedsec=fedsec.__version__,
        cohort="all" if every else "sampled",
        bundle=bundle,
        server=server.hex(),
        strategy=AgreedStrategy.of(protocol),
        encoding=_encoding(spec),
        arrays=tuple(AgreedArray(name=one.name, dtype=one.dtype, shape=one.shape) for one in arrays),
        stages={
            stage: Stage(sessions=sums[stage], repeats=repeats(stage, sums[stage]), metrics=dict(layout.metrics))
            for stage, layout in layouts.items()
        },
        configuration={key: value for key, value in configuration.items() if key not in LOCAL},
        free=LOCAL,
        hospitals=tuple(
            Hospital(name=f"hospital-{number}", key=key.hex()) for number, key in enumerate(hospitals, start=1)
        ),
    )


def _encoding(spec: MeanSpec) -> Encoding:
    """What a run encoded by; powers of two are agreed on by hospital, and in a simulation nobody did: exact weights."""
    return Encoding.of(replace(spec, weights="exact") if spec.weights == "powers-of-two" else spec)


def repeats(stage: str, sums: int) -> int:
    """How many sums more than planned, for rounds that are void: a tenth; none of statistics, which are asked once."""
    return math.ceil(sums / 10) if kind(stage) in ("train", "evaluate") else 0
