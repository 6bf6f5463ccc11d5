"""The study's app as a deployment runs it: each hospital reads its own file, pins everybody, and keeps a journal.

Nothing stands in for anything: the real server app and client app, keys, pins, journals and files, in one process.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import load_file

from fedsec.app import client_app, own_rows, server_app
from fedsec.app.config import RunConfig
from fedsec.data import files, preparation, registry, table_one
from fedsec.data.label import Label
from fedsec.data.preparation import Preparation
from fedsec.data.schema import Category, Number, Schema, read
from fedsec.data.table_columns import of_columns
from fedsec.disclosure import Statement
from fedsec.encoding.fixed_point import FixedPoint
from fedsec.errors import ConfigurationError, DataError, RunFailed
from fedsec.flower import SecureAggregation
from fedsec.learning import trained_model
from fedsec.learning.local_training import client_update
from fedsec.party.identity import write_identity
from fedsec.report.run_document import load_table_one
from fedsec.simulations.run import rehearsal, study
from fedsec.trail import verify
from tests.flower.process_grid import ProcessGrid, pinned

FIRST = 2**63 + 11
"""Node ids as Flower draws them: 64 bits."""
RUNS = itertools.count(77)
"""All runs of a process share its sessions, by their ids."""
SCHEMA = Schema(
    (Number("age", 0.0, 120.0), Number("lactate", 0.0, 30.0), Category("ward", ("icu", "medicine", "surgery"))),
    Label("died", "classification"),
)
MALICIOUS = {"shamir": {"server": "malicious"}, "secagg": {}}
"""Parameters under which hospitals need not trust the server."""


def columns(hospital: int, rows: int) -> dict[str, list[str]]:
    """One hospital's rows, with gaps, and another mix of them at each hospital."""
    rng = np.random.default_rng(hospital)
    age, ward = rng.normal(55 + 4 * hospital, 12, rows).clip(18, 100), rng.integers(0, 3, rows)
    died = rng.random(rows) < 1 / (1 + np.exp(-(age - 62) / 8))
    return {
        "age": [f"{value:.1f}" for value in age],
        "lactate": ["" if rng.random() < 0.1 * hospital else f"{rng.gamma(2.0, 1.0):.2f}" for _ in range(rows)],
        "ward": [("icu", "medicine", "surgery")[place] for place in ward],
        "died": [str(int(value)) for value in died],
    }


class Deployment:
    """Hospitals with a file, a key and a journal each, and a server that knows their public keys and the schema."""

    def __init__(self, folder: Path, hospitals: int = 3, **options: Any) -> None:
        self.folder = folder
        (folder / "schema.toml").write_text(SCHEMA.to_toml())
        self.parts = [columns(hospital, 40 + 9 * hospital) for hospital in range(hospitals)]
        for hospital, part in enumerate(self.parts):
            with (folder / f"{hospital}.csv").open("w", newline="") as file:
                lines = csv.writer(file)
                lines.writerows([list(part), *zip(*part.values(), strict=True)])
        self.options = {
            "dataset": "own",
            "schema-file": str(folder / "schema.toml"),
            "identity": str(folder / "server.key"),
            "agreement": str(folder / "0.toml"),
            "output": str(folder / "out"),
            "phase-timeout": 3600.0,
            "rounds": 2,
            "epochs": 2,
            **options,
        }
        self.grid, _, _ = pinned(
            folder, client_app.client, hospitals, FIRST, rehearsal=self.rehearsed, configuration=self.options
        )
        self._ready(self.grid)

    def _ready(self, grid: ProcessGrid) -> None:
        """Each hospital has its own rows; the mod is among the app's own."""
        grid.run = SimpleNamespace(run_id=next(RUNS))
        grid.mod = lambda message, context, app: app(message, context)
        for hospital, context in enumerate(grid.contexts.values()):
            context.run_config = dict(self.options)
            context.node_config |= {
                "fedsec-data": str(self.folder / f"{hospital}.csv"),
                "fedsec-schema": str(self.folder / "schema.toml"),
            }

    def rehearsed(self) -> SecureAggregation:
        """The same run in a simulation, from which the agreement is derived."""
        grid = ProcessGrid(client_app.client, len(self.parts), FIRST)
        self._ready(grid)
        config = RunConfig.read(self.options).model_copy(update={"clients": len(self.parts), "output": ""})
        return server_app.run(grid, config, len(self.parts), None)

    @property
    def contexts(self) -> list[Context]:
        return list(self.grid.contexts.values())

    def run(self) -> None:
        for context in self.contexts:
            context.run_config = dict(self.options)
        server_app.main(self.grid, Context(77, 0, {}, RecordDict(), dict(self.options)))

    def refused(self, match: str) -> None:
        """The run fails at its first question, each hospital's log says why, and the server is told a count alone."""
        with pytest.raises(RunFailed, match=r"query.statistics failed: .*3 of 3 hospitals had no usable update"):
            self.run()
        assert not self.grid.reasons
        for context in self.contexts:
            with pytest.raises(ConfigurationError, match=match):
                own_rows.rows(RunConfig.parse(context.run_config), context)


