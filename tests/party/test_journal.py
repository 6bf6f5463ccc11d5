"""The journal: one answer per phase and session, though states roll back, processes race, and some are killed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.agreement.admission import Allowance
from fedsec.errors import ConfigurationError, FedsecError, OutOfPhase, PolicyError, Stale
from fedsec.local import LocalFederation
from fedsec.party.journal import Journal, JournalError, Progress
from fedsec.protocol import State
from fedsec.strategies.plain import Plain, SendInput
from fedsec.wire import codec
from fedsec.wire.envelope import SETUP, Session
from fedsec.wire.exchange import Refusal
from fedsec.wire.membership import Enrol
from tests.tiers import examples, exhaustive

ME, RUN = b"m" * 32, b"run"
SPAWN = multiprocessing.get_context("spawn")


def session(counter: int, epoch: int = 1, nonce: bytes = b"nonce") -> Session:
    return Session(RUN, counter, nonce, epoch, "train", (1, 2, 3), b"", b"", b"")


def enter(journal: Journal, counter: int, phase: int, identity: bytes = ME, run: bytes = RUN, **changes: Any) -> None:
    journal.claim(identity, run, lambda known: known.enter(session(counter, **changes), phase))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def remembering(dishonest: Any, journal: Journal) -> Any:
    """A dishonest server before five parties that keep one journal."""
    server = dishonest(Plain())
    server.federation.journal = journal
    return server.found()


def test_the_order_of_sessions_and_phases(journal: Journal) -> None:
    """The same rules as without a journal: they are those of `Progress`."""
    enter(journal, 3, 1)
    for counter, phase, changes, kind, text in (
        (3, 1, {}, OutOfPhase, "phase 2 of session 3; this party answered 2"),
        (3, 0, {}, OutOfPhase, "phase 1 of session 3"),
        (2, 5, {}, Stale, "request of session 2; this party is at session 3"),
        (3, 2, {"nonce": b"other"}, Stale, "second session with the counter 3"),
        (9, 0, {"epoch": 0}, Stale, "request of epoch 0; this party is in epoch 1"),
    ):
        with pytest.raises(kind, match=text):
            enter(journal, counter, phase, **changes)
    for epoch, counter in ((1, 4), (2, 3), (0, 9)):
        with pytest.raises(Stale, match=f"enrolment into epoch {epoch}; this party has been in epoch 1 and session 3"):
            journal.claim(ME, RUN, lambda known, e=epoch, c=counter: known.enrol(session(c, e)))
    enter(journal, 3, 2)
    journal.claim(ME, RUN, lambda known: known.enrol(session(4, 2)))
    with pytest.raises(Stale, match="second session with the counter 4"):
        enter(journal, 4, 0, nonce=b"other", epoch=2)
    enter(journal, (1 << 64) - 1, 0, epoch=(1 << 64) - 1)  # the largest that the codec writes


def test_parties_and_runs_are_apart(journal: Journal) -> None:
    enter(journal, 3, 1)
    enter(journal, 1, 0, identity=b"o" * 32)
    enter(journal, 1, 0, run=b"another run")
    enter(Journal(journal.path), 3, 2)  # and it is the file that remembers
    with pytest.raises(OutOfPhase):
        enter(Journal(journal.path), 3, 2)


def test_a_state_that_rolled_back_answers_nothing_twice(remembering: Any) -> None:
    server, federation = remembering, remembering.federation
    before = dict(federation.states)
    first = server.session()
    request = server.request(1, SendInput(), first)
    server.send(1, request)
    after_first = dict(federation.states)
    second = server.session()
    server.ask(1, SendInput(), second)
    for states, asked, kind, text in (
        (before, second, OutOfPhase, "this party answered 1"),  # the same phase again
        (before, replace(second, nonce=bytes(16)), Stale, "second session with the counter"),
        (before, first, Stale, "this party is at session"),
        (after_first, second, OutOfPhase, "this party answered 1"),
    ):
        federation.states = dict(states)
        with pytest.raises(kind, match=text):
            server.ask(1, SendInput(), asked)
        assert federation.states[1] == states[1]
    assert server.contributed == [1, 1]
    federation.states = dict(before)
    federation.journal = None  # the control: it is the journal that makes the difference
    server.send(1, request)
    assert server.contributed == [1, 1, 1]


def test_a_state_that_rolled_back_enrols_and_adopts_no_second_time(dishonest: Any, journal: Journal) -> None:
    server = dishonest(Plain())
    server.federation.journal = journal
    fresh = dict(server.federation.states)
    members = server.enrol()
    enrolled = dict(server.federation.states)
    offer = Enrol(server.key.public, server.coordinator.terms)
    server.federation.states = dict(fresh)
    with pytest.raises(Stale, match="enrolment into epoch 1; this party has been in epoch 1"):
        server.ask(1, offer, server.session(stage=SETUP))
    server.federation.states = dict(enrolled)
    adopting = server.session(stage=SETUP)
    server.adopt(1, members, counter=adopting.counter)
    server.federation.states = dict(enrolled)
    with pytest.raises(Stale, match="second session with the counter"):
        server.adopt(1, {party: members[party] for party in (1, 2, 3)}, counter=adopting.counter)


def test_a_federation_with_a_journal_sums_as_without(journal: Journal) -> None:
    federation = LocalFederation(Plain(), 3, journal=journal)
    for _ in range(2):
        assert federation.sum({party: [party] for party in (1, 2, 3)}).sum.vector.tolist() == [6]
    federation.enrol()
    assert federation.sum({party: [party] for party in (1, 2, 3)}).sum.vector.tolist() == [6]


def race(path: Path, ready: Any, results: Any) -> None:
    journal = Journal(path)
    ready.wait()
    try:
        enter(journal, 7, 0)
        results.put("won")
    except FedsecError as error:
        results.put(type(error).__name__)


@pytest.mark.slow
@pytest.mark.parametrize("made", [False, *exhaustive([True])])
def test_of_processes_that_claim_at_once_one_wins(tmp_path: Path, made: bool) -> None:
    path = tmp_path / "journal"
    if made:
        Journal(path)
    ready, results = SPAWN.Barrier(3), SPAWN.Queue()
    processes = [SPAWN.Process(target=race, args=(path, ready, results)) for _ in range(3)]
    for process in processes:
        process.start()
    got = sorted(results.get(timeout=3600) for _ in processes)
    for process in processes:
        process.join()
    assert got == ["OutOfPhase", "OutOfPhase", "won"]
    assert [file.name for file in tmp_path.iterdir()] == ["journal"]


def killed(what: Any, *given: Any) -> None:
    """Do this in a process of its own, which is killed once it tells that it has come as far as it goes."""
    told = SPAWN.Event()
    process = SPAWN.Process(target=what, args=(*given, told))
    process.start()
    assert told.wait(3600) and process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def dies(path: Path, committed: bool, told: Any) -> None:
    """Is killed inside a claim, or right after one."""

    def step(known: Progress) -> Progress:
        if not committed:
            told.set()
            time.sleep(100_000)
        return known.enter(session(5), 0)

    Journal(path).claim(ME, RUN, step)
    told.set()
    time.sleep(100_000)


@pytest.mark.slow
@pytest.mark.parametrize("committed", [True, False])
def test_a_killed_process_leaves_a_claim_or_none(journal: Journal, committed: bool) -> None:
    """What was claimed is burnt, for its answer may have been sent; what was not leaves no lock behind."""
    enter(journal, 4, 0)
    killed(dies, journal.path, committed)
    if committed:
        with pytest.raises(OutOfPhase):
            enter(journal, 5, 0)
    else:
        enter(journal, 5, 0)
    enter(journal, 5, 1)


ONE = Allowance(b"a" * 32, "train", b"w" * 32, 1)
"""One answer to this model, and no other in this stage."""


def dies_counting(path: Path, answered: bool, told: Any) -> None:
    """Is killed after the answer was counted, before its claim is on the disk or right after."""

    class Watched(Journal):
        @staticmethod
        def _count(*given: Any) -> None:
            Journal._count(*given)
            if not answered:
                told.set()
                time.sleep(100_000)

    Watched(path).claim(ME, RUN, lambda known: known.enter(session(5), 0), ONE)
    told.set()
    time.sleep(100_000)


@pytest.mark.slow
@pytest.mark.parametrize("answered", [True, False])
def test_a_killed_process_counts_a_sum_exactly_where_it_claims_its_phase(journal: Journal, answered: bool) -> None:
    """Both are one commit: no crash leaves a phase to answer whose sum was counted, nor a sum to give uncounted."""
    enter(journal, 4, 0)
    killed(dies_counting, journal.path, answered)
    assert journal.answered(ME, ONE.agreement) == ({"train": 1} if answered else {})
    if answered:
        with pytest.raises(OutOfPhase):
            journal.claim(ME, RUN, lambda known: known.enter(session(5), 0), ONE)
    else:
        journal.claim(ME, RUN, lambda known: known.enter(session(5), 0), ONE)
    for model, text in ((ONE.model, "was answered before"), (b"x" * 32, "has had the 1 sums")):
        with pytest.raises(PolicyError, match=text):
            journal.claim(ME, RUN, lambda known: known.enter(session(6), 0), replace(ONE, model=model))
    assert journal.answered(ME, ONE.agreement) == {"train": 1}


def test_a_step_that_fails_records_nothing(journal: Journal) -> None:
    enter(journal, 4, 0)

    def fails(known: Progress) -> Progress:
        known.enter(session(9), 0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        journal.claim(ME, RUN, fails)
    enter(journal, 5, 0)


@pytest.mark.parametrize("damage", ["zeros", "text", "empty", "cut", "record", "table", "format"])
def test_a_damaged_journal_means_no_answer(remembering: Any, journal: Journal, damage: str) -> None:
    whole = journal.path.read_bytes()
    match damage:
        case "zeros":
            journal.path.write_bytes(bytes(len(whole)))
        case "text":
            journal.path.write_bytes(b"this is no database, and it is long enough to be one" * 40)
        case "empty":
            journal.path.write_bytes(b"")
        case "cut":
            journal.path.write_bytes(whole[: len(whole) // 2])
        case _:
            statement = {
                "record": "UPDATE progress SET record = x'00'",
                "table": "DROP TABLE progress",
                "format": "PRAGMA user_version = 4",
            }[damage]
            with closing(sqlite3.connect(journal.path)) as database, database:
                database.execute(statement)
    kept = dict(remembering.federation.states)
    request = remembering.request(1, SendInput(), remembering.session())
    with pytest.raises(JournalError, match=rf"{journal.path} .*(damaged|no journal|cannot be written)"):
        remembering.send(1, request)
    told = remembering.federation.ask(1, request)
    assert isinstance(told, Refusal) and told.reason.startswith("JournalError: the ")
    assert not remembering.contributed and remembering.federation.states == kept


def test_a_lock_that_is_held_too_long(journal: Journal) -> None:
    impatient = Journal(journal.path, wait=0.1)
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"was locked by another process for 0\.1 s; this party answers nothing"):
            enter(impatient, 1, 0)
        holder.execute("ROLLBACK")
    enter(impatient, 1, 0)


def test_a_file_that_sqlite_cannot_write(journal: Journal) -> None:
    journal.path.with_name("journal-journal").mkdir()  # where sqlite wants to put its own
    with pytest.raises(JournalError, match="cannot be written"):
        enter(journal, 1, 0)


def test_paths_that_cannot_serve(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for path, text in (
        (Path("journal"), "journal journal must be an absolute path"),
        (tmp_path / "folder", "is not a file"),
        (tmp_path / "missing" / "journal", "cannot be used: No such file or directory|cannot be made"),
        (tmp_path / "file" / "journal", "cannot be used: Not a directory"),
        (tmp_path / "nowhere", "cannot be used: No such file or directory"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            Journal(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder", "nowhere"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_the_file_is_its_owner_s_alone(journal: Journal, mode: int) -> None:
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.path.chmod(mode)
    for use in (lambda: Journal(journal.path), lambda: enter(journal, 1, 0)):
        with pytest.raises(ConfigurationError, match=f"has permissions {mode:o}; others may use it \\(use 600\\)"):
            use()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_or_folder_that_cannot_be_written(journal: Journal, tmp_path: Path) -> None:
    journal.path.chmod(0o400)
    with pytest.raises(ConfigurationError, match="cannot be read and written"):
        enter(journal, 1, 0)
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        Journal(closed / "journal")


def test_progress_is_kept_as_a_state() -> None:
    progress = Progress().enrol(session(2)).enter(session(3), 1)
    assert codec.decode(codec.encode(progress), State) == progress
    assert repr(progress) == "<Progress redacted>"


SECRET_NAME = "patients-of-ward-9"


def broken_journals(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every way in which a journal is refused, each in a folder of its own, with what meets it."""

    def made(name: str) -> Journal:
        (folder / name).mkdir()
        return Journal(folder / name / SECRET_NAME)

    def claims(one: Journal) -> Callable[[], Any]:
        return lambda: enter(one, 1, 0)

    for name, content in (("zeros", bytes(8192)), ("text", b"no database " * 900), ("empty", b"")):
        one = made(name)
        one.path.write_bytes(content)
        yield name, claims(one)
    for name, statement in (
        ("record", "INSERT INTO progress VALUES (x'6d', x'72', x'00')"),
        ("newer", "PRAGMA user_version = 4"),
        ("table", "DROP TABLE progress"),
        ("schema", f"CREATE VIEW '{folder}/{SECRET_NAME}' AS SELECT * FROM '{folder}'; DROP TABLE progress"),  # noqa: S608
    ):
        one = made(name)
        with closing(sqlite3.connect(one.path)) as database, database:
            database.executescript(statement)
        if name == "record":
            yield name, lambda one=one: one.claim(b"m", b"r", lambda known: known)
        else:
            yield name, claims(one)
    older = made("older")
    with closing(sqlite3.connect(older.path)) as database, database:
        database.executescript("PRAGMA user_version = 1; INSERT INTO progress VALUES (x'00', x'00', x'00')")
    yield "older", claims(older)
    locked = Journal(made("locked").path, wait=0.01)
    holder = sqlite3.connect(locked.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield "locked", claims(locked)
    holder.close()
    blocked = made("blocked")
    blocked.path.with_name(f"{SECRET_NAME}-journal").mkdir()
    yield "blocked", claims(blocked)
    open_to_all = made("mode")
    open_to_all.path.chmod(0o644)
    yield "mode", claims(open_to_all)
    yield "relative", lambda: Journal(Path(SECRET_NAME))
    yield "folder", lambda: Journal(folder)
    yield "missing", lambda: Journal(folder / "missing" / SECRET_NAME)
    yield "file", lambda: Journal(open_to_all.path / SECRET_NAME)


def names_no_file(error: FedsecError, folder: Path) -> None:
    """What the server is told: the class and a reason, and nothing that the folder or the file is called."""
    told = Refusal.of(error).reason
    assert told.startswith(f"{type(error).__name__}: the journal ")
    assert not [part for part in (SECRET_NAME, folder.name, os.sep) if part in told]


def test_what_the_server_is_told_names_no_file(tmp_path: Path) -> None:
    met = set()
    for name, use in broken_journals(tmp_path):
        with pytest.raises((JournalError, ConfigurationError)) as caught:
            use()
        names_no_file(caught.value, tmp_path)
        path = str(tmp_path) if name != "relative" else SECRET_NAME
        assert path in str(caught.value), "the control: the hospital's own log has it"
        met.add(type(caught.value))
    assert met == {JournalError, ConfigurationError}


@given(text=st.text(max_size=40), code=st.sampled_from(sorted(errno.errorcode)), at=st.sampled_from(["stat", "link"]))
@settings(max_examples=examples(30), deadline=None)
def test_whatever_the_system_says_of_a_path_stays_at_the_party(text: str, code: int, at: str) -> None:
    with tempfile.TemporaryDirectory(prefix=SECRET_NAME) as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / SECRET_NAME

        def fails(*_: Any, **__: Any) -> Any:
            raise OSError(code, f"{text} {path}", str(path))

        if at == "stat":
            Journal(path)
            patch.setattr(Path, "stat", fails)
        else:
            patch.setattr(os, "link", fails)
        with pytest.raises(ConfigurationError) as caught:
            Journal(path)
        patch.undo()
        assert SECRET_NAME in str(caught.value)
        names_no_file(caught.value, Path(folder))
