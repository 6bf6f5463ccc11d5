"""What a disclosure statement holds: the facts that its sentences are made of, as they stand in disclosure.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fedsec.encoding.mean_spec import WeightRule

DISCLOSURE = "disclosure.json"


class Part(BaseModel):
    """Base of all parts: immutable, and what a later release adds is skipped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Group(Part):
    """Who could open one hospital's input together: `count` of `of` parties, with the server if `server`.

    alone: the server needs nobody. malicious: the server does as it likes; otherwise it follows the protocol.
    """

    who: str
    count: int
    of: int
    server: bool
    malicious: bool

    @property
    def alone(self) -> bool:
        """Whether the server needs nobody."""
        return self.server and self.count <= 0


class Task(Part):
    """What some parties do beside contributing, and what it shows them."""

    name: str
    parties: tuple[int, ...]
    learns: str


class StageSums(Part):
    """What the sums of one stage opened.

    sums             how many were opened; the void ones are apart, and may have been opened before they were void
    fewest, most     hospitals in one of them
    measured         sums of histograms of sizes, before the first
    parameters       values that were averaged as changes of the model
    buffers          values that were averaged as they are
    metrics          number of values, by name
    grids            what metrics are rounded to, by name; metrics that are not named are summed exactly
    totals           metrics that add up over rows, so that no row count divides them
    counters         what was counted beside them, of the hospitals in the sum
    counter_bits     what a counter can tell in a session, at most: log2(n + 1)
    histogram_bits   what the two histograms together can tell, at most
    """

    stage: str
    sums: int
    void: int
    fewest: int
    most: int
    measured: int
    parameters: int
    buffers: int
    metrics: Mapping[str, int]
    grids: Mapping[str, float] = {}
    totals: tuple[str, ...] = ()
    counters: tuple[str, ...]
    counter_bits: float
    histogram_bits: float


class Subtracted(Part):
    """What follows of one hospital from sums over different hospitals: its weight, and means of metrics, about.

    totals: what its rows add up to, by the name of a metric; of a list, its sum.
    """

    party: int
    weight: float | None
    metrics: Mapping[str, float]
    totals: Mapping[str, float] = {}


class Section(Part):
    """What one role could learn, in sentences."""

    role: Literal["server", "hospital", "colluding hospitals", "outsider"]
    title: str
    sentences: tuple[str, ...]


class Statement(Part):
    """All of disclosure.json.

    cohort            hospitals that were asked for a sum, at the fewest; what is said of collusion is of so many
    identities        "pinned", or "first use": whoever answered first was believed
    agreement         hash of the agreement that every hospital enforced; "" where there was none
    groups            who could open an input together; empty where the server reads every input anyhow
    statistical_bits  s where what is said of collusion may fail by chance, with probability 2^-s at most
    corrects          false answers that do not change a sum, of `cohort` answers
    scale             "agreed", by a clip and a largest weight, or "measured"
    clip, bounds      the largest change of a parameter, and L2 norms of groups of arrays; whatever was agreed
    unbounded         parameters that neither holds; None where it is not known which there are
    subtracted        what follows of single hospitals from the sums together
    """

    format: Literal[1] = 1
    strategy: str
    parameters: Mapping[str, int | float | str | bool | None]
    private: bool
    identities: Literal["pinned", "first use"]
    agreement: str
    cohort: int
    floor: int
    groups: tuple[Group, ...]
    roles: tuple[Task, ...]
    statistical_bits: int | None
    corrects: int
    weights: WeightRule
    scale: Literal["agreed", "measured"]
    rungs: int
    clip: float | None
    bounds: Mapping[str, float]
    unbounded: int | None
    stages: tuple[StageSums, ...]
    subtracted: tuple[Subtracted, ...]
    warnings: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()

    @property
    def sums(self) -> int:
        """How many sums were opened, of histograms too."""
        return sum(stage.sums + stage.measured for stage in self.stages)

    @property
    def counter_bits(self) -> float:
        """What all counters of all sums can tell, at most."""
        return math.fsum(stage.sums * len(stage.counters) * stage.counter_bits for stage in self.stages)

    def to_json(self) -> str:
        """As it stands in disclosure.json."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