@pytest.fixture(autouse=True)
def _runtime() -> None:
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # Flower's runtime sets them once


def fedavg(deployment: Deployment, config: RunConfig, prepared: Preparation) -> dict[str, Any]:
    """Plain federated averaging over the same parts, in exact arithmetic."""
    shares = [prepared.apply(of_columns("part", part, SCHEMA, "")) for part in deployment.parts]
    training = config.training("classification")
    model = training.model.initial(len(prepared.features()), config.seed)
    rows = [len(share.target) for share in shares]
    for number in range(1, config.rounds + 1):
        updates = [
            client_update(training, number, node % 2**32, model, share.features, share.target)[0]
            for node, share in zip(deployment.grid.contexts, shares, strict=True)
        ]
        model = {name: _mean([update[name] for update in updates], rows) for name in model}
    return model


def _mean(arrays: Sequence[Any], weights: Sequence[int]) -> Any:
    exact = [[Fraction(float(value)) for value in array.flat] for array in arrays]
    total = [sum(n * value for n, value in zip(weights, values, strict=True)) for values in zip(*exact, strict=True)]
    return np.array([float(value / sum(weights)) for value in total]).reshape(arrays[0].shape)


@pytest.mark.versions
@pytest.mark.parametrize(("strategy", "hospitals", "cohort"), [("shamir", 5, "sampled"), ("secagg", 3, "fixed")])
def test_a_deployment_trains_the_model_of_plain_fedavg(
    tmp_path: Path, strategy: str, hospitals: int, cohort: str
) -> None:
    parameters = json.dumps(MALICIOUS[strategy])
    whole = {
        "batch-size": 1000,
        "epochs": 20,
        "least-cell": 0,
    }  # hospitals draw the order of rows themselves, and here it does not matter; no cell of Table 1 is suppressed
    deployment = Deployment(tmp_path, hospitals, strategy=strategy, parameters=parameters, cohort=cohort, **whole)
    deployment.run()
    assert not deployment.grid.reasons
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "agreement.toml",
        "disclosure.json",
        "ledger.csv",
        "model-card.md",
        "model.safetensors",
        "preparation.json",
        "progress.jsonl",
        "table-one.json",
        "trail.jsonl",
        "trail.jsonl.head",
    }
    trail = verify(tmp_path / "out" / "trail.jsonl")
    assert [one["event"] for one in trail.entries] == ["released"] * 5 and not trail.problems
    stated = Statement.model_validate_json((tmp_path / "out" / "disclosure.json").read_bytes())
    assert (stated.identities, stated.cohort, stated.sums) == ("pinned", hospitals, 5) and len(stated.agreement) == 64
    events = [json.loads(line) for line in (tmp_path / "out" / "progress.jsonl").read_text().splitlines()]
    assert [event["included"] for event in events if event["event"] == "round"] == [hospitals] * 5
    assert not any(event.get("clipped") for event in events)

    prepared = Preparation.from_json((tmp_path / "out" / "preparation.json").read_text())
    together = {name: [value for part in deployment.parts for value in part[name]] for name in deployment.parts[0]}
    expected = preparation.pooled(of_columns("pooled", together, SCHEMA, ""))
    assert prepared.rows == expected.rows and prepared.levels.keys() == expected.levels.keys()
    for one, other in zip(prepared.numbers, expected.numbers, strict=True):
        assert one.name == other.name
        assert (one.present, one.mean, one.deviation) == pytest.approx(
            (other.present, other.mean, other.deviation), abs=1e-9
        )
    for name, shares in expected.levels.items():
        assert prepared.levels[name] == pytest.approx(shares, abs=1e-12)
    assert prepared.target_mean == pytest.approx(expected.target_mean, abs=1e-12)

    described = load_table_one(tmp_path / "out" / "table-one.json")
    died = together["died"].count("1")
    assert described.rows == (prepared.rows, prepared.rows - died, died)
    assert (described.hospitals, described.least) == (hospitals, 0)
    assert described.categories == table_one.of_rows(of_columns("pooled", together, SCHEMA, "")).categories

    config = RunConfig.read(deployment.options)
    exact, got = fedavg(deployment, config, prepared), load_file(tmp_path / "out" / "model.safetensors")
    step = FixedPoint(config.protocol().value_bits, config.clip).error_bound(
        hospitals, config.spec().largest_weight, prepared.rows
    )
    assert exact.keys() == got.keys()
    for name, values in exact.items():  # descent on a convex loss does not enlarge the first round's error
        assert np.abs(values).max() > 0.01
        assert np.abs(values - got[name]).max() <= config.rounds * float(step) + 1e-12


