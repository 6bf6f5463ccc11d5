"""`fedsec agree`, as a hospital and whoever leads a study type it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedsec.agreement import agreement_file, approval
from fedsec.agreement.admission import Allowance
from fedsec.data import preparation, schema
from fedsec.party.identity import read_identity
from fedsec.party.journal import Journal
from fedsec.primitives.signing import SigningKey
from tests.agreement.test_agreement_file import HOSPITALS, SERVER, agreement, content

pytestmark = pytest.mark.slow

SCHEMA = """
[label]
name = "died"

[columns.age]
low = 0.0
high = 120.0

[columns.lactate]
low = 0.0
high = 30.0

[columns.ward]
levels = ["icu", "medicine"]
"""
ROWS = "age,lactate,ward,died\n" + "".join(f"{20 + row},1.5,icu,{row % 2}\n" for row in range(20))


@pytest.fixture
def hospital(tmp_path: Path) -> SigningKey:
    """Files of one hospital: hospital.key, agreement.toml that names it, rows.csv and schema.toml."""
    (tmp_path / "hospital.key").touch(0o600)
    (tmp_path / "hospital.key").write_text(HOSPITALS[0].raw.hex())
    (tmp_path / "schema.toml").write_text(SCHEMA)
    (tmp_path / "rows.csv").write_text(ROWS)
    agreement().write(tmp_path / "agreement.toml")
    return HOSPITALS[0]


def names(count: int) -> list[str]:
    return [word for n in range(count) for word in ("--hospital", f"H{n}={HOSPITALS[n].public.hex()}")]


SIGNED = ("agree", "approve", "agreement.toml", "--identity", "hospital.key")
WRITTEN = ("agree", "write", "simulated.toml", "--server", SERVER.public.hex())


def test_an_identity_is_made_once_and_its_public_part_shown(fed: Any, tmp_path: Path) -> None:
    code, out, _ = fed("agree", "identity", "new.key")
    assert code == 0 and out.strip() == read_identity(tmp_path / "new.key").public.hex()
    code, _, err = fed("agree", "identity", "new.key")
    assert code == 2 and "exists already; an identity is never overwritten" in err
    assert fed("agree", "identity", "new.key", "--show")[1] == out
    assert json.loads(fed("agree", "identity", "new.key", "--show", "--json")[1])["public"] == out.strip()
    assert (tmp_path / "new.key").read_text().strip() not in out


def test_an_agreement_is_explained_with_its_hash(fed: Any, hospital: SigningKey) -> None:
    code, out, _ = fed("agree", "show", "agreement.toml")
    assert code == 0
    assert f"Hash: {agreement().hash.hex()}" in out and "What could be derived from it" in out
    shown = json.loads(fed("agree", "show", "agreement.toml", "--json")[1])
    assert shown["hash"] == agreement().hash.hex() and shown["hash"].startswith(shown["short"])
    assert agreement_file.validated(shown["agreement"], "shown") == agreement()
    assert len(shown["explanation"]) == 5 and all(one["lines"] for one in shown["explanation"])


def test_two_agreements_are_compared_in_words(fed: Any, hospital: SigningKey, tmp_path: Path) -> None:
    (tmp_path / "same.toml").write_text("# theirs\n" + agreement().to_toml())
    code, out, _ = fed("agree", "compare", "agreement.toml", "same.toml")
    assert code == 0 and "The two agreements are the same (both" in out
    agreement(bundle="1" * 64, title="").write(tmp_path / "other.toml")
    code, out, _ = fed("agree", "compare", "agreement.toml", "other.toml")
    assert code == 1 and "2 fields differ" in out
    assert f"bundle is '' in agreement.toml, and '{'1' * 64}' in other.toml" in out
    code, out, _ = fed("agree", "compare", "agreement.toml", "other.toml", "--json")
    assert code == 1 and json.loads(out)["differences"][0] == {"field": "title", "a": "sepsis", "b": ""}


def test_a_hospital_approves_after_its_rows_were_checked(fed: Any, hospital: SigningKey, tmp_path: Path) -> None:
    words = ("--data", "rows.csv", "--schema", "schema.toml", "--journal", "journal", "--yes")
    code, out, err = fed(*SIGNED, *words)
    assert code == 2 and "has other columns than the agreement's statistics" in err
    stages = {**content()["stages"], "query.statistics": {"sessions": 1, "metrics": STATISTICS}}
    agreed = agreement(stages=stages)
    agreed.write(tmp_path / "agreement.toml")
    assert not (tmp_path / "agreement.toml.approved").exists()
    code, out, err = fed(*SIGNED, *words)
    assert (code, err) == (0, "")
    for said in ("It is H0 of the agreement", "Its 20 rows in rows.csv can be read", "has 0 answers"):
        assert said in out, said
    assert f"fedsec-agreement='{tmp_path / 'agreement.toml'}'" in out and "fedsec-data='" in out
    approval.check(agreed, hospital, tmp_path / "agreement.toml.approved")


STATISTICS = preparation.lengths(schema.parse(SCHEMA, "here"))


def test_a_hospital_is_asked_before_it_signs(
    fed: Any, hospital: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = tmp_path / "answer"
    for answer, code in (("n\n", 1), ("", 1), ("y\n", 0)):
        answers.write_text(answer)
        with answers.open() as file:
            monkeypatch.setattr("sys.stdin", file)
            found, out, _ = fed(*SIGNED)
        assert found == code and "Approve this agreement?" in out
        assert (tmp_path / "agreement.toml.approved").exists() == (code == 0)


@pytest.mark.parametrize(
    ("changes", "rows", "match"),
    [
        ({"hospitals": []}, ROWS, "is none of the agreement's 0: add it under [[hospitals]]"),
        ({"fedsec": "9.9"}, ROWS, "this is fedsec 0.1.0; the agreement names 9.9"),
        (
            {"encoding": {"clip": 4.0, "largest_weight": 19, "weights": "exact"}},
            ROWS,
            "this hospital has 20 rows; the agreement's largest_weight is 19",
        ),
        ({}, ROWS.replace(",0\n", ",1\n"), "label 'died' has one class in all 20 rows"),
        ({}, ROWS.replace("icu", "burns"), "'burns' is not among the schema's levels"),
        ({}, ROWS.replace("died", "dead"), "columns ['died'] of the schema are missing"),
    ],
)
def test_what_does_not_fit_this_hospital_is_not_signed(
    changes: dict[str, Any], rows: str, match: str, fed: Any, hospital: SigningKey, tmp_path: Path
) -> None:
    stages = {"query.statistics": {"sessions": 1, "metrics": STATISTICS}}
    agreement(**{"stages": stages, **changes}).write(tmp_path / "agreement.toml")
    (tmp_path / "rows.csv").write_text(rows)
    code, _, err = fed(*SIGNED, "--data", "rows.csv", "--schema", "schema.toml", "--yes")
    assert code in (1, 2) and match in err
    assert not (tmp_path / "agreement.toml.approved").exists()


def test_status_counts_what_the_journal_has(fed: Any, hospital: SigningKey, tmp_path: Path) -> None:
    words = ("agree", "status", "agreement.toml", "--identity", "hospital.key", "--journal", "journal")
    code, _, err = fed(*words)
    assert code == 2 and "journal journal does not exist" in err and not (tmp_path / "journal").exists()
    journal, agreed = Journal(tmp_path / "journal"), agreement().hash
    for model in (b"1", b"2"):
        journal.claim(hospital.public, model, lambda known: known, Allowance(agreed, "train", model, 4))
    stages = json.loads(fed(*words, "--json")[1])["stages"]
    assert stages == {"query.statistics": {"answered": 0, "allowed": 1}, "train": {"answered": 2, "allowed": 4}}
    code, out, _ = fed(*words)
    assert code == 0 and [line.split() for line in out.splitlines() if "train" in line] == [["train", "2", "4", "2"]]
    assert "Not approved, so the node answers nothing: this hospital has not approved the agreement" in out
    approval.approve(agreement(), hospital, tmp_path / "agreement.toml.approved")
    assert "Approved by this hospital." in fed(*words)[1] and json.loads(fed(*words, "--json")[1])["approved"]
    agreement(title="edited since").write(tmp_path / "agreement.toml")
    assert "this hospital approved another agreement" in fed(*words)[1]
    assert json.loads(fed(*words, "--json")[1])["approved"] is False
    fed("agree", "identity", "other.key")
    code, _, err = fed("agree", "status", "agreement.toml", "--identity", "other.key", "--journal", "journal")
    assert code == 1 and "is none of the agreement's 3" in err


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        ({"name": "plain", "parameters": {}}, "strategy 'plain' shows the server every hospital's numbers"),
        ({"name": "shamir", "parameters": {"value_bits": 99}}, "value_bits"),
        ({"name": "shamir", "parameters": {"floor": 1}}, "floor"),
        ({"name": "shamir", "parameters": {"threshold": 9}}, "threshold is 9"),
        ({"name": "nothing", "parameters": {}}, "nothing"),
    ],
)
def test_what_cannot_run_is_not_signed(
    fed: Any, hospital: SigningKey, tmp_path: Path, strategy: dict[str, Any], text: str
) -> None:
    agreement(strategy=strategy).write(tmp_path / "agreement.toml")
    code, _, err = fed(*SIGNED, "--yes")
    assert code == 2 and text in err and not (tmp_path / "agreement.toml.approved").exists()


def test_an_agreement_is_written_from_that_of_a_simulation(fed: Any, tmp_path: Path) -> None:
    """Of an app of the user's own: nothing else than its agreement is known."""
    simulated = agreement(encoding={"clip": 4.0, "largest_weight": 1000, "weights": "exact"})
    simulated.write(tmp_path / "simulated.toml")
    code, out, err = fed(*WRITTEN, *names(4), "--title", "Sepsis", "--free", "rounds")
    assert (code, err) == (0, "")
    made = agreement_file.read(tmp_path / "agreement.toml")
    assert (made.encoding.weights, made.encoding.largest_weight, made.title) == ("equal", None, "Sepsis")
    assert "Weights are equal: row counts are no weights in a sum" in out and made.hash.hex()[:12] in out
    assert "The strategy promises nothing against a malicious server" not in out
    assert "No bundle is named, and nodes refuse every app that `flwr run` sends" in out
    code, _, err = fed(*WRITTEN, *names(4))
    assert code == 2 and "agreement agreement.toml exists already" in err
    code, out, _ = fed(*WRITTEN, *names(3), "--weights", "exact", "--clip", "2", "--force", "--json")
    made = agreement_file.read(tmp_path / "agreement.toml")
    assert (made.encoding.weights, made.encoding.largest_weight, made.encoding.clip) == ("exact", 1000, 2.0)
    assert json.loads(out)["hash"] == made.hash.hex()


