"""The trail: what was written is read again, and every later change but a rewriting of both files is found."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec import atomic, trail
from fedsec.cli import log
from fedsec.errors import ConfigurationError
from fedsec.flower import round_trail
from fedsec.flower.verdict import Round
from fedsec.trail import BROKEN, Head, Trail, TrailError, digest_of, head_of, verify

ENTRIES = 6


def written(folder: Path, entries: int = ENTRIES) -> Path:
    kept = Trail(folder / "journal.trail", "Klinikum Süd")
    for number in range(entries):
        kept.add("answered", session=number, phase="ShareInput", stage="train")
    return kept.path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_entries_are_numbered_dated_named_and_linked(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = verify(path)
    assert not found.problems and not found.notes and len(found.entries) == ENTRIES
    assert [one["n"] for one in found.entries] == [1, 2, 3, 4, 5, 6] and found.head.number == ENTRIES
    assert {one["who"] for one in found.entries} == {"Klinikum Süd"}
    assert all(first["hash"] == then["before"] for first, then in zip(found.entries, found.entries[1:], strict=False))
    assert str(found.head) == head_of(path).read_text().strip() == f"6:{found.entries[-1]['hash']}"
    assert path.stat().st_mode & 0o777 == 0o600 and "Süd" in path.read_text("utf-8")


@given(st.data())
def test_any_change_of_a_byte_is_found(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder))
        before = path.read_bytes()
        place = data.draw(st.integers(0, len(before) - 1))
        changed = bytearray(before)
        changed[place] = data.draw(st.integers(0, 255).filter(lambda value: value != before[place]))
        path.write_bytes(bytes(changed))
        try:
            same = list(map(json.loads, changed.splitlines())) == list(map(json.loads, before.splitlines()))
        except ValueError:
            same = False
        assert verify(path).problems or same


@given(st.permutations(range(ENTRIES)), st.integers(0, ENTRIES))
def test_any_other_order_and_any_subset_is_found(order: list[int], kept: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder))
        all_of_them = lines(path)
        path.write_bytes(b"".join(all_of_them[number] for number in order[:kept]))
        assert bool(verify(path).problems) == (order[:kept] != list(range(ENTRIES)))


def test_an_entry_that_is_written_again_with_its_hash_breaks_the_next(tmp_path: Path) -> None:
    path = written(tmp_path)
    all_of_them = lines(path)
    entry: dict[str, Any] = json.loads(all_of_them[2]) | {"phase": "Another"}
    all_of_them[2] = json.dumps(entry | {"hash": digest_of(entry)}).encode() + b"\n"
    path.write_bytes(b"".join(all_of_them))
    assert "entry 4 is not the one that was written after entry 3" in verify(path).problems[0]


def test_an_end_that_was_cut_off_is_found_and_told_by_the_next_entry(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"".join(lines(path)[:4]))
    (problem,) = verify(path).problems
    assert "the head beside it counts 6 entries, and 4 are there: the end was cut off" in problem
    Trail(path, "H").add("answered")
    found = verify(path)
    assert [one["event"] for one in found.entries[4:]] == [BROKEN, "answered"]
    (problem,) = found.problems
    assert "before entry 5 there was lost: entries up to 6:" in problem and "the file ends at 4:" in problem


def test_a_trail_that_was_deleted_says_so(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.unlink()
    Trail(path, "H").add("answered")
    assert "before entry 1 there was lost: entries up to 6:" in verify(path).problems[0]


def test_a_noted_head_finds_what_rewrote_both_files(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    noted = verify(path).head
    for file in (path, head_of(path)):
        file.unlink()
    written(tmp_path, 2)
    assert not verify(path).problems and "the head that was noted counts 3 entries" in verify(path, noted).problems[0]
    written(tmp_path, 3)
    assert "the head that was noted has another entry 3: the trail was rewritten" in verify(path, noted).problems[0]
    assert not verify(path, verify(path).head).problems


def test_an_entry_that_was_only_begun_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    with path.open("ab") as file:
        file.write(b'{"n":3,"at":')
    found = verify(path)
    assert len(found.entries) == 2 and "the last entry was begun, and not completed" in found.notes[0]
    Trail(path, "H").add("answered")
    found = verify(path)
    assert [one["event"] for one in found.entries[2:]] == [BROKEN, "answered"]
    assert "before entry 3 there was lost: an entry that was begun, and not completed" in found.problems[0]


def test_a_crash_between_entry_and_head_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, 2)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(atomic, "write", full)
        with pytest.raises(TrailError, match=r"the trail .* cannot be kept: .*No space left on device"):
            Trail(path, "H").add("answered")
    assert not verify(path).problems and len(verify(path).entries) == 3
    Trail(path, "H").add("answered")
    assert not verify(path).problems and verify(path).head.number == 4


def test_a_last_entry_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    path.write_bytes(lines(path)[0] + b"not json\n")
    Trail(path, "H").add("answered")
    assert "entry 2 is not the one that was written after entry 1" in verify(path).problems[0]


def test_a_clock_that_was_set_back_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, 1)
    with monkeypatch.context() as earlier:
        from datetime import UTC, datetime

        class Earlier(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime(2020, 1, 1, tzinfo=UTC)

        earlier.setattr(trail, "datetime", Earlier)
        Trail(path, "H").add("answered")
    found = verify(path)
    assert not found.problems and "the clock was set back before entry 2" in found.notes[0]


def test_several_processes_write_one_trail(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fedsec.trail import Trail\n"
        "for n in range(20): Trail(Path(sys.argv[1]), sys.argv[2]).add('answered', session=n)"
    )
    path = tmp_path / "journal.trail"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name], env=os.environ) for name in "abc"]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    found = verify(path)
    assert not found.problems and len(found.entries) == 60
    for name in "abc":
        assert [one["session"] for one in found.entries if one["who"] == name] == list(range(20))


def test_what_cannot_be_a_trail_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        verify(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="head is '17'; NUMBER:HASH was expected"):
        Head.parse("17")
    with pytest.raises(ValueError, match="names of its own"):
        Trail(tmp_path / "t", "H").add("answered", n=4)
    with pytest.raises(TrailError, match="cannot be kept"):
        Trail(tmp_path / "no folder" / "t", "H").add("answered")
    assert not (tmp_path / "t").exists()


def test_what_others_write_is_cut_and_looks_like_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "t"
    forged = "x\n2026-11-29T17:00:00.000Z  H0  approved: agreement deadbeef\x1b[2J\u202e"
    Trail(path, "H0").add(
        "refused", stage=forged, reason="\x7f" * 100_000, hospitals=[f"party {n}" for n in range(6000)]
    )
    (entry,) = verify(path).entries
    assert len(path.read_bytes()) < 5000 and entry["reason"].endswith("...") and len(entry["hospitals"]) == 101
    assert entry["hospitals"][-1].startswith("and 5900 more, SHA-256 ")
    assert entry["stage"].isprintable() and log.line(entry).isprintable() and "\n" not in log.line(entry)
    raw = json.loads(path.read_text()) | {"stage": forged, "who": "a\nb"}
    assert log.line(raw).isprintable(), "whoever wrote it into the file"


@pytest.mark.parametrize("head", [b"\xff\xfe", b"", b"hello", b"6:short"])
def test_a_damaged_head_is_told_and_stops_nobody(tmp_path: Path, head: bytes) -> None:
    path = written(tmp_path, 2)
    head_of(path).write_bytes(head)
    assert verify(path).problems == ("the head beside it cannot be read",)
    Trail(path, "H").add("answered")
    found = verify(path)
    assert [one["event"] for one in found.entries[2:]] == [BROKEN, "answered"] and found.head.number == 4
    assert found.problems == ("before entry 3 there was lost: the head, which cannot be read",)
    assert head_of(path).stat().st_mode & 0o777 == 0o600


ODD = ('{"n":null}', '{"n":Infinity}', "[" * 20_000, '{"n":3,"at":1,"who":"","event":"","before":"","hash":""}')


@pytest.mark.parametrize("last", ODD)
def test_a_last_line_that_is_no_entry_stops_nobody(tmp_path: Path, last: str) -> None:
    path = written(tmp_path, 2)
    path.write_bytes(path.read_bytes() + last.encode() + b"\n")
    Trail(path, "H").add("answered")
    assert verify(path).problems and lines(path)[-1].count(b"answered") == 1


def test_who_cannot_have_the_trail_is_told_in_time_and_tells_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, 1)
    monkeypatch.setattr(trail, "PATIENCE", 0.0)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for attempt in (Trail(path, "H").ready, lambda: Trail(path, "H").add("answered")):
            with pytest.raises(TrailError) as told:
                attempt()
            assert told.value.public_text == "the trail cannot be kept"
    Trail(path, "H").ready()
    assert len(verify(path).entries) == 1


def test_a_round_of_any_text_and_size_is_noted(tmp_path: Path) -> None:
    kept = round_trail.of_option(tmp_path / "server.trail")
    assert kept is not None
    incidents = (("Enrol", 3, "m" * 70_000), ("input", 4, "a simulated hospital's own"))
    round_trail.note(kept, Round(1, "train", 5, failure="f" * 70_000, incidents=incidents), {}, None)
    round_trail.note(kept, Round(2, "train", 6000, 6000, tuple(range(1, 6001)), sum_hash="ab" * 32), {}, None)
    found = verify(kept.path)
    assert [one["event"] for one in found.entries] == ["not answered", "void", "released"] and not found.problems
    assert found.entries[0]["hospital"] == "party 3" and found.entries[2]["sum"] == "ab" * 32
    for wrong in ("", 7):
        with pytest.raises(ConfigurationError, match="trail"):
            round_trail.of_option(wrong)  # type: ignore[arg-type]
