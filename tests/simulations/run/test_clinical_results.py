"""The clinical evaluation of a simulated run, against scikit-learn on the rows themselves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.app.config import RunConfig
from fedsec.app.progress import Progress
from fedsec.data import preparation
from fedsec.errors import ConfigurationError
from fedsec.learning import trained_model
from fedsec.report.clinical_words import threshold_text
from fedsec.report.run_document import RunDocument
from fedsec.simulations.run import clinical_results
from fedsec.simulations.run import hospitals as held
from fedsec.simulations.run.driver import check

PAGE = (Path(__file__).parents[3] / "docs" / "clinical.md").read_text(encoding="utf-8")
SHOWN = PAGE.partition("$ fedsec run")[2].partition("```")[0]
"""A command of the documentation, and what it prints."""
OPTIONS = {"dataset": "lung", "decision-threshold": "youden", "leave-one-site-out": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in this process."""
    from typer.main import get_command

    from fedsec.cli.main import app

    folder = tmp_path_factory.mktemp("run") / "out"
    words = SHOWN.splitlines()[0].split()
    get_command(app).main(["run", *words, "--output", str(folder)], standalone_mode=False)
    return folder


def document(run: Path) -> RunDocument:
    return RunDocument.model_validate_json((run / "result.json").read_bytes())


@pytest.mark.slow
def test_figures_of_a_run_are_those_of_its_rows(run: Path) -> None:
    from sklearn import metrics

    found, trained = document(run).clinical, trained_model.read(run)
    assert found is not None and found.pooled is not None and found.test is not None
    here = held.of_config(RunConfig.read(OPTIONS))
    for one, table in ((found.pooled, here.train), (found.test, here.test)):
        rows = trained.preparation.apply(table)
        chance = trained.built.predict(trained.parameters, rows.features)
        assert (one.rows, one.positive) == (len(rows.target), rows.target.sum())
        called = chance >= found.threshold
        for name, expected in (
            ("auc", metrics.roc_auc_score(rows.target, chance)),
            ("average_precision", metrics.average_precision_score(rows.target, chance)),
            ("brier", metrics.brier_score_loss(rows.target, chance)),
            ("sensitivity", metrics.recall_score(rows.target, called)),
            ("specificity", metrics.recall_score(rows.target, called, pos_label=0)),
            ("ppv", metrics.precision_score(rows.target, called)),
        ):
            value, off = one.measures[name], one.off[name]
            assert value is not None and off is not None and abs(value - expected) <= off + 1e-9, name
            if name in one.intervals:
                low, high = one.intervals[name]
                assert low is not None and high is not None and low <= value <= high
        assert sum(group.rows for group in one.groups) == one.rows
    assert set(found.test.intervals) == set(found.test.measures) and not found.pooled.intervals


@pytest.mark.slow
def test_the_threshold_is_chosen_on_the_hospitals_rows_and_used_everywhere(run: Path, fed: Any, tmp_path: Path) -> None:
    found, trained = document(run).clinical, trained_model.read(run)
    assert found is not None and found.pooled is not None and found.test is not None
    assert trained.threshold == found.threshold != 0.5 and found.rule == "youden"
    reached = [found.pooled.measures[name] or 0.0 for name in ("sensitivity", "specificity")]
    assert found.how == f"by Youden's index, {sum(reached) - 1:.2f} on the hospitals' rows"
    federated = document(run).quality.federated
    for name in ("sensitivity", "specificity"):
        assert federated[name] == pytest.approx(found.test.measures[name])
    (tmp_path / "new.csv").write_text(
        "age,sex,ph.ecog,ph.karno,pat.karno,meal.cal,wt.loss\n60,1,1,90,80,1000,5\n45,2,0,100,100,1500,0\n"
    )
    assert fed("predict", str(run), "new.csv")[0] == 0
    with (tmp_path / "new-scored.csv").open() as file:
        for row in csv.DictReader(file):
            assert (row["status predicted"] == "1") == (float(row["status probability"]) >= found.threshold)
    card = (run / "model-card.md").read_text()
    assert f"- threshold: {found.threshold:g}" in card and found.how in card
    page = (run / "report.html").read_text(encoding="utf-8")
    for part in (f"{found.threshold:.3g}", "simulation only", "Leave one site out", "clinical-calibration"):
        assert part in page, part