def test_hospitals_and_keys_come_from_files_too(fed: Any, tmp_path: Path) -> None:
    agreement(encoding={"clip": 4.0}).write(tmp_path / "simulated.toml")
    (tmp_path / "server.pub").write_text(SERVER.public.hex() + "\n")
    (tmp_path / "H0.pub").write_text(HOSPITALS[0].public.hex() + "\n")
    lines = [f"H{n}={HOSPITALS[n].public.hex()},64" for n in (1, 2)]
    (tmp_path / "hospitals.txt").write_text("\n".join(["# ours", "", "H0=H0.pub,64", *lines]))
    words = ("agree", "write", "simulated.toml", "--server", "server.pub", "--hospitals", "hospitals.txt")
    code, _, err = fed(*words, "--weights", "powers-of-two")
    assert (code, err) == (0, "")
    made = agreement_file.read(tmp_path / "agreement.toml")
    assert [(one.name, one.weight) for one in made.hospitals] == [("H0", 64), ("H1", 64), ("H2", 64)]
    assert made.keys == {key.public for key in HOSPITALS[:3]} and made.server == SERVER.public.hex()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ((), "no hospital is named: give --hospital NAME=KEY for each"),
        (("--hospital", "north"), "hospital is 'north'; NAME=KEY was expected"),
        (("--hospital", "north=abc"), "hospital 'north': a public key has 64 hexadecimal digits; 3 characters came"),
        (("--hospital", f"north={SERVER.public.hex()},x"), "NAME=KEY,WEIGHT with a weight above 0"),
        (("--hospital", f"north={SERVER.public.hex()},0"), "NAME=KEY,WEIGHT with a weight above 0"),
        (("--hospital", "north=~nobody-of-that-name/key"), "there is no home folder of that name"),
        (("--hospital", "north=" + "a" * 300), "hospital 'north': aaaaaaaa"),
        (("--hospitals", "none.txt"), "hospitals none.txt cannot be read: No such file"),
        ((*names(4), "--weights", "some"), "unknown weights 'some'"),
        ((*names(4), "--rounds", "4"), "rounds stand in RUN's own configuration"),
        ((*names(4), "--gaps", "age"), "gaps is about the columns of a schema: give --schema too"),
        ((*names(4), "--bundle", "none.fab"), "the bundle none.fab cannot be read"),
        ((*names(4), "-o", "no/such/folder.toml"), "no/such/folder.toml cannot be written"),
        ((*names(4), "--schema", "schema.toml"), "simulated.toml is no run of `fedsec run`"),
    ],
)
def test_what_cannot_be_written_is_said(
    words: tuple[str, ...], match: str, fed: Any, hospital: SigningKey, tmp_path: Path
) -> None:
    agreement(encoding={"clip": 4.0}).write(tmp_path / "simulated.toml")
    (tmp_path / "agreement.toml").unlink()
    code, _, err = fed(*WRITTEN, *words)
    assert code == 2 and match in err, err
    assert not (tmp_path / "agreement.toml").exists()


