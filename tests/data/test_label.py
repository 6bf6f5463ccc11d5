"""Labels of every task: drawn up from rows, written to a schema and read again, and what hospitals add up of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.data import files, labels, preparation, suspicion
from fedsec.data.label import MOST_CLASSES, Label
from fedsec.data.problems import Problems
from fedsec.data.schema import Number, Schema, parse
from fedsec.data.suspicion import FAR, SENTINEL, TELLS
from fedsec.data.table import Table
from fedsec.data.table_columns import of_columns
from fedsec.errors import ConfigurationError, DataError

EVERY = (
    Label("died", "classification", positive="yes", negative=("no",)),
    Label("stay", "regression", -1.0, 40.0),
    Label("falls", "count", 0.0, 20.0, drop_unlabelled=True),
    Label("grade", "multiclass", classes=("I", "II", "III")),
    Label("days", "survival", 0.0, 10.0, "1", ("0",), event="seen", intervals=4),
    Label("days", "survival", 0.0, 10.0, "dead", event="seen", intervals=(0.0, 1.0, 2.5, 10.0)),
)
AGE = (Number("age", 0.0, 120.0),)
by_task = pytest.mark.parametrize("label", EVERY, ids=lambda label: f"{label.task}-{label.outputs}")


def raw(label: Label, rows: int, seed: int = 0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    other = label.negative[0] if label.negative else "another"
    words = [str(one) for one in rng.choice(label.classes or (other, label.positive), rows)]
    numbers = rng.uniform(label.low, label.high, rows)
    values = {"regression": numbers, "count": np.floor(numbers), "survival": numbers}.get(label.task, words)
    columns: dict[str, list[Any]] = {"age": rng.uniform(20.0, 90.0, rows).tolist(), label.name: list(values)}
    return columns | ({label.event: words} if label.event else {})


@by_task
def test_a_label_stands_in_a_schema_and_is_read_again(label: Label) -> None:
    schema = Schema(AGE, label)
    assert parse(schema.to_toml(), "here") == schema
    assert label.task in str(label) and schema.differences(parse(schema.to_toml(), "here")) == []


@by_task
@pytest.mark.parametrize("sizes", [(30,), (7, 12, 11), (1, 28, 1)])
def test_hospitals_statistics_come_to_those_of_all_rows(label: Label, sizes: tuple[int, ...]) -> None:
    schema, rows = Schema(AGE, label), sum(sizes)
    table = of_columns("rows", raw(label, rows), schema, "")
    parts = [table.take(part) for part in np.split(np.arange(rows), np.cumsum(sizes)[:-1])]
    told = [preparation.statistics(part) for part in parts]
    weights = np.array(sizes) / rows
    means = {key: (weights @ np.array([one[key] for one in told])).tolist() for key in preparation.lengths(schema)}
    found, exact = preparation.Preparation.of(schema, means, rows), preparation.pooled(table)
    assert found.target_mean == pytest.approx(exact.target_mean)
    assert found.target_deviation == pytest.approx(exact.target_deviation)
    assert found.target_shares == pytest.approx(exact.target_shares)
    assert preparation.Preparation.from_json(found.to_json()) == found
    sizes_of = label.sizes([rows * one for one in means[preparation.TARGET]], rows)
    assert sizes_of == np.bincount(table.group, minlength=max(len(label.groups), 1)).tolist() and sum(sizes_of) == rows


@by_task
def test_a_target_is_what_the_rows_say(label: Label) -> None:
    columns = raw(label, 40)
    table = of_columns("rows", columns, Schema(AGE, label), "")
    dataset = preparation.pooled(table).apply(table)
    assert dataset.outputs == label.outputs
    back = dataset.target * dataset.target_scale + dataset.target_mean
    if label.event:
        back = np.interp(np.abs(back), np.arange(label.outputs + 1), label.edges)
        assert np.signbit(dataset.target).tolist() == [word != label.positive for word in columns[label.event]]
    if label.groups and not label.event:
        places = label.classes or (label.negative[0], label.positive)
        assert back.tolist() == [places.index(word) for word in columns[label.name]]
    else:
        np.testing.assert_allclose(back, columns[label.name])


def test_a_time_of_0_keeps_its_event() -> None:
    label = Label("days", "survival", 0.0, 10.0, event="seen", intervals=2)
    columns = {"age": [50.0] * 4, "days": [0, 0, 5, 10], "seen": ["1", "0", "1", "0"]}
    table = of_columns("rows", columns, Schema(AGE, label), "")
    assert table.group.tolist() == [1, 0, 1, 0] and table.target.tolist() == [0.0, -0.0, 5.0, -10.0]
    assert preparation.pooled(table).apply(table).target.tolist() == [0.0, -0.0, 1.0, -2.0]
    assert table.take(np.array([1, 0])).group.tolist() == [0, 1]


def drawn(task: str, values: list[Any], **options: Any) -> tuple[Label | None, list[str], list[str]]:
    problems, notes = Problems("rows"), list[str]()
    found = labels.draw_up(problems, notes, "y", values, options.get("positive", ""), task, False)
    return found, problems.found, notes


def test_several_classes_are_drawn_up_in_their_order() -> None:
    found, problems, notes = drawn("multiclass", ["red", "green", "amber", "red", "RED", "10", "9"])
    assert found and found.classes == ("9", "10", "amber", "green", "red") and not problems
    assert "label 'y' has the classes '9', '10', 'amber'" in notes[0]
    assert "has 2 classes: 'a', 'b'; multiclass takes 3 to 20" in drawn("multiclass", ["a", "b"])[1][0]
    many = [str(number) for number in range(MOST_CLASSES + 1)]
    assert "has 21 classes" in drawn("multiclass", many)[1][0]
    with pytest.raises(ConfigurationError, match="task is multiclass and positive is 'a', which is for two classes"):
        drawn("multiclass", ["a", "b", "c"], positive="a")


def test_counts_are_whole_and_not_negative() -> None:
    found, problems, _ = drawn("count", ["0", "3", "17"])
    assert found == Label("y", "count", 0.0, 20.0) and not problems
    for values, odd in ((["0", "2.5", "3"], "2.5"), (["-1", "2", "3"], "-1")):
        found, problems, _ = drawn("count", values)
        assert found is None and f"label 'y': {odd} is no count (1 of 3 values are not)" in problems[0]
    assert "set task to classification" in drawn("count", ["a", "b", "1"])[1][0]


def survival(times: list[Any], events: list[Any], positive: str = "") -> tuple[Label | None, list[str], list[str]]:
    problems, notes = Problems("rows"), list[str]()
    return labels.draw_up_survival(problems, notes, "t", times, "e", events, positive, False), problems.found, notes


def test_survival_times_are_cut_between_events() -> None:
    rng = np.random.default_rng(0)
    times = rng.exponential(100.0, 400)
    events = ["dead" if one else "alive" for one in rng.random(400) < 0.7]
    found, problems, notes = survival([f"{one:.3f}" for one in times], events)
    assert found and not problems and found.event == "e" and found.edges[0] == 0.0 and found.high == found.edges[-1]
    counts = np.histogram(times[np.array(events) == "dead"], found.edges)[0]
    assert found.outputs == 10 and counts.min() > 0.5 * counts.mean(), "about as many events each"
    assert "event 'e': 'dead' counts as 1, and 'alive' as 0" in notes[0] and "label 't': times to the event" in notes[1]
    few, *_ = survival(["1", "2", "9"], ["1", "0", "1"])
    assert few and (few.intervals, few.high) == (10, 9.0)


@pytest.mark.parametrize(
    ("times", "events", "match"),
    [
        (["1", "-2", "3"], ["1", "0", "1"], "label 't' has a time of -2; times from 0 on were expected"),
        (["0", "0"], ["1", "0"], "label 't' has no time above 0"),
        (["a", "b", "3"], ["1", "0", "1"], "label 't': 2 of 3 values are no times"),
        (["1", "2", "3"], ["1", "0", "2"], "label 'e' has 3 values"),
        ([], [], "label 'e' has no value in any row"),
    ],
)
def test_what_is_no_survival_time_is_said(times: list[str], events: list[str], match: str) -> None:
    found, problems, _ = survival(times, events)
    assert found is None and match in problems[0]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"task": "survival"}, "event of the label 'y' is ''; a survival time needs the name of a second column"),
        ({"task": "count", "event": "e"}, "no other task has one"),
        ({"task": "survival", "event": "y"}, "event of the label 'y' is 'y'"),
        ({"task": "count", "low": -1.0}, "low of the label 'y' is -1; a count begins at 0: leave it out"),
        ({"task": "multiclass", "classes": ("a", "b")}, "list 3 to 20 different words"),
        ({"task": "multiclass", "classes": ("a", "b", "b")}, "list 3 to 20 different words"),
        ({"task": "regression", "classes": ("a", "b", "c")}, "is a regression and has classes; leave them out"),
        ({"task": "survival", "event": "e", "intervals": 0}, "intervals of the label 'y' is 0; a whole number from 1"),
        ({"task": "survival", "event": "e", "intervals": (0.0, 2.0)}, "rising edges, the first 0 and the last 1"),
        ({"task": "survival", "event": "e", "intervals": (0.0, 1.0, 0.5, 1.0)}, "intervals of the label 'y'"),
        ({"task": "multiclas"}, "did you mean 'multiclass'"),
    ],
)
def test_a_label_that_contradicts_itself_is_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match.replace("(", r"\(")):
        Label("y", **fields)


def test_a_schema_s_label_is_refused_by_field() -> None:
    head = '[columns.age]\nlow = 0\nhigh = 9\n[label]\nname = "y"\n'
    for text, match in (
        ('task = "count"\n', "label.* needs high, the largest count that there can be"),
        ('task = "survival"\nhigh = 4\nevent = "age"\n', "columns \\['age'\\] are named twice"),
        ('task = "multiclass"\nclasses = "abc"\n', "classes is 'abc'; a list of words"),
        ('task = "count"\nhigh = 4\nexposure = "t"\n', "needs a name; it may have task, low, high"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            parse(head + text, "here")


@pytest.mark.parametrize(
    ("label", "values", "match"),
    [
        (EVERY[2], {"falls": [1, 2.5, 3]}, "label 'falls', row 2: 2.5 is no count \\(1 of 3 values are not\\)"),
        (EVERY[2], {"falls": [1, 99, 3]}, "column 'falls', row 2: 99; the schema allows 0 to 20"),
        (EVERY[3], {"grade": ["I", "IV", "III"]}, "label 'grade', row 2: 'IV' is none of its classes: I, II, III"),
        (EVERY[4], {"days": [1, 2, ""], "seen": ["1", "0", "1"]}, "label 'days', row 3: no value \\(1 of 3 rows"),
        (EVERY[4], {"days": [1, 2, 3], "seen": ["1", "", "1"]}, "label 'seen', row 2: no value \\(1 of 3 rows"),
        (EVERY[4], {"days": [1, 2, 3], "seen": ["1", "2", "0"]}, "label 'seen', row 2: '2' is one class too many"),
        (EVERY[4], {"days": [1, -2, 3], "seen": ["1", "0", "0"]}, "column 'days', row 2: -2; the schema allows 0"),
        (EVERY[4], {"days": [1, 2, 3]}, "columns \\['seen'\\] of the schema are missing"),
    ],
)
def test_rows_that_the_label_does_not_allow_are_told(label: Label, values: dict[str, list[Any]], match: str) -> None:
    with pytest.raises(DataError, match=match):
        of_columns("rows", {"age": [50.0] * 3, **values}, Schema(AGE, label), "")


@given(st.lists(st.sampled_from(["I", "ii", "III", "Ii"]), min_size=1, max_size=8))
def test_classes_are_read_in_any_case(words: list[str]) -> None:
    table = of_columns("rows", {"age": [50.0] * len(words), "grade": words}, Schema(AGE, EVERY[3]), "")
    assert table.target.tolist() == [["I", "II", "III"].index(word.upper()) for word in words]
    assert bool(table.suspicions) == bool({"ii", "Ii"} & set(words))


def test_a_class_called_other_takes_no_other_word() -> None:
    label = Label("grade", "multiclass", classes=("I", "II", "other"))
    with pytest.raises(DataError, match=r"label 'grade', row 2: 'redd' is none of its classes: I, II, other \(1 of 3"):
        of_columns("rows", {"age": [50.0] * 3, "grade": ["I", "redd", "other"]}, Schema(AGE, label), "")


def test_the_time_of_a_row_without_an_event_is_not_looked_at() -> None:
    label = replace(EVERY[4], drop_unlabelled=True)
    columns = {"age": [50.0] * 3, "days": [1, 5000, 3], "seen": ["1", "", "0"]}
    assert of_columns("rows", columns, Schema(AGE, label), "").target.tolist() == [1.0, -3.0]


def hospitals(label: str, values: list[Any], **columns: Any) -> pandas.DataFrame:
    rows = len(values)
    sites = [("north", "south", "east")[row % 3] for row in range(rows)]
    age = np.random.default_rng(0).uniform(20.0, 90.0, rows).round(1)
    return pandas.DataFrame({"site": sites, "age": age, label: values, **columns})


def read(frame: pandas.DataFrame, tmp_path: Path, **options: Any) -> Table:
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return files.load(files.RowsSource(str(tmp_path / "rows.csv"), "site", **options))


def test_all_problems_of_a_file_are_told_with_those_of_its_label(tmp_path: Path) -> None:
    frame = hospitals("days", ["1", "-2", *["3"] * 28], seen=["1", "0", "maybe", *["0"] * 27]).astype(object)
    frame.loc[4, "age"] = "x"
    with pytest.raises(DataError) as told:
        read(frame, tmp_path, label="days", event="seen")
    for part in (
        "column 'age', row 5: 'x' is not a number",
        "label 'seen' has 3 classes",
        "label 'days' has a time of -2",
    ):
        assert part in str(told.value)


def test_an_empty_event_may_mean_none(tmp_path: Path) -> None:
    frame = hospitals("days", list(range(1, 31)), seen=["1" if row % 2 else "" for row in range(30)])
    with pytest.raises(
        DataError, match="event 'seen' is '1' or empty, in 15 rows: if an empty cell means that the event"
    ):
        read(frame, tmp_path, label="days", event="seen")


@pytest.mark.parametrize(
    ("label", "options"), [("cost", {"task": "regression"}), ("falls", {"task": "count"}), ("days", {})]
)
@pytest.mark.parametrize(("odd", "kind"), [(999_999, FAR), (9_999, SENTINEL)])
def test_a_wrong_cell_of_a_number_to_predict_is_suspicious(
    label: str, options: dict[str, str], odd: int, kind: str, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(1, 60, 90)
    values[7] = odd
    events = {} if options else {"seen": [str(row % 2) for row in range(90)]}
    event = {} if options else {"event": "seen"}
    found = read(hospitals(label, values.tolist(), **events), tmp_path, label=label, **options, **event)
    (told,) = [one for one in found.suspicions if one.kind == kind]
    assert f"label {label!r}" in str(told) and told.column == label
    flags = dict(zip(suspicion.places(found.schema), suspicion.flags(found), strict=True))
    assert flags[(kind, label)] == 1.0 and suspicion.in_words(kind, label).startswith(f"column {label!r} has ")


def test_the_label_in_other_words_is_suspicious_whatever_the_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    died = rng.random(90) < 0.4
    days = {
        "died": [str(int(one)) for one in died],
        "vital": ["d" if one else "a" for one in died],
        "dead": died.astype(int),
    }
    found = read(hospitals("days", rng.integers(1, 400, 90).tolist(), **days), tmp_path, label="days", event="died")
    assert {one.column for one in found.suspicions if one.kind == TELLS} == {"vital", "dead"}
    kinds = rng.choice(["red", "green", "amber"], 90)
    code = [{"red": 7.0, "green": 1.0, "amber": 3.0}[one] for one in kinds]
    found = read(hospitals("triage", kinds.tolist(), code=code), tmp_path, label="triage", task="multiclass")
    assert {one.column for one in found.suspicions if one.kind == TELLS} == {"code"}
    clean = read(hospitals("triage", kinds.tolist()), tmp_path, label="triage", task="multiclass")
    assert not clean.suspicions


def test_the_hazard_starts_at_that_of_all_rows() -> None:
    columns = raw(EVERY[5], 60)
    table = of_columns("rows", columns, Schema(AGE, EVERY[5]), "")
    prepared = preparation.pooled(table)
    start = prepared.apply(table).start
    rate = (table.group == 1).sum() / np.abs(table.target).sum()
    np.testing.assert_allclose(np.exp(start), rate * np.diff(EVERY[5].edges))
    assert prepared.start(EVERY[2]) == ()


def test_early_times_beside_many_that_end_with_the_study_are_right(tmp_path: Path) -> None:
    days = [390.0 + row % 20 for row in range(80)] + [float(one) for one in range(1, 11)]
    seen = ["0"] * 80 + ["1"] * 10
    assert not read(hospitals("days", days, seen=seen), tmp_path, label="days", event="seen").suspicions
    late = read(hospitals("days", [*days[:-1], 90_000.0], seen=seen), tmp_path, label="days", event="seen")
    assert [one.kind for one in late.suspicions] == [FAR]
