"""What the framework itself costs: encoding, signing and metering, and a round on Flower beside plain FedAvg.

python benchmarks/spine.py [--quick] [--json] [--output DIR]
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common import Report, Row, arguments, best, publish
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

from fedsec import catalog
from fedsec.encoding import mean
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.local import LocalFederation
from fedsec.metering import Ledger, Meter
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import PartyId, Sum
from fedsec.simulations.run.launcher import flower_run, make_app
from fedsec.wire import envelope
from fedsec.wire.exchange import Phase, Refusal

HOSPITALS = 5


def encoding(report: Report, values: int) -> None:
    """Encoding and decoding in values a second, beside the mean that FedAvg computes of the same arrays."""
    rng = np.random.default_rng(0)
    update, model, spec = {"w": rng.normal(0, 1, values)}, {"w": np.zeros(values)}, MeanSpec(4.0, 10_000)
    records = [
        RecordDict({"arrays": ArrayRecord({"w": Array(update["w"])}), "metrics": MetricRecord({"num-examples": 100})})
        for _ in range(HOSPITALS)
    ]
    fedavg = best(lambda: aggregate_arrayrecords(records, "num-examples")) / HOSPITALS
    made = mean.contribution(update, model, {}, 100, spec, 24)
    layout = made.layout
    total = Sum(made.vector * np.uint64(HOSPITALS), frozenset(range(1, HOSPITALS + 1)))
    point, out = FixedPoint(24, 4.0), np.empty(values, np.uint64)
    steps = {
        "fixed point": {
            "encode": best(lambda: point.encode(update["w"], 0.01, out)),
            "decode": best(lambda: point.decode(total.vector[:values], HOSPITALS)),
        },
        "update": {
            "encode": best(lambda: mean.contribution(update, model, {}, 100, spec, 24)),
            "decode": best(lambda: mean.decode(total, layout, model, spec, 24)),
        },
    }
    setting = {"values": values, "bits": 24}
    report.add(Row("plain FedAvg", "mean of one update", {"values": values}, values / fedavg))
    for subject, operations in steps.items():
        for operation, seconds in operations.items():
            note = f"{seconds / values * 1e9:.1f} ns a value"
            report.add(Row(subject, operation, setting, values / seconds, "plain FedAvg", fedavg / seconds, note))


def messages(name: str, values: int) -> tuple[list[tuple[Phase, dict[PartyId, bytes], dict[PartyId, bytes]]], float]:
    """The requests and answers of one round as they stand on the wire, phase by phase, and the round's seconds."""
    federation = LocalFederation(catalog.strategy(name)(), HOSPITALS)
    rng = np.random.default_rng(0)
    data = {party: rng.integers(0, 1 << 24, values, dtype=np.uint64) for party in federation.states}
    federation.sum(data)
    exchanged: list[tuple[Phase, dict[PartyId, bytes], dict[PartyId, bytes]]] = []

    def tap(phase: Phase, party: PartyId, request: bytes, answer: bytes | Refusal | None) -> None:
        if not exchanged or exchanged[-1][0] != phase:
            exchanged.append((phase, {}, {}))
        exchanged[-1][1][party] = request
        if isinstance(answer, bytes):
            exchanged[-1][2][party] = answer

    federation.tap = tap
    federation.sum(data)
    federation.tap = None
    return exchanged, best(lambda: federation.sum(data), least=2)


def overhead(name: str, values: int) -> tuple[float, float]:
    """Seconds that signing, checking and metering all messages of a round take, in one thread; and the round's."""
    exchanged, whole = messages(name, values)
    key = SigningKey(bytes(32))
    parts = [
        envelope.read(data) for _, requests, answers in exchanged for data in (*requests.values(), *answers.values())
    ]
    signatures = [key.sign(envelope.digest(part.head, part.body)) for part in parts]

    def sign_and_check() -> None:
        for part, signature in zip(parts, signatures, strict=True):
            key.sign(envelope.digest(part.head, part.body))
            envelope.Envelope(part.header, part.head, part.body, signature).check(key.public)

    def meter() -> None:
        for phase, requests, answers in exchanged:
            Meter(lambda phase, requests, answers=answers: list(answers.items()), Ledger())(phase, requests)

    return best(sign_and_check) + best(meter), whole


def rounds_on_flower(strategies: list[str], values: int, rounds: int, hospitals: int = HOSPITALS) -> dict[str, Any]:
    """Whole rounds under `flwr run`: plain FedAvg and each strategy in one run."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "found.json"
        config = {
            "strategies": ",".join(strategies),
            "values": values,
            "rounds": rounds,
            "hospitals": hospitals,
            "output": str(output),
        }
        app = make_app(Path(place) / "app", "flower_app:server", "flower_app:client", config)
        shutil.copy(Path(__file__).with_name("flower_app.py"), app)
        with flower_run(app, config, hospitals, timeout=3000) as live:
            live.wait()
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    for name, one in found.items():
        if one["failures"]:
            raise RuntimeError(f"{name}: {one['failures']}")
    return found


def flower(report: Report, found: Mapping[str, Any], values: int) -> None:
    """Seconds and exchanges of a round, and what part of it is signing and metering."""
    fedavg = statistics.median(found["fedavg"]["seconds"])
    for name, one in found.items():
        seconds = statistics.median(one["seconds"])
        setting = {"hospitals": HOSPITALS, "values": values}
        note = f"{seconds:.2f} s, {max(one['exchanges'])} exchanges"
        if name == "fedavg":
            report.add(Row("FedAvg on Flower", "round", setting, 1 / seconds, note=note))
            continue
        phases = len(catalog.strategy(name)().tolerance(range(1, HOSPITALS + 1)))
        note += f" for {phases} phases, {one['bytes'] / 1e6:.1f} MB"
        report.add(Row(f"{name} on Flower", "round", setting, 1 / seconds, "FedAvg on Flower", fedavg / seconds, note))
        added, local = overhead(name, values)
        share = f"{added / seconds:.2%} of the round on Flower, {added / local:.1%} of one in process ({local:.2f} s)"
        report.add(
            Row(
                f"{name}: signing and metering",
                "round",
                setting,
                1 / added,
                f"{name} on Flower",
                seconds / added,
                share,
            )
        )


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    report = Report("fedsec: the framework's own cost")
    encoding(report, 1_000_000)
    values = 100_000 if options.quick else 1_000_000
    strategies = [name for name in catalog.names() if not (options.quick and name == "paillier")]
    flower(report, rounds_on_flower(strategies, values, 2 if options.quick else 3), values)
    publish(report, "spine", options)


if __name__ == "__main__":
    main()