def test_a_measured_simulation_needs_a_clip(fed: Any, tmp_path: Path) -> None:
    agreement(encoding={"clip": None}).write(tmp_path / "simulated.toml")
    code, _, err = fed(*WRITTEN, *names(4))
    assert code == 2 and "clip is not named, for the simulation measured its scale" in err
    assert fed(*WRITTEN, *names(4), "--clip", "0.5")[0] == 0
    assert agreement_file.read(tmp_path / "agreement.toml").encoding.clip == 0.5
    code, _, err = fed("agree", "write", "-o", "other.toml", "--server", SERVER.public.hex(), *names(4))
    assert code == 2 and "RUN is missing: name a simulation's folder, or give --schema" in err


def test_an_app_is_rehearsed_over_a_schema(fed: Any, hospital: SigningKey, tmp_path: Path) -> None:
    words = ("agree", "write", "--schema", "schema.toml", "--server", SERVER.public.hex(), *names(3), "--rounds", "2")
    code, out, err = fed(*words, "--gaps", "lactate", "-p", "server=malicious", "-o", "made.toml")
    assert (code, err) == (0, "")
    made = agreement_file.read(tmp_path / "made.toml")
    assert dict(made.stages["query.statistics"].metrics) == STATISTICS | {"rows.count": 0}
    assert made.configuration["equal-weights"] is True and "rows.*" not in made.encoding.totals
    assert set(made.encoding.totals) > {"scores.positive", "rows.count"} and made.encoding.metric_grid == 2.0**-10
    assert {name: (stage.sessions, stage.repeats) for name, stage in made.stages.items()} == {
        "query.statistics": (1, 0),
        "train": (2, 1),
        "evaluate": (2, 1),
    }
    assert next(one.shape for one in made.arrays if one.name != "bias")[0] == 5  # age, lactate, its gaps, two wards
    assert made.configuration["dataset"] == "own" and made.configuration["clients"] == 3
    assert "schema-file" not in made.configuration and "schema-file" in made.free
    assert made.configuration["least-cell"] == 5 and made.encoding.grids == dict.fromkeys(preparation.WHOLE, 1.0)
    assert "dataset='own' least-cell=5 clients=3 equal-weights=true rounds=2" in out and '\\"server\\"' in out
    assert "The strategy promises nothing against a malicious server" not in out
    assert "Table 1: a hospital joins cells of fewer than 5 rows" in " ".join(out.split())
    assert fed(*words, "--least-cell", "10", "-o", "ten.toml")[0] == 0
    assert agreement_file.read(tmp_path / "ten.toml").configuration["least-cell"] == 10
    code, _, err = fed(*words, "--gaps", "ward", "-o", "other.toml")
    assert code == 2 and "unknown numeric column of the schema, in gaps, 'ward'" in err
    code, out, _ = fed(*words, "-o", "other.toml")
    assert code == 0 and "The strategy promises nothing against a malicious server" in out
    assert agreement_file.read(tmp_path / "other.toml").arrays != made.arrays


def test_a_bundle_is_named_by_what_flower_installs(fed: Any, tmp_path: Path) -> None:
    """A folder, the .fab that Flower builds of it, and what Flower unpacks have one digest; other code has another."""
    from flwr.cli.build import build_fab_from_disk

    from fedsec.flower.bundle import digest_of_fab

    assert fed("init", "my-study")[0] == 0
    app = tmp_path / "my-study"
    code, out, _ = fed("agree", "bundle", "my-study")
    (tmp_path / "it.fab").write_bytes(build_fab_from_disk(app))
    assert code == 0 and out.strip() == digest_of_fab(tmp_path / "it.fab")
    assert json.loads(fed("agree", "bundle", "it.fab", "--json")[1])["bundle"] == out.strip()
    (app / "my_study" / "__pycache__").mkdir()
    (app / "my_study" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert fed("agree", "bundle", "my-study")[1] == out
    client = app / "my_study" / "client_app.py"
    client.write_text(client.read_text() + "\n# another\n")
    assert fed("agree", "bundle", "my-study")[1] != out
    for wrong, match in (("none", "cannot be read"), (".", "has no pyproject.toml")):
        code, _, err = fed("agree", "bundle", wrong)
        assert code == 2 and match in err