@pytest.mark.versions
def test_a_deployment_chooses_its_threshold_from_sums_and_each_hospital_reads_its_own_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The threshold is that of the pooled rows; what one hospital's rows come to stands in its own log alone."""
    rule, parameters = "sensitivity=0.3", json.dumps(MALICIOUS["shamir"])
    deployment = Deployment(tmp_path, 5, parameters=parameters, **{"decision-threshold": rule})
    with caplog.at_level("INFO", "fedsec.app.client_app"):
        deployment.run()
    trained = trained_model.read(tmp_path / "out")
    tables = [of_columns("part", part, SCHEMA, "") for part in deployment.parts]
    score = [trained.built.score(trained.parameters, trained.preparation.apply(one).features) for one in tables]
    target = np.concatenate([one.target for one in tables])
    assert "for a sensitivity of 0.3" in trained.about["threshold chosen"]
    cut = np.log(trained.threshold / (1 - trained.threshold))
    found, further = (np.concatenate(score) >= edge for edge in (cut - 1e-9, cut + 0.25))
    assert found[target == 1].mean() >= 0.3 > further[target == 1].mean()  # no higher edge would do
    card = (tmp_path / "out" / "model-card.md").read_text()
    assert f"| Sensitivity | {found[target == 1].mean():.3f} | 0 |" in card
    told = [record.getMessage() for record in caplog.records if "own rows under this model" in record.getMessage()]
    assert len(told) == 2 * 5
    for one in tables:
        mine = f"{len(one.target)} rows, {one.target.sum():.0f} of class 1"
        assert sum(mine in text for text in told) >= 2
    sent = "".join(path.read_text() for path in (tmp_path / "out").glob("*.json*"))
    assert "of class 1" not in sent


