"""What an agreement costs a hospital: the CPU of all its checks in one round of training, beside that of the round.

Version and configuration are checked in each exchange; cohort, stage, model and layout once. A sum is counted in the
claim of the phase that gives it, by one commit of the journal that is there without an agreement too: only what it adds
to that claim counts. What is checked when a hospital enrols is no part of a round.

The round is the strategy's own steps and the encoding of the update: the least that a round can be, for nothing is
trained in it. The second row of each strategy adds one pass of local training, of this package's perceptron with as
many parameters, over 91 rows.

python benchmarks/agreement.py [--quick] [--json] [--output DIR]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from common import Report, Row, arguments, publish

import fedsec
from fedsec.agreement import admission
from fedsec.agreement.agreement_file import AgreedArray, AgreedStrategy, Agreement, Encoding, Hospital, Stage
from fedsec.encoding import mean
from fedsec.encoding.ladder import Plan
from fedsec.learning.models import Perceptron
from fedsec.party.journal import Journal
from fedsec.simulations.costs.federation import Federation
from fedsec.simulations.costs.setting import SPEC, Setting
from fedsec.wire import codec

STRATEGIES = ("plain", "shamir", "secagg")
HOSPITALS, ROWS = 5, 91


def cpu_of(step: Callable[[], object], repetitions: int) -> float:
    """The least CPU seconds of a step."""
    return cpu_of_each([step], repetitions)[0]


def cpu_of_each(steps: Sequence[Callable[[], object]], repetitions: int) -> list[float]:
    """The least CPU seconds of each of these steps, which take turns: what disturbs one disturbs the others."""
    least = [float("inf")] * len(steps)
    for _ in range(repetitions):
        for place, step in enumerate(steps):
            started = time.process_time()
            step()
            least[place] = min(least[place], time.process_time() - started)
    return least


def checks(setting: Setting, folder: Path) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """All that a party compares with its agreement in one round; a claim that counts a sum under it; a claim alone.

    Each call is for another model.
    """
    protocol, size = setting.protocol(), setting.parameters
    configuration = {f"option-{n}": n for n in range(40)}
    agreement = Agreement(
        fedsec=fedsec.__version__,
        server="00" * 32,
        strategy=AgreedStrategy.of(protocol),
        encoding=Encoding.of(SPEC),
        arrays=(AgreedArray(name="w", dtype="float32", shape=(size,)),),
        stages={"train": Stage(sessions=10**9, metrics={"loss": 0})},
        configuration=configuration,
        hospitals=tuple(Hospital(name=f"H{n}", key=f"{n:064x}") for n in range(HOSPITALS)),
    )
    layout, model = codec.encode(agreement.layout("train")), {"w": np.zeros(size, np.float32)}
    journal, counter = Journal(folder / f"{setting.strategy}.journal"), iter(range(10**9))

    plan = Plan(bytes(32), layout=layout)

    def compared() -> None:
        for _ in protocol.rounds():
            admission.admit_software(agreement)
            admission.admit_configuration(agreement, configuration)
        admission.admit_cohort(agreement, range(HOSPITALS), range(HOSPITALS))
        admission.admit_session(agreement, "train", plan)
        admission.admit_model(agreement, "train", model)
        admission.check_answer(agreement, "train", layout)

    def counted() -> None:
        allowance = admission.Allowance(agreement.hash, "train", next(counter).to_bytes(32, "big"), 10**9)
        journal.claim(bytes(32), b"run", lambda known: known, allowance)

    def claimed() -> None:
        journal.claim(bytes(32), b"run", lambda known: known)

    return compared, counted, claimed


def encoding(size: int) -> Callable[[], object]:
    """How a hospital makes its update of so many parameters a vector."""
    reference, update = {"w": np.zeros(size, np.float32)}, {"w": np.full(size, 0.01, np.float32)}
    return lambda: mean.contribution(update, reference, {"loss": 0.5}, 91, SPEC, 24)


def training(size: int) -> Callable[[], object]:
    """One pass of local training of a perceptron of about so many parameters over ROWS rows."""
    model, rng = Perceptron("classification"), np.random.default_rng(1)
    columns = size // Perceptron.units
    parameters, features = model.initial(columns, 1), rng.normal(size=(ROWS, columns))
    target = (features[:, 0] > 0).astype(np.float64)
    return lambda: model.train(parameters, features, target, rng, 1, 0.01, 16)


def main() -> None:
    """One size, three strategies: the plain sum is the round that leaves least room."""
    options = arguments(__doc__ or "")
    report = Report("What an agreement costs a hospital in a round")
    size = 100_000 if options.quick else 1_000_000
    trained = cpu_of(training(size), 3)
    with tempfile.TemporaryDirectory() as folder:
        for name in STRATEGIES:
            setting = Setting(name, HOSPITALS, size)
            federation = Federation(setting)
            federation.enrol()
            federation.prepare()
            repetitions = 5 if options.quick else 20
            federation.run_round()
            steps = min(
                sum(row.cpu_seconds for row in federation.run_round().rows if row.role == "hospital") / HOSPITALS
                for _ in range(repetitions)
            )
            cpu = steps + cpu_of(encoding(size), repetitions)
            compared, counted, claimed = cpu_of_each(checks(setting, Path(folder)), 10 * repetitions)
            added = compared + counted - claimed
            where = {"hospitals": HOSPITALS, "parameters": size}
            for what, spent in (("round at a hospital", cpu), ("round with training", cpu + trained)):
                parts = f"{compared * 1e3:.2f} ms to compare and {(counted - claimed) * 1e3:.2f} ms in the journal"
                note = f"{parts}, CPU, beside {spent * 1e3:.1f} ms: {added / spent:.2%} of a round"
                report.add(Row(name, "checks of an agreement", where, 1 / added, what, spent / added, note))
    publish(report, "agreement", options)


if __name__ == "__main__":
    main()
