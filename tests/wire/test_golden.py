"""Bytes that an earlier release wrote: what is sent differs from them in tags and versions alone, and files are read.

tests/golden holds one encoded record of every kind, and a journal, as the last release with tags from class names
wrote them; and the kinds that have changed or come since then, as the release that did so writes them.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

import fedsec.strategies
from fedsec.errors import BadMessage, Stale
from fedsec.party.journal import Journal, JournalError, Progress
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import RECORDS, Message, Record, State
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import Header, Session

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
BEFORE = json.loads((GOLDEN / "messages-1.json").read_text(encoding="utf-8"))
LATER = [json.loads((GOLDEN / f"messages-{number}.json").read_text(encoding="utf-8")) for number in range(2, 9)]


def kind_of(tag: str) -> str:
    return tag.rpartition("/")[0]


SINCE = {kind_of(entry["tag"]): entry for entries in LATER for entry in entries}
"""Kinds that have come since, or were given another version because their fields or what they mean are others."""
STILL = [entry for entry in BEFORE if kind_of(entry["tag"]) not in SINCE]
SUPERSEDED = [entry for entries in LATER for entry in entries if entry not in SINCE.values()]

for found in pkgutil.iter_modules(fedsec.strategies.__path__):
    importlib.import_module(f"fedsec.strategies.{found.name}")


def test_every_kind_of_record_is_among_them() -> None:
    ours = {tag for tag, kind in RECORDS.items() if kind.__module__.startswith(("fedsec.", "strategies."))}
    ours -= {Message.tag, State.tag}  # which are never sent as such
    known = {entry["tag"] for entry in (*STILL, *SINCE.values())}
    assert known == {tag for tag in ours if tag.startswith("fedsec.")}
    written = [entry["tag"] for entries in (BEFORE, *LATER) for entry in entries]
    assert len(set(written)) == len(written), "a record that changes is given another version"
    assert not [tag for tag in ours if not tag.startswith("fedsec.")], "a record of ours states its tag"


@pytest.mark.parametrize("entry", SINCE.values(), ids=lambda entry: entry["tag"])
def test_kinds_of_later_releases_are_read_and_written_as_they_were(entry: dict[str, str]) -> None:
    record = codec.decode(bytes.fromhex(entry["bytes"]), Record)
    assert (record.tag, codec.encode(record).hex()) == (entry["tag"], entry["bytes"])


@pytest.mark.parametrize("entry", STILL, ids=lambda entry: entry["tag"])
def test_only_tags_and_versions_differ(entry: dict[str, str]) -> None:
    before = bytes.fromhex(entry["bytes"])
    version, tag, values = msgpack.unpackb(before, strict_map_key=False)
    assert (version, tag) == (1, entry["before"])
    now = msgpack.packb([codec.VERSION, entry["tag"], values])
    record = codec.decode(now, Record)
    assert record.tag == entry["tag"]
    assert codec.encode(record) == now
    with pytest.raises(BadMessage, match=r"version 1; this release of fedsec reads version 2.*update the sender's"):
        codec.decode(before, Record)


@pytest.mark.parametrize("entry", SUPERSEDED, ids=lambda e: e["tag"])
def test_a_kind_of_the_release_before_is_refused(entry: dict[str, str]) -> None:
    with pytest.raises(BadMessage, match=f"{entry['tag']}"):
        codec.decode(bytes.fromhex(entry["bytes"]), Record)


@pytest.mark.parametrize(("version", "who"), [(1, "the sender's"), (2, "the sender's"), (4, "this")])
def test_an_envelope_of_another_release_says_who_must_update(version: int, who: str) -> None:
    session = Session(b"run", 1, b"nonce", 1, "train", (1, 2, 3), bytes(32), bytes(32), bytes(32))
    data = envelope.write(Header(session, "fedsec.enrol/1", 0, 1), b"body", SigningKey(bytes(range(32))))
    with pytest.raises(BadMessage, match=f"envelope version {version}; .* reads version 3.*update {who} installation"):
        envelope.read(bytes([version]) + data[1:])


def test_the_header_is_written_as_the_codec_writes_it() -> None:
    """The header's bytes are put together by hand, and its own tag is among them."""
    session = Session(b"run", 1, b"nonce", 1, "train", (1, 2, 3), bytes(32), bytes(32), bytes(32))
    header = Header(session, "fedsec.enrol/4", 0, 1, b"layout", b"plan", 0.5)
    assert envelope.pack_header(header) == codec.encode(header)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of format 1: one identity in session 3 of one run and 9 of another, another identity in one run."""
    path = tmp_path / "journal"
    shutil.copyfile(GOLDEN / "journal-1.sqlite", path)
    path.chmod(0o600)
    return path


def rows(path: Path) -> tuple[int, list[tuple[bytes, bytes, bytes]]]:
    with closing(sqlite3.connect(path)) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        return version, database.execute("SELECT * FROM progress ORDER BY identity, run").fetchall()


def enter(path: Path, counter: int, epoch: int, phase: int, identity: bytes = b"m" * 32, run: bytes = b"run") -> None:
    session = Session(run, counter, b"nonce", epoch, "train", (1, 2, 3), b"", b"", b"")
    Journal(path).claim(identity, run, lambda known: known.enter(session, phase))


def test_a_journal_of_format_1_is_read_and_rewritten(journal: Path) -> None:
    """What was answered under the earlier release is not answered again, in any run of any identity.

    Nor is the rest of a session that was under way: what it is bound to has another version, so it is another session.
    """
    version, before = rows(journal)
    assert version == 1 and len(before) == 3
    enter(journal, 4, 1, 2)  # one claim migrates all
    version, now = rows(journal)
    assert version == 3 and [row[:2] for row in now] == [row[:2] for row in before]
    for (*key, old), (*_, new) in zip(before, now, strict=True):
        values = msgpack.unpackb(old)[2]
        assert msgpack.unpackb(new)[:2] == [codec.VERSION, Progress.tag]
        if key != [b"m" * 32, b"run"]:
            assert msgpack.unpackb(new)[2] == values
    for counter, epoch, phase, identity, run in (
        (3, 1, 3, b"m" * 32, b"run"),
        (9, 2, 3, b"m" * 32, b"another run"),
        (10, 1, 3, b"m" * 32, b"another run"),
        (1 << 40, 7, 3, b"o" * 32, b"run"),
    ):
        with pytest.raises(Stale):
            enter(journal, counter, epoch, phase, identity, run)
    enter(journal, 10, 2, 0, b"m" * 32, b"another run")
    enter(journal, (1 << 40) + 1, 7, 0, b"o" * 32)


def test_a_refused_claim_leaves_a_journal_of_format_1_as_it_was(journal: Path) -> None:
    """Migration and claim are one transaction."""
    before = rows(journal)
    with pytest.raises(Stale):
        enter(journal, 2, 1, 1)
    assert rows(journal) == before


def test_a_damaged_journal_of_format_1_answers_nothing(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute(
            "UPDATE progress SET record = ? WHERE run = ?", (msgpack.packb([1, "other", []]), b"another run")
        )
    before = rows(journal)
    with pytest.raises(JournalError, match="damaged"):
        enter(journal, 4, 1, 2)
    assert rows(journal) == before


@pytest.mark.parametrize("found", [4, 0])
def test_a_journal_of_another_format_is_left_alone(journal: Path, found: int) -> None:
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute(f"PRAGMA user_version = {found}")
    text = "its format is 4, and this release reads 1 to 3; update fedsec" if found else "no journal of this release$"
    with pytest.raises(JournalError, match=text):
        enter(journal, 4, 1, 2)
    assert rows(journal)[0] == found