def test_a_hospital_reads_no_file_that_the_run_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever submits a run chooses neither rows, nor a schema, nor code at a hospital."""
    strategy = tmp_path / "chosen_by_the_server.py"
    strategy.write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()\n")
    opened: list[str] = []
    for module, name in ((files, "read_file"), (files, "read"), (registry, "load"), (study.hospitals, "of_config")):
        monkeypatch.setattr(module, name, lambda *arguments, **_: opened.append(str(arguments[0])))
    grid = ProcessGrid(client_app.client, 3, FIRST)
    chosen: list[Mapping[str, Any]] = [
        {"data": "/etc/hosts", "site": "a", "label": "b"},
        {"data": str(tmp_path / "rows.csv"), "site": "a", "label": "b", "schema-file": "/etc/hosts"},
        {"dataset": "breast-cancer"},
        {"dataset": "own", "schema-file": "/etc/hosts"},
        {"dataset": "breast-cancer", "strategy": str(strategy)},
    ]
    context = next(iter(grid.contexts.values()))
    asked = RecordDict({"config": ConfigRecord({"schema": SCHEMA.to_toml(), "preparation": "", "server-round": 1})})
    for options in chosen:
        context.run_config = dict(options)
        for stage, answer in (
            ("query.statistics", client_app.count),
            ("train", client_app.train),
            ("evaluate", client_app.evaluate),
        ):
            message = Message(asked, dst_node_id=context.node_id, message_type=stage)
            with pytest.raises(ConfigurationError, match="this hospital's node names no rows: set fedsec-data"):
                answer(message, context)
    assert not opened and not (tmp_path / "executed").exists()


@pytest.mark.versions
def test_a_hospital_without_rows_refuses_and_the_server_learns_the_class_alone(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, parameters=json.dumps(MALICIOUS["shamir"]))
    for context in deployment.contexts:
        del context.node_config["fedsec-data"]
    deployment.refused("set fedsec-data in its node configuration to the file of its rows")


@pytest.mark.versions
def test_a_strict_hospital_adds_nothing_where_its_rows_look_wrong_and_is_counted_alone(tmp_path: Path) -> None:
    """Its refusal looks like any input that is not usable: the server learns one count, its own log the cause."""
    deployment = Deployment(tmp_path, 4, parameters=json.dumps(MALICIOUS["shamir"]))
    with (tmp_path / "2.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    with (tmp_path / "2.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *(["60", *line[1:]] for line in lines)])
    for context in deployment.contexts:
        context.node_config["fedsec-strict"] = True
    deployment.run()
    assert not deployment.grid.reasons
    events = [json.loads(line) for line in (tmp_path / "out" / "progress.jsonl").read_text().splitlines()]
    rounds = [event for event in events if event["event"] == "round"]
    assert rounds and {(one["included"], one["unusable"], one["failure"]) for one in rounds} == {(4, 1, "")}
    described = load_table_one(tmp_path / "out" / "table-one.json")
    assert (described.hospitals, described.least, described.suspected) == (3, 5, ())
    assert described.rows[0] == sum(len(part["age"]) for place, part in enumerate(deployment.parts) if place != 2)
    with pytest.raises(DataError, match="column 'age' is 60 in all rows that have a value"):
        own_rows.rows(RunConfig.parse(deployment.options), deployment.contexts[2])
    deployment.contexts[2].node_config["fedsec-strict"] = "yes"
    with pytest.raises(ConfigurationError, match=r"fedsec-strict is 'yes'.*true or false was expected"):
        own_rows.rows(RunConfig.parse(deployment.options), deployment.contexts[2])


@pytest.mark.versions
def test_a_file_without_a_schema_is_refused(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, parameters=json.dumps(MALICIOUS["shamir"]))
    for context in deployment.contexts:
        del context.node_config["fedsec-schema"]
    deployment.refused(r"fedsec-data is '.*csv', but fedsec-schema is not set: name the schema")


@pytest.mark.slow
def test_own_rows_are_not_used_for_another_data_set(tmp_path: Path) -> None:
    """A run that believes it is on public data gets no hospital's own rows."""
    deployment = Deployment(tmp_path)
    for context in deployment.contexts:
        with pytest.raises(ConfigurationError, match="dataset is 'diabetes', but this hospital's node offers"):
            own_rows.rows(RunConfig.parse({"dataset": "diabetes"}), context)


@pytest.mark.versions
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            Schema((Number("age", 0.0, 100.0), *SCHEMA.columns[1:]), SCHEMA.label),
            "'age' has range 0 to 120 here and range 0 to 100 there",
        ),
        (Schema(SCHEMA.columns[:2], SCHEMA.label), "'ward' has levels icu, medicine, surgery here and nothing there"),
        (
            Schema(SCHEMA.columns, Label("died", "classification", positive="0")),
            "'died' has the label, classification, class '1' here and the label, classification, class '0' there",
        ),
        (Schema(SCHEMA.columns[::-1], SCHEMA.label), "the columns are the same, but in another order"),
    ],
)
def test_another_schema_than_the_hospital_s_is_refused(tmp_path: Path, change: Schema, match: str) -> None:
    """Sums over different ranges would mean nothing, and nobody would see it."""
    deployment = Deployment(tmp_path, parameters=json.dumps(MALICIOUS["shamir"]))
    (tmp_path / "of-the-server.toml").write_text(change.to_toml())
    deployment.options["schema-file"] = str(tmp_path / "of-the-server.toml")
    with pytest.raises(RunFailed, match=r"query.statistics failed: .*3 of 3 hospitals had no usable update"):
        deployment.run()
    table = own_rows.rows(RunConfig.parse(deployment.options), deployment.contexts[0])
    with pytest.raises(ConfigurationError, match=f"the run's schema is not the one that fedsec-schema names.*{match}"):
        own_rows.check_schema(table, change.to_toml())
    with pytest.raises(ConfigurationError, match="the run names no schema"):
        own_rows.check_schema(table, None)


@pytest.mark.versions
def test_hospitals_of_a_deployment_refuse_a_server_that_they_did_not_pin(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, parameters=json.dumps(MALICIOUS["shamir"]))
    (tmp_path / "server.key").unlink()
    write_identity(tmp_path / "server.key")
    with pytest.raises(ConfigurationError, match="identity must be the key of the agreement's server"):
        deployment.run()


