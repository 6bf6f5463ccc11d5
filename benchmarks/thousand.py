"""A thousand hospitals under secagg_plus, a third of whom fall silent: seconds, memory and bytes of a whole round.

python benchmarks/thousand.py [--quick] [--json] [--output DIR] [--flower]

In process by default; `--flower` adds a round of as many nodes on Flower and Ray, beside plain FedAvg (many minutes).
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

import numpy as np
from common import Report, Row, parser, publish
from spine import rounds_on_flower

from fedsec import catalog
from fedsec.local import Fault, LocalFederation

CORRUPTION, DROPOUT = 0.1, 1 / 3


def in_process(report: Report, hospitals: int, values: int) -> None:
    """One round with the dropouts when masked inputs are due, which costs the most: their masks must be undone."""
    protocol = catalog.strategy("secagg_plus")(corruption=CORRUPTION, dropout=DROPOUT)
    federation = LocalFederation(protocol, hospitals)
    started = time.perf_counter()
    federation.enrol()
    enrolled = time.perf_counter() - started
    vector = np.random.default_rng(0).integers(0, 1 << 24, values, dtype=np.uint64)
    silent = range(1, int(DROPOUT * hospitals) + 1)
    federation.faults = [Fault("drop", "MaskInput", party) for party in silent]
    started, cpu = time.perf_counter(), time.process_time()
    total = federation.sum(dict.fromkeys(range(1, hospitals + 1), vector))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    survivors = hospitals - len(silent)
    if len(total.sum.included) != survivors or not np.array_equal(total.sum.vector, vector * np.uint64(survivors)):
        raise RuntimeError("the sum is wrong")
    rows = [row for row in federation.ledger.rows if row.stage == "train" and row.role == "hospital"]
    up, down = (sum(getattr(row, name) for row in rows) / hospitals for name in ("bytes_up", "bytes_down"))
    graph = protocol.degree(range(hospitals)), protocol.shares_needed(range(hospitals))
    gibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    setting = {"hospitals": hospitals, "values": values, "silent": len(silent), "corruption": CORRUPTION}
    note = (
        f"{seconds:.1f} s ({cpu:.1f} s of CPU), at most {gibibytes:.2f} GiB; set-up {enrolled:.1f} s; k = {graph[0]}, "
        f"t = {graph[1]}; {up / 1e3:.0f} kB up and {down / 1e3:.0f} kB down a hospital"
    )
    report.add(Row("secagg_plus in process", "round", setting, 1 / seconds, note=note))


def on_flower(report: Report, hospitals: int, values: int) -> None:
    """The same on Flower and Ray, nobody silent, beside plain FedAvg in the same run."""
    found = rounds_on_flower(["secagg_plus"], values, 1, hospitals)
    fedavg = statistics.median(found["fedavg"]["seconds"])
    for subject, one in found.items():
        seconds = statistics.median(one["seconds"])
        over = {} if subject == "fedavg" else {"over": "fedavg on Flower", "ratio": fedavg / seconds}
        note = f"{seconds:.1f} s, {max(one['exchanges'])} exchanges"
        setting = {"hospitals": hospitals, "values": values, "silent": 0}
        report.add(Row(f"{subject} on Flower", "round", setting, 1 / seconds, note=note, **over))


def main() -> None:
    """Measure and publish."""
    options = parser(__doc__ or "")
    options.add_argument("--flower", action="store_true", help="also a round of as many nodes on Flower and Ray")
    chosen = options.parse_args()
    hospitals, values = (150, 10_000) if chosen.quick else (1_000, 100_000)
    report = Report(f"{hospitals} hospitals under secagg_plus")
    in_process(report, hospitals, values)
    if chosen.flower:
        sys.stderr.write(f"starting Flower with {hospitals} nodes\n")
        on_flower(report, hospitals, values)
    publish(report, "thousand", chosen)


if __name__ == "__main__":
    main()
