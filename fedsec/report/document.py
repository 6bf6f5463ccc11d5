"""comparison.json: what a sweep measured. Written by `fedsec compare`, read by the page; unknown fields are refused.

A field with two names was written under the second until version 0.1; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

FORMAT = 1


Family = Literal["he", "smpc", "clear"]


class Record(BaseModel):
    """Base of all parts: immutable, and exactly the fields that are declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(Record):
    """One figure over the repetitions."""

    median: float
    low: float
    high: float


class Phase(Record):
    """One phase of the set-up or of a round. Bytes down go to the hospitals, bytes up come from them.

    asked, replies and messages are of all hospitals; CPU seconds and bytes are per hospital asked: the mean, and the
    most that one had.
    """

    stage: Literal["setup", "train"]
    name: str
    asked: int
    replies: int
    messages: int
    hospital_cpu: float
    hospital_cpu_most: float
    server_cpu: float
    up: float
    up_most: float
    down: float
    down_most: float


class Total(Record):
    """What the set-up costs once, or a round each time.

    hospital_cpu and server_cpu are seconds of CPU: of all hospitals divided by their number, and of the server.
    hospital_cpu_most adds up each phase's slowest hospital. Each is a sum of medians over the repetitions, of each
    hospital in each phase (and of the lowest, and the highest). up and down are bytes per hospital, the mean; up_most
    and down_most of the hospital with the most. wall is in seconds in process, where hospitals run one after another.
    """

    hospital_cpu: Spread
    hospital_cpu_most: Spread
    server_cpu: Spread
    wall: Spread
    up: float
    up_most: float
    down: float
    down_most: float
    phases: int
    messages: int


class Withstands(Record):
    """How many colluding hospitals a strategy promises to withstand; -1 where it promises nothing."""

    semi_honest_server: int = Field(validation_alias=AliasChoices("semi_honest_server", "server_follows"))
    malicious_server: int = Field(validation_alias=AliasChoices("malicious_server", "server_breaks"))


class Cell(Record):
    """One strategy in one setting.

    status: measured; extrapolated (measured on `measured_parameters`, scaled to `parameters`); one-client (the
    hospitals' figures are one hospital's, the server's are missing); refused (nothing was measured: `note` says why).
    seconds: end to end by name of network: the phases' network time, their slowest hospital and the server.
    memory: the most that one step allocated at a hospital, and at the server, in bytes.
    error, error_bound: the largest deviation of a coordinate of the mean from plain arithmetic, and what is promised.
    exact: whether the integer sum was the plain sum.
    reference_seconds: CPU seconds of a fixed piece of work, taken beside the rounds: how fast the machine then was.
    """

    strategy: str
    hospitals: int
    parameters: int
    bits: int
    key_bits: int | None
    dropout: float
    dropouts: int = Field(validation_alias=AliasChoices("dropouts", "silent"))
    status: Literal["measured", "extrapolated", "one-client", "refused"]
    note: str = ""
    measured_parameters: int = 0
    repetitions: int = 0
    reference_seconds: float | None = Field(None, validation_alias=AliasChoices("reference_seconds", "pace"))
    phases: tuple[Phase, ...] = ()
    setup: Total | None = None
    round: Total | None = None
    seconds: Mapping[str, float] = {}
    memory_hospital: int | None = None
    memory_server: int | None = None
    exact: bool | None = None
    error: float | None = None
    error_bound: float | None = None
    withstands: Withstands | None = None
    tolerance: Mapping[str, int] = {}


class Strategy(Record):
    """What a strategy says of itself.

    family: he (it adds ciphertexts), smpc (masked values or shares), clear (neither).
    """

    name: str
    family: Family
    reference: str
    learns: str
    trusts: str
    tolerates: str
    costs: str
    defaults: Mapping[str, str | int | float | bool]


class Network(Record):
    """Between each hospital and the server: one-way latency in seconds, bandwidths in bytes a second."""

    latency: float
    down: float
    up: float


class Quality(Record):
    """The model that a real training task gave under a strategy, and what plain FedAvg gave on the same data."""

    strategy: str
    hospitals: int
    bits: int
    dataset: str
    rounds: int
    metric: str
    value: float
    plain: float
    largest_difference: float


class Comparison(Record):
    """All of a sweep."""

    format: int = FORMAT
    title: str
    created: str
    engine: Literal["local", "flower"]
    seconds_taken: float
    machine: Mapping[str, str | int | float | list[float]]
    versions: Mapping[str, str]
    networks: Mapping[str, Network]
    strategies: Mapping[str, Strategy]
    cells: tuple[Cell, ...]
    quality: tuple[Quality, ...]
    untrained: tuple[str, ...] = ()


def with_networks(comparison: Comparison, networks: Mapping[str, Network]) -> Comparison:
    """The comparison with more networks, and each cell's seconds on them."""
    cells = tuple(
        cell
        if cell.round is None or cell.status in ("one-client", "refused")
        else cell.model_copy(
            update={"seconds": {**cell.seconds, **{name: seconds(cell, one) for name, one in networks.items()}}}
        )
        for cell in comparison.cells
    )
    return comparison.model_copy(update={"networks": {**comparison.networks, **networks}, "cells": cells})


def seconds(cell: Cell, network: Network) -> float:
    """End to end: each phase waits for its largest messages and its slowest hospital; then the server computes.

    Raises ValueError for a cell without a whole round.
    """
    if cell.round is None or cell.status in ("one-client", "refused"):
        raise ValueError("only a whole round has a time from end to end")
    wire = sum(
        2 * network.latency + phase.down_most / network.down + phase.up_most / network.up
        for phase in cell.phases
        if phase.stage == "train"
    )
    return wire + cell.round.hospital_cpu_most.median + cell.round.server_cpu.median