@pytest.mark.slow
def test_each_hospital_is_evaluated_and_also_left_out(run: Path) -> None:
    from sklearn import metrics

    found, trained = document(run).clinical, trained_model.read(run)
    here = held.of_config(RunConfig.read(OPTIONS))
    assert found is not None and [one.hospital for one in found.sites] == list(here.names)
    rows = trained.preparation.apply(here.train)
    chance = trained.built.predict(trained.parameters, rows.features)
    for one, part in zip(found.sites, here.parts, strict=True):
        assert (one.rows, one.positive) == (len(part), rows.target[part].sum())
        assert one.measures["auc"] == pytest.approx(metrics.roc_auc_score(rows.target[part], chance[part]))
    assert [(one.hospital, one.rows) for one in found.left_out] == [(one.hospital, one.rows) for one in found.sites]
    for one in found.left_out:
        auc, large = one.measures["auc"], one.measures["calibration_in_the_large"]
        assert f"{one.hospital} {one.rows} {one.positive} {auc:.3f} {large:.3f}" in " ".join(SHOWN.split())
    assert threshold_text(found) in SHOWN
    assert [one.measures["auc"] for one in found.left_out] != [one.measures["auc"] for one in found.sites]


@pytest.mark.slow
def test_a_model_without_a_hospital_knows_nothing_of_its_rows() -> None:
    """Other numbers and classes at the first hospital change its own result, and through no threshold or scale."""
    config, _ = check(RunConfig.read({**OPTIONS, "rounds": 1}))
    here = held.of_config(config)
    training, place = config.training("classification"), here.parts[0]
    numbers, target = here.train.numbers.copy(), here.train.target.copy()
    numbers[place] *= 0.5
    target[place] = 1.0 - target[place]
    changed = held.Hospitals(
        type(here.train)(**{**vars(here.train), "numbers": numbers, "target": target}),
        here.test,
        here.parts,
        here.names,
    )
    before, after = (clinical_results.left_out(config, training, one, Progress("")) for one in (here, changed))
    assert before[0].threshold == after[0].threshold and before[0].measures != after[0].measures
    assert [one.threshold for one in before[1:]] != [one.threshold for one in after[1:]]
    assert preparation.pooled(here.train) != preparation.pooled(changed.train)


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_a_model_that_predicts_nobody_says_so(fed: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    lines = [f"{'abc'[row % 3]},{rng.normal():.3f},{rng.normal():.3f},{row % 11 == 0:d}" for row in range(600)]
    (tmp_path / "rows.csv").write_text("\n".join(["site,x,y,died", *lines]))
    words = ("run", "--engine", "local", "--data", "rows.csv", "--site", "site", "--label", "died", "--rounds", "2")
    code, out, err = fed(*words, "--output", "out", "--equal-weights")
    assert code == 0, err
    found = json.loads((tmp_path / "out" / "result.json").read_text())
    test, share = (
        found["clinical"]["test"],
        100 * found["clinical"]["test"]["positive"] / found["clinical"]["test"]["rows"],
    )
    assert test["measures"]["sensitivity"] == 0.0 and found["clinical"]["pooled"]["rows"] == sum(found["rows"])
    said = f"At a threshold of 0.5 the model predicts nobody as positive; {share:.3g}% are positive. Choose another"
    assert said in out and said in (tmp_path / "out" / "report.html").read_text()
    assert "predicts nobody as positive" in (tmp_path / "out" / "model-card.md").read_text()
    code, out, err = fed(*words, "--output", "other", "--decision-threshold", "youden")
    assert code == 0 and "predicts nobody" not in out and "by Youden's index" in out


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"decision-threshold": "yuden"}, "decision-threshold is 'yuden'; youden, sensitivity=0.9"),
        ({"decision-threshold": "youden", "dataset": "diabetes"}, "decision-threshold is for a label of two classes"),
        ({"leave-one-site-out": True, "dataset": "diabetes"}, "leave-one-site-out is for a label of two classes"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_run_starts(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        check(RunConfig.read(options))
