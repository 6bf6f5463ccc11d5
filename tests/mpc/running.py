"""The two compute parties, the dealer and the twin, run over one program and held against each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.mpc.compute_party import ComputeParty
from fedsec.mpc.dealer import Blank, Dealer
from fedsec.mpc.gradient_descent import finish
from fedsec.mpc.in_process import Counts, Exchange
from fedsec.mpc.roles import Program, Role, Share, wrapped
from fedsec.mpc.streams import Corrections, Stream
from fedsec.mpc.twin import Twin

Integers = NDArray[np.int64]
Written = Callable[[Role, Sequence[Share]], Program[Any]]


@dataclass
class Run:
    """What one program gave: the opened outputs on shares, the twin's, and what each party received."""

    shares: list[Integers]
    twin: list[Integers]
    counts: Counts
    received: dict[int, list[NDArray[np.uint64]]] = field(default_factory=lambda: {0: [], 1: []})
    corrections: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))


def both(written: Written, inputs: Sequence[Integers], twin: bool = True) -> Run:
    """Share the inputs, run the program, open what it returns; the twin rounds as the dealer's masks do."""
    seeds, draws = (os.urandom(32), os.urandom(32)), []
    dealer = Dealer((Stream(seeds[0]), Stream(seeds[1])), draws)
    finish(written(dealer, [Blank(x.shape) for x in inputs]))
    masks = [Stream(os.urandom(32)).words(x.shape) for x in inputs]
    corrections = dealer.corrections()
    parties = ComputeParty(0, Stream(seeds[0])), ComputeParty(1, Stream(seeds[1]), Corrections(corrections.tobytes()))
    mine = masks, [wrapped(x) - mask for x, mask in zip(inputs, masks, strict=True)]
    received: dict[int, list[NDArray[np.uint64]]] = {0: [], 1: []}
    exchange = Exchange(Counts(), tap=lambda party, data: received[party].append(np.frombuffer(data, "<u8")))
    out = exchange.run([written(role, shares) for role, shares in zip(parties, mine, strict=True)])
    shares = [(one + other).astype(np.int64) for one, other in zip(*out, strict=True)]
    lows = iter([low.astype(np.int64) for low in draws])
    plain = finish(written(Twin(lambda shape, shift: next(lows)), list(inputs))) if twin else []
    return Run(shares, plain, exchange.counts, received, corrections)