OWN = {"dataset": "own", "schema-file": "agreed.toml", "identity": "server.key", "agreement": "agreement.toml"}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({**OWN, "schema-file": ""}, "dataset is own, which also needs schema-file: the file of the schema"),
        ({**OWN, "identity": ""}, "dataset is own, which also needs identity: the server's key file"),
        ({**OWN, "agreement": ""}, "dataset is own, which also needs agreement: the file of the agreement"),
        ({**OWN, "data": "rows.csv"}, "data is 'rows.csv' and dataset is own, .* leave data empty"),
        ({**OWN, "label": "died"}, "label is 'died', but there are no rows for it: set data to the file of rows$"),
        ({"schema-file": "agreed.toml"}, "schema-file is 'agreed.toml', but there are no rows .* dataset to own"),
        ({**OWN, "leave-one-site-out": True}, "cohorts that differ by one hospital reveal that hospital"),
        ({"identity": "server.key"}, "identity is 'server.key', which a deployment alone uses: set dataset to own"),
        ({"agreement": "a.toml"}, "agreement is 'a.toml', which a deployment alone uses: set dataset to own"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_words(options: Mapping[str, Any], match: str) -> None:
    assert RunConfig.read(OWN).dataset == "own"
    with pytest.raises(ConfigurationError, match=match):
        RunConfig.read(options)


@pytest.mark.parametrize("command", ["run", "stats", "partition"])
def test_commands_that_simulate_refuse_own_rows_and_name_the_option(fed: Any, command: str) -> None:
    status, _, error = fed(command, "--dataset", "own")
    assert status == 2
    assert "dataset is own, which is for a deployment" in error and "use --data PATH" in error


def test_a_deployed_node_draws_its_own_randomness() -> None:
    """In a deployment nobody else knows or repeats the draws of training; a simulation repeats them."""
    node = Context(1, FIRST, {own_rows.DATA: "rows.csv", "partition-id": 4}, RecordDict(), {})
    assert len({own_rows.index(node) for _ in range(4)}) > 1
    assert own_rows.index(Context(1, FIRST, {"partition-id": 4}, RecordDict(), {})) == 4


def test_a_hospital_s_corrected_file_is_read_again(tmp_path: Path) -> None:
    """By one process, and though neither the size nor the time of the file changes."""
    data, agreed = tmp_path / "rows.csv", tmp_path / "schema.toml"
    agreed.write_text(SCHEMA.to_toml(), encoding="utf-8")
    lines = ["age,lactate,ward,died", *(f"{30 + row},1.5,icu,{row % 2}" for row in range(20))]
    data.write_text("\n".join(lines), encoding="utf-8")
    config = RunConfig.parse({"dataset": own_rows.OWN_ROWS})
    context = Context(1, FIRST, {own_rows.DATA: str(data), own_rows.SCHEMA: str(agreed)}, RecordDict(), {})
    before, time = own_rows.rows(config, context), data.stat().st_mtime_ns
    assert own_rows.rows(config, context) is before
    data.write_text(data.read_text(encoding="utf-8").replace("30,1.5", "90,1.5"), encoding="utf-8")
    os.utime(data, ns=(time, time))
    after = own_rows.rows(config, context)
    assert (before.numbers[0, 0], after.numbers[0, 0]) == (30.0, 90.0)


def test_rows_of_a_rehearsal_fit_any_schema(tmp_path: Path) -> None:
    """Dates, other classes and codes for missing values among them."""
    ages = (Number("born", 18, 90, "age at 2022-12-31"), Number("first", 0, 5, "age at seen"))
    columns = (
        *ages,
        Number("admitted", -30, 700, "days since 2021-01-01"),
        Number("sbp", 0, 300),
        Category("ward", ("a",)),
    )
    label = Label("died", "classification", positive="yes", negative=("no", "unclear"), drop_unlabelled=True)
    agreed = Schema(columns, label, ("-9", "unknown"))
    (tmp_path / "schema.toml").write_text(agreed.to_toml(), encoding="utf-8")
    assert read(tmp_path / "schema.toml") == agreed
    for seed in range(20):
        rehearsal._write_rows(tmp_path / "rows.csv", agreed, ["sbp", "born"], np.random.default_rng(seed))
        found = files.load_hospital(tmp_path / "rows.csv", tmp_path / "schema.toml")
        assert found.target.tolist() == [0.0, 1.0] * (rehearsal.ROWS // 2)
        assert np.isnan(found.numbers).sum(axis=0).tolist() == [10, 0, 0, 10]
        assert len(np.unique(found.numbers[:, 2])) > 20
