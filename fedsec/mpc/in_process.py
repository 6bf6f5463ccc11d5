"""Two compute parties, the dealer and the owners in one process: every message as bytes, counted, sealed on demand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.metering import Ledger, Row
from fedsec.mpc.bounds import GUARDED, beyond, safe_weight
from fedsec.mpc.compute_party import ComputeParty
from fedsec.mpc.dealer import Blank, Dealer
from fedsec.mpc.gradient_descent import Network, check_rows, finish, iterate, load, outside
from fedsec.mpc.recorded_roles import TapedDealer, TapedParty
from fedsec.mpc.ring_fixed_point import Floats
from fedsec.mpc.ring_kernels import Words
from fedsec.mpc.roles import Program, Returned, Role, Share, Wire
from fedsec.mpc.sharing import from_seed, join, split
from fedsec.mpc.streams import Corrections, Stream, derived
from fedsec.primitives import sealing
from fedsec.primitives.prg import SEED_BYTES
from fedsec.primitives.randomness import Random, randbytes


def no_clock() -> float:
    """No clock: reading a thread's CPU time costs up to half a millisecond, more than a round itself."""
    return 0.0


Written = Callable[[Role], Program[Returned]]
"""A program, for whatever role reads it."""


@dataclass
class Counts:
    """What was spent so far: online bytes of both parties together, and seconds of CPU of the `timed` iterations."""

    rounds: int = 0
    online_bytes: int = 0
    offline_bytes: int = 0
    input_bytes: int = 0
    timed: int = 0
    party_seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    dealer_seconds: float = 0.0


