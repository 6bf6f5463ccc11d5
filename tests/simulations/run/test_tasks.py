"""Counts, several classes and survival times from a file to a scored new row: the same in every engine and strategy."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import fedsec
from fedsec.agreement.agreement_file import Agreement
from fedsec.app.config import RunConfig
from fedsec.cli.predict import scored
from fedsec.data import files, schema_draft
from fedsec.data.label import Label
from fedsec.data.new_rows import new_rows
from fedsec.data.schema import Category, Number, Schema
from fedsec.flower.verdict import Round
from fedsec.learning import outcomes, trained_model
from fedsec.report import run_page
from fedsec.simulations import run
from fedsec.simulations.run.notebook import Run
from fedsec.simulations.run.rehearsal import rehearse

pytestmark = pytest.mark.slow
OPTIONS: dict[str, dict[str, Any]] = {
    "count": {"label": "falls", "task": "count"},
    "multiclass": {"label": "triage", "task": "multiclass"},
    "survival": {"label": "days", "event": "died"},
}
LABELS = {
    "count": Label("falls", "count", 0.0, 50.0),
    "multiclass": Label("triage", "multiclass", classes=("green", "red", "yellow")),
    "survival": Label("days", "survival", 0.0, 400.0, "yes", ("no",), event="died", intervals=(0.0, 30.0, 90.0, 400.0)),
}


def people(rows: int = 420) -> pandas.DataFrame:
    """Patients of four hospitals: with age they fall more often, are triaged higher, and die earlier."""
    rng = np.random.default_rng(5)
    age, ward = rng.normal(60, 12, rows).clip(20, 95), rng.choice(["icu", "medicine"], rows)
    risk = (age - 60) / 12 + 0.6 * (ward == "icu")
    died, seen = rng.exponential(120 * np.exp(-risk)), rng.uniform(20, 400, rows)
    return pandas.DataFrame(
        {
            "hospital": rng.choice(["north", "south", "east", "west"], rows),
            "age": age.round(1),
            "lactate": np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(2.0, 1.0, rows).round(2)),
            "ward": ward,
            "falls": rng.poisson(np.exp(0.3 + 0.6 * risk)),
            "triage": np.array(["green", "yellow", "red"])[np.digitize(risk + rng.normal(0, 0.7, rows), [-0.3, 0.9])],
            "days": np.minimum(died, seen).round(0),
            "died": np.where(died <= seen, "yes", "no"),
        }
    )


@pytest.fixture(scope="module", params=list(OPTIONS))
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Run]:
    """A run of one task, by its name."""
    task = request.param
    others = {"falls", "triage", "days", "died"} - {*OPTIONS[task].values()}
    frame = people().drop(columns=list(others))
    folder = tmp_path_factory.mktemp("tasks") / task
    return task, run(
        frame, site="hospital", strategy="shamir", rounds=3, output=folder, progress=False, **OPTIONS[task]
    )


def test_a_secure_run_is_plain_fedavg_and_better_than_chance(done: tuple[str, Run]) -> None:
    task, found = done
    document, measure = found.document, outcomes.OUTCOMES[task].measure  # type: ignore[index]
    assert (document.largest_difference_to_fedavg or 0.0) < 1e-5 and document.task == task
    assert document.intervals is not None and document.intervals.metric == measure and document.clinical is None
    reached, (low, high) = found.quality.loc["federated, shamir", measure], document.intervals.federated
    assert low < reached < high and reached > {"count": 0.05, "multiclass": 0.65, "survival": 0.6}[task]
    assert found.quality.loc["plain FedAvg", measure] == pytest.approx(reached, abs=1e-3)
    last = [one for one in document.rounds if one.stage == "evaluate"][-1]
    told = outcomes.measured(dict(last.metrics or {}))
    assert told.keys() == {measure} and math.isfinite(told[measure])
    assert found.rounds[measure].notna().all()


def test_its_page_card_and_table_say_what_is_predicted(done: tuple[str, Run]) -> None:
    task, found = done
    page, card = (found.folder / run_page.PAGE).read_text("utf-8"), (found.folder / "model-card.md").read_text("utf-8")
    sentence, shown = {
        "count": ("predicts falls from 3 columns", "the logarithm of the expected count"),
        "multiclass": ("predicts the probability of each class of triage", "triage: green, red, yellow"),
        "survival": ("predicts the time (days) until died is yes", "time to died = yes, by days, in "),
    }[task]
    assert sentence in card and shown in page and "nan" not in card
    groups = found.document.table_one.groups if found.document.table_one else ()
    assert (
        groups
        == {
            "count": ("all",),
            "multiclass": ("all", "triage = green", "triage = red", "triage = yellow"),
            "survival": ("all", "died = no", "died = yes"),
        }[task]
    )


def test_new_rows_are_scored_without_a_label(done: tuple[str, Run]) -> None:
    task, found = done
    model, estimator = trained_model.read(found.folder), fedsec.load_model(found.folder)
    raw: dict[str, list[Any]] = {"age": [30, 90, 400], "lactate": ["", 2.0, 1.0], "ward": ["icu", "medicine", "icu"]}
    added = scored(model, new_rows("new", raw, model.schema))
    assert added["refused"][:2] == ["", ""] and "age is 400" in added["refused"][2]
    assert all(cells[2] == "" for name, cells in added.items() if name != "refused")
    young, old = ({name: values[at] for name, values in raw.items()} for at in (0, 1))
    frame = pandas.DataFrame([young, old])
    if task == "count":
        assert float(added["falls predicted"][0]) < float(added["falls predicted"][1])
        np.testing.assert_allclose(estimator.predict(frame), [float(one) for one in added["falls predicted"][:2]], 1e-5)
    elif task == "multiclass":
        assert added["triage predicted"][:2] == ["green", "red"] == estimator.predict(frame).tolist()
        chances = [[float(added[f"triage probability {one}"][at]) for one in estimator.classes_] for at in (0, 1)]
        np.testing.assert_allclose(estimator.predict_proba(frame), chances, atol=1e-5)
        assert estimator.coef_.shape == (3, len(estimator.get_feature_names_out()))
    else:
        ends = model.schema.label.edges[1:]
        risks = [[float(added[f"died by days {end:g}"][at]) for end in ends] for at in (0, 1)]
        assert risks[0] == sorted(risks[0]) and all(low < high for low, high in zip(*risks, strict=True))
        np.testing.assert_allclose(1 - estimator.predict_survival_function(frame), risks, atol=1e-5)
        assert estimator.event_times_.tolist() == list(ends)
        assert estimator.predict(frame)[0] < estimator.predict(frame)[1]
        assert {one.feature: one.scaled for one in estimator.coefficients()}["age"] > 0.2


@pytest.mark.parametrize("task", list(OPTIONS))
@pytest.mark.parametrize("equal", [True, pytest.param(False, marks=pytest.mark.exhaustive)])
def test_a_deployment_can_agree_on_it(task: str, equal: bool, tmp_path: Path) -> None:
    """The rehearsal is the real app over files of hospitals: what it sums is what the agreement has."""
    columns = Schema((Number("age", 0, 120), Category("ward", ("a", "b"))), LABELS[task])
    (tmp_path / "schema.toml").write_text(schema_draft.commented(columns, LABELS[task].name, {}), "utf-8")
    config = RunConfig.read({"strategy": "shamir", "equal-weights": equal, "rounds": 1})
    secure = rehearse(config, tmp_path / "schema.toml", 3)
    assert [one.failure for one in secure.rounds] == [""] * 3
    evaluated: Round = secure.rounds[-1]
    agreed: Agreement = secure.agreement_of_run(config.model_dump(by_alias=True))
    lists = dict(agreed.stages["evaluate"].metrics)
    expected = {"count": 0, "multiclass": 9, "survival": 3 * 96}[task]
    key = {"multiclass": "rows.confusion", "survival": "risks.event"}.get(task)
    assert key is None or lists[key] == expected
    rows = outcomes.rows_in(dict(evaluated.metrics or {}))
    assert (rows is None) if task == "count" else rows == pytest.approx(40.0 if equal else 1.0)


def test_a_hospital_s_own_file_is_read_by_the_schema(tmp_path: Path) -> None:
    columns = Schema((Number("age", 0, 120),), LABELS["survival"])
    (tmp_path / "schema.toml").write_text(columns.to_toml(), "utf-8")
    rows = [[50 + row, 10 * row, ["yes", "no"][row % 2]] for row in range(12)]
    with (tmp_path / "own.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["age", "days", "died"], *rows])
    table = files.load_hospital(tmp_path / "own.csv", tmp_path / "schema.toml")
    assert table.group.tolist() == [1, 0] * 6 and np.abs(table.target).tolist() == [10.0 * row for row in range(12)]


def test_rare_events_have_small_risks(tmp_path: Path) -> None:
    """From the start: a baseline that begins elsewhere takes many rounds to come down."""
    rng = np.random.default_rng(1)
    rows = 900
    days = rng.uniform(100, 400, rows).round(0)
    died = rng.random(rows) < 0.02
    frame = pandas.DataFrame(
        {"site": rng.choice(list("abc"), rows), "age": rng.normal(60, 9, rows), "days": days, "died": died.astype(int)}
    )
    found = run(frame, site="site", label="days", event="died", rounds=1, output=tmp_path / "out", progress=False)
    ratio = found.quality.loc["federated, shamir", "observed_to_expected"]
    assert 0.4 < ratio < 2.5, ratio
    assert (1 - found.model.predict_survival_function(frame)[:, -1]).mean() < 0.08


@pytest.mark.parametrize("events", [["1"] * 60, ["1", "0"] * 20 + ["0"] * 20])
def test_hospitals_may_have_events_alone_or_none(events: list[str], tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {
            "site": ["a"] * 20 + ["b"] * 20 + ["c"] * 20,
            "age": range(60),
            "days": [float(5 + 7 * (n % 11)) for n in range(60)],
            "died": events,
        }
    )
    found = run(frame, site="site", label="days", event="died", rounds=1, output=tmp_path / "out", progress=False)
    assert found.document.task == "survival" and not found.document.void
