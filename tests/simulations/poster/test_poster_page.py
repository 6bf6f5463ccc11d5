"""The tools' own claims, the verdicts, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedsec.cli import poster_basics
from fedsec.errors import ConfigurationError
from fedsec.simulations.poster import basics, claims, experiment_output, poster_page
from fedsec.simulations.poster.verdicts import FAILS, HOLDS, MISSING, PARTLY, REFUTED, SHORT

FACTS: dict[str, Any] = {
    "basics": {
        "sums": {"values": 5000, "hospitals": 5, "wrong": 0},
        "ciphertexts": {"encryptions": 10, "different": 10, "right": 10},
        "shares": {
            "known": 2,
            "parties": 5,
            "groups": 10,
            "right": 10,
            "refused": 10,
            "small_groups": 10,
            "tests": 30,
            "least_p": 0.5,
        },
    },
    "tables": {
        "hospitals": 3,
        "strategy": "shamir",
        "tolerance": 0.02,
        "values": [
            {
                "definition": "published",
                "eta": 0.001,
                "iterations": 100,
                "hospital": 1,
                "ours": 302.45,
                "plain": 302.45,
                "poster": 302.45,
                "deviation": 0.0,
                "note": "<misprinted>",
            }
        ],
        "ladder": [{"definition": "once", "words": "once", "eta": 0.001, "iterations": 100, "gains": [1.0, 2.0, 3.0]}],
        "trends": [
            {"eta": 0.001, "iterations": 50, "gains": [1.0, 2.0]},
            {"eta": 0.001, "iterations": 200, "gains": [3.0, 4.0]},
            {"eta": 0.001, "iterations": 2000, "gains": [-3.0, 4.0]},
            {"eta": 0.0005, "iterations": 100, "gains": [1.0]},
            {"eta": 0.001, "iterations": 100, "gains": [2.0, 3.0]},
            {"eta": 0.002, "iterations": 100, "gains": [3.0]},
            {"eta": 0.01, "iterations": 100, "gains": [1.0, 1.0]},
        ],
    },
    "network": {
        "key_bits": 2048,
        "xor": {
            "outputs": [0.1, 0.9, 0.9, 0.1],
            "solved": True,
            "largest_difference": 1e-11,
            "seconds_per_iteration": 0.5,
            "slower": 2000.0,
            "exchanges": 8,
            "iterations": 2,
            "bytes_to_key_holder": 10,
            "bytes_back": 20,
        },
        "precision": [{"precision": 4, "solved": True, "difference": 1e-10}],
        "overflow": [{"key_bits": 1024, "wrong_from_iteration": 9}],
    },
}


def verdicts(facts: dict[str, Any]) -> dict[str, str]:
    return {row["number"]: row["verdict"] for row in claims.rows(facts)}


def test_verdicts_follow_from_the_numbers() -> None:
    found = verdicts(FACTS)
    assert found["C1"] == found["C2"] == found["C11"] == found["C4"] == found["C8"] == found["C18"] == HOLDS
    assert found["C5"] == found["C6"] == PARTLY and found["C10"] == REFUTED and found["C7"] == MISSING
    assert set(verdicts({}).values()) == {MISSING}


@pytest.mark.parametrize(
    ("claim", "experiment", "part", "change"),
    [
        ("C1", "basics", "sums", {"wrong": 1}),
        ("C2", "basics", "ciphertexts", {"different": 9}),
        ("C2", "basics", "ciphertexts", {"right": 9}),
        ("C11", "basics", "shares", {"right": 9}),
        ("C11", "basics", "shares", {"refused": 9}),
        ("C11", "basics", "shares", {"least_p": 1e-9}),
        ("C8", "network", "xor", {"solved": False}),
        ("C9", "network", "xor", {"slower": 2.0}),
    ],
)
def test_other_numbers_give_another_verdict(claim: str, experiment: str, part: str, change: dict[str, Any]) -> None:
    facts = json.loads(json.dumps(FACTS))
    facts[experiment][part] |= change
    assert verdicts(facts)[claim] == FAILS


def test_a_short_run_says_so_and_what_a_full_one_adds(poster: Any, tmp_path: Path) -> None:
    facts = {name: dict(found) for name, found in FACTS.items()}
    del facts["network"]["xor"]
    for name, found in facts.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    whole = poster_page.render(tmp_path)
    assert "short run" not in whole and "run fedsec poster network" in whole
    experiment_output.keep_short(tmp_path, "network", True)
    code, out, _ = poster("page", str(tmp_path), "--json")
    rows = {row["number"]: row for row in json.loads(out)["claims"]}
    assert code == 0 and rows == {row["number"]: row for row in poster_page.judged(tmp_path)}
    assert (rows["C8"]["verdict"], rows["C8"]["measured"]) == (SHORT, "left out of the short run")
    assert (rows["C10"]["verdict"], rows["C10"]["run"], rows["C10"]["command"]) == (REFUTED, SHORT, "fedsec poster all")
    assert (rows["C1"]["verdict"], rows["C1"]["run"], rows["C1"]["command"]) == (HOLDS, "", "fedsec poster basics")
    text = poster_page.render(tmp_path)
    assert "This is a short run" in text and experiment_output.FULL["network"] in text
    assert experiment_output.FULL["tables"] not in text and "run fedsec poster network" not in text
    experiment_output.keep_short(tmp_path, "network", False)
    assert poster_page.render(tmp_path) == whole


@pytest.mark.parametrize("content", ["", "{", "5", '["basics", "unknown"]'])
def test_a_damaged_note_of_short_runs_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / experiment_output.SHORT_RUNS).write_text(content, encoding="utf-8")
    assert experiment_output.short_runs(tmp_path) == set()


def test_a_training_too_short_to_decide_is_a_short_run() -> None:
    facts = {"sizes": {"iterations": 600}, "collapses": [], "accuracy": [], "table": []}
    rows = {row["number"]: row for row in claims.rows({"shared-training": facts}, {"shared-training"})}
    assert {rows[number]["verdict"] for number in ("C12", "C13", "C14", "C15", "C17")} == {SHORT}
    assert rows["C13"]["measured"] == "this run trained for 600 iterations only"


@pytest.mark.parametrize("calls", [[], [("keys", 0, 1)], [("sums", 0, 3), ("ciphertexts", 1, 3), ("shares", 2, 3)]])
def test_a_bar_is_full_at_the_end(capsys: Any, calls: list[Any]) -> None:
    with experiment_output.progress() as follow:
        for call in calls:
            follow(*call)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "100%" in last and "67%" not in last


def test_a_table_with_misprints_holds_in_part() -> None:
    facts = json.loads(json.dumps(FACTS))
    assert verdicts(facts)["C3"] == PARTLY and verdicts(facts)["C4"] == HOLDS
    facts["tables"]["values"] = [value | {"note": ""} for value in facts["tables"]["values"]]
    assert verdicts(facts)["C3"] == HOLDS


def test_a_value_off_the_posters_fails() -> None:
    facts = json.loads(json.dumps(FACTS))
    facts["tables"]["values"][0]["deviation"] = -0.03
    assert verdicts(facts)["C3"] == verdicts(facts)["C4"] == FAILS


def test_shares_are_measured() -> None:
    found = basics.shares()
    assert claims.rows({"basics": {"shares": found}})[10]["verdict"] == HOLDS and found["tests"] == 30


def test_a_biased_share_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    original = basics._deal

    def biased(*arguments: Any) -> Any:
        dealt = original(*arguments)
        return {point: share - share // 20 if point == 5 else share for point, share in dealt.items()}

    monkeypatch.setattr(basics, "_deal", biased)
    monkeypatch.setattr(basics.shamir, "combine", lambda shares, *_: next(iter(shares.values())))
    assert basics.shares()["least_p"] < 1e-6


def test_the_page_needs_nothing_else(poster: Any, tmp_path: Path) -> None:
    for name, facts in FACTS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
    (tmp_path / "tables.svg").write_text("<svg/>", encoding="utf-8")
    code, out, _ = poster("page", str(tmp_path), "--json")
    assert code == 0
    document = json.loads(out)
    text = Path(document["page"]).read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', text) and "data:image/svg+xml;base64," in text
    assert "&lt;misprinted&gt;" in text and "<misprinted>" not in text
    for row in document["claims"]:
        assert f'role="rowheader">{row["number"]}</th>' in text


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no results"), ("{", "cannot be read"), ("[]", "not what"), ('{"values": []}', "form")]
)
def test_a_folder_without_results_is_refused(poster: Any, tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "tables.json").write_text(content, encoding="utf-8")
    code, out, err = poster("page", str(tmp_path))
    assert code == 2 and not out and said in " ".join(err.split())
    with pytest.raises(ConfigurationError):
        poster_page.render(tmp_path)


def test_basics_refuses_a_small_key(poster: Any) -> None:
    code, _, err = poster("basics", "--key-bits", "1024")
    assert code == 2 and "key too small" in err


def test_basics_prints_its_verdicts(poster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster_basics, "measure", lambda *_: dict(FACTS["basics"]))
    code, out, _ = poster("basics", "--output", str(tmp_path))
    assert code == 0 and out.count("holds") == 3 and (tmp_path / "basics.csv").exists()
    wrong = {"sums": {"values": 2, "hospitals": 5, "wrong": 1}}
    monkeypatch.setattr(poster_basics, "measure", lambda *_: dict(FACTS["basics"]) | wrong)
    code, _, err = poster("basics")
    assert code == 1 and "C1" in err
