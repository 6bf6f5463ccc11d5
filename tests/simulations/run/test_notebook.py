"""`from fedsec.simulations import run`: a run from a frame, and what it left as frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import fedsec
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.simulations import run
from fedsec.simulations.run.notebook import Run

pytestmark = pytest.mark.slow


def people(rows: int = 240) -> pandas.DataFrame:
    """Patients of four hospitals, whose risk grows with age."""
    rng = np.random.default_rng(5)
    age = rng.integers(20, 90, rows)
    return pandas.DataFrame(
        {
            "hospital": rng.choice(["north", "south", "east", "west"], rows),
            "age": age,
            "ward": pandas.Categorical(rng.choice(["icu", "medicine"], rows)),
            "admitted": pandas.Timestamp("2020-01-01") + pandas.to_timedelta(rng.integers(0, 900, rows), unit="D"),
            "died": rng.random(rows) < 1 / (1 + np.exp((60 - age) / 8)),
        },
        index=rng.permutation(rows),
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run from a frame."""
    found: Run = run(
        people(),
        site="hospital",
        label="died",
        strategy="packed_shamir:pack=2",
        rounds=2,
        dates="admitted=days since 2020-01-01",
        output=tmp_path_factory.mktemp("notebook") / "one",
        progress=False,
    )
    return found


@pytest.mark.usefixtures("brief")
def test_a_run_from_a_frame_is_that_of_its_file(done: Run, tmp_path: Path) -> None:
    """Bit for bit; a path as a text does the same."""
    people().to_csv(tmp_path / "frame.csv", index=False)
    options: dict[str, Any] = {"site": "hospital", "label": "died", "rounds": 2, "progress": False}
    again = run(
        str(tmp_path / "frame.csv"),
        strategy="packed_shamir:pack=2",
        dates=["admitted=days since 2020-01-01"],
        output=tmp_path / "two",
        **options,
    )
    assert again.document.model_hash == done.document.model_hash
    assert again.document.statistics == done.document.statistics


def test_what_it_left_are_frames(done: Run) -> None:
    assert list(done.rounds.index) == [0, 1, 2]
    assert done.rounds["auc"].iloc[-1] == done.document.quality.federated["auc"]
    federated = done.quality.loc["federated, packed_shamir"]
    assert federated["auc low"] <= federated["auc"] <= federated["auc high"]
    assert done.costs["bytes_up"].sum() > 0 and {"phase", "role", "cpu_seconds"} <= set(done.costs.columns)
    assert list(done.model.feature_names_in_) == ["age", "ward", "admitted"]
    chances = done.model.predict_proba(people().drop(columns="died"))[:, 1]
    assert len(chances) == 240 and np.corrcoef(chances, people()["age"])[0, 1] > 0.5
    assert isinstance(done.model, type(fedsec.load_model(done.folder)))


def test_it_shows_itself(done: Run) -> None:
    assert "packed_shamir" in repr(done) and "New patients" in repr(done)
    page = done._repr_html_()
    assert "<table" in page and "simulated on one machine" in page and "federated, packed_shamir" in page
    report = done.report()
    assert Path(report).name == "report.html" and Path(str(report)).is_file()
    assert report._repr_html_().startswith("<iframe srcdoc=")
    study = (done.folder / "study.toml").read_text()
    assert "frames-in-memory" not in study and "frames-in-memory" not in Path(report).read_text()


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ([1, 2], {}, "data is a list; a frame of pandas or a path was expected"),
        (people(), {"engine": "flower"}, "use engine='local', or save the rows"),
        (people(), {"lable": "died"}, "unknown option 'lable'; did you mean 'label'"),
        (people(), {"site": "hospital", "label": "dead"}, "dead"),
        (people(), {"site": "hospital", "label": "died", "rounds": 0}, "rounds is 0; a whole number was expected"),
        (None, {"dataset": "breast-cancr"}, "did you mean 'breast-cancer'"),
        (None, {"engine": "cloud"}, "unknown engine 'cloud'"),
        (None, {"timeout": 0}, "timeout is 0; it must be above 0 seconds"),
        (Path("nowhere.csv"), {"site": "a", "label": "b"}, "there is no such file"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any, options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=said):
        run(data, **options)
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_has_what_it_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time at all, nothing is left, and the error says where the log is."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFailed, match=r"did not finish within 1e-06 s.*Its log is"):
        run(timeout=1e-6, rounds=2, progress=False)
