"""`fedsec stats` and `fedsec partition`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.app.config import RunConfig
from fedsec.cli import stats
from fedsec.data import preparation
from fedsec.data.schema import read
from fedsec.local import LocalFederation
from fedsec.simulations.run import hospitals

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("strategy", ["shamir", "secagg", "plain"])
def test_statistics_come_out_of_the_secure_sum(strategy: str, fed: Any) -> None:
    code, out, err = fed("stats", "--dataset", "lung", "--strategy", strategy, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    here = hospitals.of_config(RunConfig(dataset="lung"))
    expected = preparation.pooled(here.train)
    assert told["hospitals"] == 10 and told["statistics"]["rows"] == expected.rows
    assert told["largest_deviation_from_pooled"] < 1e-12
    for one, other in zip(told["statistics"]["numbers"], expected.numbers, strict=True):
        assert one["mean"] == pytest.approx(other.mean, rel=1e-9) and one["present"] == pytest.approx(other.present)


def test_no_hospital_s_statistics_are_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under shamir, two answers of one hospital to the same question share nothing; in the clear they would."""
    config = RunConfig(dataset="lung")
    here = hospitals.of_config(config)
    config = config.resolved([len(part) for part in here.parts])
    heard: list[bytes] = []

    class Tapped(LocalFederation):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.tap = lambda phase, party, request, answer: (
                heard.append(answer)
                if party == 3 and phase.name == "ShareInput" and isinstance(answer, bytes)
                else None
            )

    monkeypatch.setattr(stats, "LocalFederation", Tapped)
    for _ in range(2):
        stats.collect(config, here)
    one, other = (np.frombuffer(answer, np.uint8) for answer in heard)
    same = sum(a == b for a, b in zip(one[-400:], other[-400:], strict=True))
    assert same < 40  # 400 / 256 by chance


def test_the_table_and_the_schema(fed: Any, tmp_path: Path) -> None:
    code, out, _ = fed("stats", "--dataset", "randhie", "--write-schema", "agreed/schema.toml")
    assert code == 0
    for said in ("16,135 training rows at 6 hospitals", "class 1 (9.1%)", "ghindx", "25.7%", "saw these sums only"):
        assert said in out, said
    assert read(tmp_path / "agreed" / "schema.toml").label.name == "admitted"
    code, _, err = fed("stats", "--dataset", "lung", "--write-schema", "agreed/schema.toml")
    assert code == 2 and "exists already" in err
    assert read(tmp_path / "agreed" / "schema.toml").label.name == "admitted"


def test_a_partition_is_shown_and_drawn(fed: Any, tmp_path: Path) -> None:
    code, out, _ = fed("partition", "--dataset", "randhie")
    assert code == 0
    for said in ("16,135 training rows at 6 hospitals", "3,545", "931", "ghindx missing +1.70", "admitted = 1"):
        assert said in out, said
    drawn = tmp_path / "results" / "partition-randhie"
    assert (drawn / "partition.png").read_bytes().startswith(b"\x89PNG")
    assert "ghindx missing" in (drawn / "partition.svg").read_text(encoding="utf-8")


def test_a_partition_of_a_number_in_json(fed: Any) -> None:
    code, out, _ = fed("partition", "--dataset", "diabetes", "--clients", "3", "--how", "label-skew", "--json")
    told = json.loads(out)
    assert code == 0 and sum(one["rows"] for one in told["hospitals"]) == 353
    assert all(Path(path).is_file() for path in told["written"])