class Exchange:
    """Couples the programs of the two parties; each round is two messages, which the server relays.

    key: where given, what the parties agreed on; every opening then travels in AES-256-GCM, bound to its round.
    tap: sees (receiver, bytes as the party reads them), for tests. ledger: a row per round.
    """

    def __init__(
        self,
        counts: Counts,
        key: bytes | None = None,
        rng: Random = os.urandom,
        tap: Callable[[int, bytes], None] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.counts, self.ledger, self.clock = counts, ledger, no_clock
        self._sealer = None if key is None else sealing.Sealer(key)
        self._rng, self._tap = rng, tap

    def run(self, programs: Sequence[Program[Returned]], number: int = 0) -> list[Returned]:
        """Both programs to their ends; `number` names the iteration in rows and seals.

        Raises BadMessage where one party ends before the other.
        """
        results: list[Returned] = []
        arrived: list[bytes | None] = [None, None]
        for step in range(1 << 20):
            out: list[bytes] = []
            spent = [0.0, 0.0]
            started = time.perf_counter()
            for party, program in enumerate(programs):
                began = self.clock()
                try:
                    out.append(
                        self._sealed(self._step(program, arrived[party], party, number, step), party, number, step)
                    )
                except StopIteration as stop:
                    results.append(stop.value)
                spent[party] = self.clock() - began
                self.counts.party_seconds[party] += spent[party]
            if len(results) == 2:
                return results
            if results:
                raise BadMessage("one compute party ended before the other: they read different programs")
            self._count(out, spent, number, step, time.perf_counter() - started)
            arrived = [out[1], out[0]]
        raise BadMessage("a program of over a million rounds")

    def _step(self, program: Program[Returned], arrived: bytes | None, party: int, number: int, step: int) -> bytes:
        if arrived is None:
            return next(program)
        if self._sealer is not None:
            arrived = self._sealer.unseal(arrived, b"opening %d %d %d" % (number, step - 1, 1 - party))
        if self._tap is not None:
            self._tap(party, arrived)
        return program.send(arrived)

    def _sealed(self, data: bytes, party: int, number: int, step: int) -> bytes:
        if self._sealer is None:
            return data
        return self._sealer.seal(data, b"opening %d %d %d" % (number, step, party), self._rng)

    def _count(self, out: Sequence[bytes], spent: Sequence[float], number: int, step: int, wall: float) -> None:
        sizes = [len(data) for data in out]
        self.counts.rounds += 1
        self.counts.online_bytes += sum(sizes)
        if self.ledger is not None:
            self.ledger.add(
                Row(
                    number,
                    "train",
                    f"Open{step + 1}",
                    "hospital",
                    2,
                    2,
                    4,
                    sum(sizes),
                    sum(sizes),
                    max(sizes),
                    max(sizes),
                    sum(spent),
                    max(spent),
                    wall,
                )
            )


class SharedTraining:
    """A network trained on rows that hospitals share between two compute parties.

    hospitals: (features float64[rows, columns] within ±8, target float64[rows, 1] within ±1) of each. weights: float64
    by layer, shared by the first hospital. draws: where true, `roundings` keeps what the dealer's masks round by.

    Where `guarded`, parties compare the weights with what is safe at the start and every GUARDED iterations: between,
    no value can overflow. unguarded: allow an activation without a bound, where nobody would see one. Raises
    ConfigurationError, DataError for rows beyond their limits, and FixedPointOverflow.
    """

    def __init__(
        self,
        network: Network,
        hospitals: Sequence[tuple[Floats, Floats]],
        weights: Sequence[Floats],
        rng: Random = os.urandom,
        sealed: bool = True,
        draws: bool = False,
        tap: Callable[[int, bytes], None] | None = None,
        unguarded: bool = False,
    ) -> None:
        if not (unguarded or network.activation.bounded):
            raise ConfigurationError(
                f"activation {network.activation.name} has no bound: parties could not detect that a value "
                "left the fixed point; clip its argument, or pass unguarded=True"
            )
        self.network, self.iteration, self.counts = network, 0, Counts()
        self.roundings: list[Words] = []
        if not hospitals:
            raise ConfigurationError("hospitals is empty; at least one must share rows")
        for part in hospitals:
            check_rows(*part, network)
        if [matrix.shape for matrix in weights] != network.shapes:
            raise ConfigurationError(
                f"weights have shapes {[matrix.shape for matrix in weights]}; {network.shapes} are expected"
            )
        self._safe = safe_weight(network, sum(len(target) for _, target in hospitals), GUARDED)
        self._seeds = randbytes(SEED_BYTES, rng), randbytes(SEED_BYTES, rng)
        self.exchange = Exchange(self.counts, randbytes(sealing.KEY_BYTES, rng) if sealed else None, rng, tap)
        features, target = ([self._shared(part[which], rng) for part in hospitals] for which in (0, 1))
        shares = [self._shared(matrix, rng) for matrix in weights]
        rows = [[np.concatenate([part[party] for part in parts]) for parts in (features, target)] for party in (0, 1)]
        masks, wires = self._load(rows)

        def written(role: Role, rows: list[Wire], weights: list[Share]) -> Program[list[Share]]:
            return iterate(role, network, rows[0], rows[1], weights)

        self._dealer = TapedDealer(written, masks, network.shapes, draws)
        self._parties = [TapedParty(p, written, wires[p], [pair[p] for pair in shares]) for p in (0, 1)]
        self._ahead = ThreadPoolExecutor(1, "dealer")
        self._dealt = self._ahead.submit(self._deal, 1, no_clock)
        if self.guarded:
            self.guard()

    def _shared(self, values: Floats, rng: Random) -> tuple[Words, Words]:
        seed, other = split(values, self.network.fixed, rng)
        self.counts.input_bytes += len(seed) + other.nbytes
        return from_seed(seed, other.shape), other

    def _numbered(self, number: int) -> tuple[bytes, bytes]:
        return derived(self._seeds[0], "party 0", number), derived(self._seeds[1], "party 1", number)

    def _load(self, rows: Sequence[Sequence[Words]]) -> tuple[list[Wire], list[list[Wire]]]:
        """Mask the rows once: what the dealer keeps, and the parties."""
        seeds = self._numbered(0)
        dealer = Dealer((Stream(seeds[0]), Stream(seeds[1])))
        masks = finish(load(dealer, Blank(rows[0][0].shape), Blank(rows[0][1].shape)))
        self.counts.offline_bytes += 2 * SEED_BYTES
        roles = [ComputeParty(party, Stream(seed)) for party, seed in enumerate(seeds)]
        wires = self.exchange.run([load(role, *mine) for role, mine in zip(roles, rows, strict=True)])
        return masks, wires

    def _deal(self, number: int, clock: Callable[[], float]) -> tuple[bytes, list[Words], float]:
        began = clock()
        data, roundings = self._dealer.deal(self._numbered(number))
        return data, roundings, clock() - began

    def step(self, timed: bool = False) -> None:
        """One iteration; `timed` adds its CPU to the counts. The dealer is an iteration ahead, in its own thread."""
        self.iteration += 1
        self.counts.timed += timed
        self.exchange.clock = time.thread_time if timed else no_clock
        data, self.roundings, _ = self._dealt.result()
        self._dealt = self._ahead.submit(self._deal, self.iteration + 1, self.exchange.clock)
        if timed:  # of the same size, whichever iteration it is for
            self.counts.dealer_seconds += self._dealt.result()[2]
        self.counts.offline_bytes += len(data)
        seeds = self._numbered(self.iteration)
        self.exchange.run([self._parties[0].play(seeds[0]), self._parties[1].play(seeds[1], data)], self.iteration)
        if self.guarded and self.iteration % GUARDED == 0:
            self.guard()

    @property
    def guarded(self) -> bool:
        """Whether no value can overflow unseen: so it is where the activation's argument is bounded."""
        return self.network.activation.bounded

    def guard(self) -> None:
        """Compare all weights with what is safe for GUARDED iterations; nothing but how many are beyond is opened.

        Raises FixedPointOverflow where there is one.
        """
        seeds = [derived(seed, f"guard {p}", self.iteration) for p, seed in enumerate(self._seeds)]
        dealer = Dealer((Stream(seeds[0]), Stream(seeds[1])))
        finish(outside(dealer, self.network, [Blank(shape) for shape in self.network.shapes], self._safe))
        corrections = dealer.corrections().tobytes()
        self.counts.offline_bytes += len(corrections)
        roles = ComputeParty(0, Stream(seeds[0])), ComputeParty(1, Stream(seeds[1]), Corrections(corrections))
        programs = [
            outside(role, self.network, one.state, self._safe) for role, one in zip(roles, self._parties, strict=True)
        ]
        count, _ = self.exchange.run(programs, -self.iteration)
        if count:
            raise beyond(self.iteration, count, self._safe)

    @property
    def weights(self) -> list[tuple[Words, Words]]:
        """The shares of both parties, by layer; the next iteration overwrites them."""
        return list(zip(self._parties[0].state, self._parties[1].state, strict=True))

    def reveal(self) -> list[Floats]:
        """The weights, as the hospitals get them from both parties."""
        return [join(pair, self.network.fixed) for pair in self.weights]
