"""Real vectors summed by any strategy: fixed point without clipping, as fine as the protocol's exact sums allow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedsec import catalog
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.local import LocalFederation
from fedsec.primitives.randomness import Random
from fedsec.protocol import SecureSum
from fedsec.simulations.poster.tables.linear_regression import Floats

LARGEST_VALUE = 2.0**20
"""What a hospital contributes must be smaller: 442 rows with targets up to 346 give gradients below 2^18."""
MOST_BITS = 60


def finest(strategy: str, parameters: Mapping[str, Any], hospitals: int) -> SecureSum[Any, Any]:
    """The strategy with as many bits a value as its sums of so many hospitals stay exact with, or those it is given.

    Raises ConfigurationError, the strategy's own, where it runs with no number of bits.
    """
    kind, clients = catalog.strategy(strategy), range(1, hospitals + 1)
    refused = ConfigurationError(f"strategy {strategy!r} cannot sum values of {hospitals} hospitals exactly")
    chosen = parameters.get("value_bits")
    for bits in range(MOST_BITS, int(LARGEST_VALUE).bit_length(), -1) if chosen is None else [chosen]:
        try:
            protocol = kind(**{**parameters, "value_bits": bits})
            protocol.check(clients)
        except (TypeError, FedsecError) as error:
            refused = ConfigurationError(str(error))
            continue
        if protocol.capacity(clients) >= hospitals * ((1 << bits) - 1):
            return protocol
    raise refused


@dataclass
class Summation:
    """Sums of the rows of float64[hospitals, values], each value below 2^20 in size, by a protocol in process.

    Keys and the epoch are made once, when it is built. A sum is off by at most hospitals * `resolution` / 2.
    """

    protocol: SecureSum[Any, Any]
    hospitals: int
    rng: Random = os.urandom
    rounds: int = 0
    seconds: float = 0.0
    federation: LocalFederation = field(init=False)

    def __post_init__(self) -> None:
        self.federation = LocalFederation(self.protocol, self.hospitals, rng=self.rng)
        self.federation.enrol()

    @property
    def resolution(self) -> float:
        """The step of the fixed point."""
        return 2 * LARGEST_VALUE / 2.0**self.protocol.value_bits

    def __call__(self, rows: Floats) -> Floats:
        """Sum the rows. Raises ConfigurationError for a value that the fixed point cannot hold."""
        started = time.perf_counter()
        offset = 1 << (self.protocol.value_bits - 1)
        scaled = np.rint(rows / self.resolution)
        if not np.all(np.abs(scaled) < offset):
            raise ConfigurationError(
                f"a gradient of {np.max(np.abs(rows)):.3g} overflows the fixed point, which holds values below "
                f"{LARGEST_VALUE:g}; use a smaller eta"
            )
        shifted = (scaled.astype(np.int64) + offset).astype(np.uint64)
        total = self.federation.sum(dict(enumerate(shifted, start=1)))
        signed = total.sum.vector.astype(np.int64) - self.hospitals * offset
        self.rounds += 1
        self.seconds += time.perf_counter() - started
        return np.asarray(signed * self.resolution)

    def sent(self) -> int:
        """Bytes that all hospitals sent so far, set-up included."""
        return sum(row.bytes_up for row in self.federation.ledger.rows if row.role == "hospital")