def test_odd_hospitals_are_shown_too(fed: Any, tmp_path: Path) -> None:
    lines = ["site,age,died"] + [f"{site},{20 + row},{int(site == 'b')}" for site in "abc" for row in range(10)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    code, out, _ = fed("partition", "--data", "rows.csv", "--site", "site", "--label", "died")
    assert code == 0 and "100.0%" in out
    code, _, err = fed("run", "--data", "rows.csv", "--site", "site", "--label", "died")
    assert code == 2 and "hospital 'a': label 'died' is 0 in all" in err


def test_brackets_in_names_are_shown_as_they_are(fed: Any, tmp_path: Path) -> None:
    lines = ["site,age [/l],ward,died"]
    lines += [f"St. {site} [/x],{20 + row},[b]icu[/b],{row % 2}" for site in "abc" for row in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    words = ("--data", "rows.csv", "--site", "site", "--label", "died")
    for command, said in (("stats", "age [/l]"), ("stats", "[b]icu[/b] 48 (100.0%)"), ("partition", "St. a [/x]")):
        code, out, err = fed(command, *words)
        assert (code, err) == (0, "") and said in out


def test_a_picture_is_replaced_on_demand_only(fed: Any, tmp_path: Path) -> None:
    lines = ["site,age,died"] + [f"{site},{20 + row},{row % 2}" for site in "abc" for row in range(10)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    words = ("partition", "--data", "rows.csv", "--site", "site", "--label", "died")
    assert fed(*words, "--output", "mine")[0] == 0
    code, _, err = fed(*words, "--output", "mine")
    assert code == 2 and "partition.png exists already" in err
    assert fed(*words, "--output", "mine", "--force")[0] == 0
    assert fed(*words)[0] == 0 == fed(*words)[0]
    found = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert found == ["partition-rows", "partition-rows-2"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stats", "--dataset", "lugn"), "did you mean 'lung'?"),
        (("stats", "--data", "gone.csv", "--site", "a", "--label", "b"), "cannot be read"),
        (("stats", "--strategy", "shamri"), "did you mean 'shamir'?"),
        (("stats", "--clients", "2"), "at least 3 hospitals"),
        (("stats", "-p", "threshold=9"), "threshold is 9"),
        (("partition", "--dataset", "diabetes", "--how", "natural"), "has no sites"),
        (("partition", "--how", "odd"), "partition"),
        (("partition", "--output", "file/below"), "cannot be written"),
    ],
)
def test_what_cannot_work_is_said(words: tuple[str, ...], said: str, fed: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    code, out, err = fed(*words)
    assert code == 2 and out == "" and said in " ".join(err.split())


def test_a_draft_joins_what_singles_out_a_few_rows_or_one_hospital(fed: Any, tmp_path: Path) -> None:
    """A level that one hospital alone has tells of it in every sum; the schema says `other` instead."""
    wards = {"north": ["icu", "surgery"], "south": ["icu", "surgery"], "west": ["icu", "surgery", "burns"]}
    lines = ["hospital,ward,age,died"]
    for place, (hospital, levels) in enumerate(wards.items()):
        lines += [f"{hospital},{levels[row % len(levels)]},{30 + row + place},{row % 2}" for row in range(60)]
    lines += [f"{hospital},dialysis,50,1" for hospital in ("north", "south")]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    about = ("--data", "rows.csv", "--site", "hospital", "--label", "died")
    code, out, _ = fed("stats", *about, "--write-schema", "schema.toml")
    assert code == 0 and "Column ward: burns, dialysis joined as 'other'" in " ".join(out.split())
    (ward,) = read(tmp_path / "schema.toml").categories
    assert ward.levels == ("icu", "surgery", "other")
    code, out, _ = fed("stats", *about, "--schema", "schema.toml", "--json")
    shares = json.loads(out)["statistics"]["levels"]["ward"]
    assert code == 0 and 0.1 < shares["other"] < 0.15 and sum(shares.values()) == pytest.approx(1.0)
    code, _, _ = fed("stats", *about, "--write-schema", "all.toml", "--least-cell", "0")
    assert code == 0 and read(tmp_path / "all.toml").categories[0].levels == ("burns", "dialysis", "icu", "surgery")


TABLES = Path(__file__).parents[1] / "data" / "tables"
ABOUT = ("--site", "hospital", "--person", "patient")


def test_what_was_found_out_of_a_file_and_what_looks_wrong_is_said(fed: Any) -> None:
    words = ("stats", "--data", str(TABLES / "01_german_excel.csv"), *ABOUT, "--label", "died", "--drop", "admitted")
    code, out, _ = fed(*words)
    said = " ".join(out.split())
    assert code == 0 and "Read: 01_german_excel.csv: UTF-8 with a byte-order mark, semicolons between cells" in said
    words = ("stats", "--data", str(TABLES / "04b_minus9.csv"), *ABOUT, "--label", "died")
    code, out, _ = fed(*words)
    assert code == 0 and "Warning: column 'creatinine' has '-9' (64) far from its other values" in " ".join(out.split())
    code, out, _ = fed(*words, "--missing", "-9,999", "--json")
    told = json.loads(out)
    creatinine = next(one for one in told["statistics"]["numbers"] if one["name"] == "creatinine")
    assert code == 0 and told["suspicions"] == [] and 1.0 < creatinine["mean"] < 1.3
    code, out, err = fed(*words, "--strict")
    assert (code, out) == (2, "") and "has 2 problems:" in err and "then set missing to -9" in err


def test_the_task_of_a_label_is_said_or_refused_in_words(fed: Any) -> None:
    words = ("stats", "--data", str(TABLES / "14b_count.csv"), *ABOUT, "--label", "los")
    code, out, _ = fed(*words, "--task", "count")
    assert code == 0 and "label los: mean 2.7" in out
    code, _, err = fed(*words, "--task", "survival")
    assert code == 2 and "task is survival, which needs event too: the column that says" in err
    code, _, err = fed(*words, "--task", "count", "--event", "died")
    assert code == 2 and "event is 'died' and task is count, which has no column of events" in err
    code, _, err = fed(*words, "--task", "regresion")
    assert code == 2 and "did you mean 'regression'" in err
    code, out, _ = fed(*words, "--task", "regression")
    assert code == 0 and "label los: mean 2.7" in out


def test_a_schema_is_written_for_a_file_with_problems_too(fed: Any, tmp_path: Path) -> None:
    """What could be drawn up, with comments; completed, it is what reads the file."""
    words = ("stats", "--data", str(TABLES / "17_codes.csv"), *ABOUT)
    code, out, err = fed(*words, "--label", "died", "--write-schema", "schema.toml")
    said = " ".join(err.split())
    assert (code, out) == (2, "") and "column 'icd' has 782 different words" in said
    assert f"Schema: {Path('schema.toml')} is what could be drawn up; complete it" in said
    text = (tmp_path / "schema.toml").read_text(encoding="utf-8")
    assert "# left out: it has more than 50 different words" in text and "# [columns.icd]" in text
    assert "I00.0" not in text, "no cell of a column that is left out"
    code, out, _ = fed(*words, "--schema", "schema.toml", "--json")
    assert code == 0 and json.loads(out)["largest_deviation_from_pooled"] < 1e-12
    words = ("stats", "--data", str(TABLES / "14_multiclass.csv"), *ABOUT, "--label", "triage")
    code, _, err = fed(*words, "--write-schema", "triage.toml")
    text = (tmp_path / "triage.toml").read_text(encoding="utf-8")
    assert code == 2 and "is what could be drawn up" in err and '# name = "triage"' in text and "[columns.ward]" in text
    words = ("stats", "--data", str(TABLES / "gone.csv"), *ABOUT, "--label", "died")
    code, _, err = fed(*words, "--write-schema", "none.toml")
    assert code == 2 and "Schema:" not in err and not (tmp_path / "none.toml").exists()


def test_what_options_decide_of_rows_is_said_by_a_schema_where_there_is_one(fed: Any, tmp_path: Path) -> None:
    words = ("stats", "--data", str(TABLES / "07e_label_missing.csv"), *ABOUT)
    cured = (*words, "--label", "died", "--drop-unlabelled", "--missing", "-9", "--write-schema", "schema.toml")
    code, out, _ = fed(*cured)
    assert code == 0 and "34 of 600 rows have no label 'died' and were left out" in " ".join(out.split())
    assert fed(*words, "--schema", "schema.toml")[0] == 0
    for option, said in (
        (("--missing", "999"), "missing is 999, but a schema is given: list them there"),
        (("--dates", "drop"), "dates is drop, but a schema is given"),
        (("--task", "regression"), "task is regression, but a schema is given: its label's task is classification"),
    ):
        code, _, err = fed(*words, "--schema", "schema.toml", *option)
        assert code == 2 and said in " ".join(err.split())
    code, _, err = fed("stats", "--missing", "-9")
    assert code == 2 and "missing is '-9', but there are no rows for it" in " ".join(err.split())
