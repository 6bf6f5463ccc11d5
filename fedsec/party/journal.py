"""What a party has answered, and a file that remembers it where the party's own state may be rolled back.

One answer per phase and session is what many protocols rest on: a party that answers the same phase twice, with two
lists of survivors say, gives away what each answer alone hides. A party's state cannot promise it alone. It lies where
the transport keeps it, and can be restored to an older one: by a restart, a backup, or a late worker that overwrites
newer state. The journal can: a phase is claimed in it, durably, before the answer is computed. A phase that was
claimed and never answered is lost: the party has dropped out of it. What an agreement allows is counted here too, over
all runs: how many sums of a stage, and that a model is answered once.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fedsec.agreement.admission import Allowance
from fedsec.errors import (
    BadMessage,
    ConfigurationError,
    FedsecError,
    OutOfPhase,
    PolicyError,
    Stale,
    expect,
    expect_path,
)
from fedsec.protocol import State
from fedsec.wire import codec
from fedsec.wire.envelope import Session


class JournalError(FedsecError):
    """The journal cannot tell what was answered, or cannot keep it: the party answers nothing.

    The text is for the hospital's own log; what the server is told names no file.
    """


@dataclass(frozen=True, repr=False)
class Progress(State, tag="fedsec.progress/1"):
    """How far a party has come in a run: the last epoch, session and phase that it answered."""

    epoch: int = 0
    counter: int = 0
    session: bytes = b""
    phase: int = -1

    def enrol(self, session: Session) -> Progress:
        """Join the epoch of `session`; raises Stale unless both the epoch and the session are new."""
        if session.epoch <= self.epoch or session.counter <= self.counter:
            raise Stale(
                f"enrolment into epoch {session.epoch}; this party has been in epoch {self.epoch} and session "
                f"{self.counter}"
            )
        return Progress(session.epoch, session.counter, session.binding)

    def enter(self, session: Session, phase: int) -> Progress:
        """Go on to a later phase of this session, or to a newer session.

        Raises Stale on an older epoch or session, or on another one with the same counter, and OutOfPhase on a phase
        that was answered or passed.
        """
        if session.epoch < self.epoch:
            raise Stale(f"a request of epoch {session.epoch}; this party is in epoch {self.epoch}")
        if session.counter < self.counter:
            raise Stale(f"a request of session {session.counter}; this party is at session {self.counter}")
        known = session.binding == self.session
        if session.counter == self.counter and not known:
            raise Stale(f"a second session with the counter {session.counter}")
        if known and phase <= self.phase:
            raise OutOfPhase(f"phase {phase + 1} of session {session.counter}; this party answered {self.phase + 1}")
        return Progress(session.epoch, session.counter, session.binding, phase)


Refused = TypeVar("Refused", bound=FedsecError)

NOTHING = "; this party answers nothing"
DAMAGED = f"is damaged{NOTHING}"
LONGEST_WAIT = 86_400
_FORMAT = 3
_FORMAT_1 = [1, "journal.Progress"]  # how a record of format 1 began; its fields were the same
_ANSWERS = """
CREATE TABLE answers (identity BLOB, agreement BLOB, stage TEXT, model BLOB,
PRIMARY KEY (identity, agreement, stage, model)) WITHOUT ROWID
"""
_SCHEMA = f"""
PRAGMA user_version = {_FORMAT};
CREATE TABLE progress (identity BLOB, run BLOB, record BLOB NOT NULL, PRIMARY KEY (identity, run)) WITHOUT ROWID;
{_ANSWERS};
"""


@dataclass(frozen=True)
class Journal:
    """The file at `path`, absolute, and made where it is missing; `wait` is how many seconds to wait for its lock.

    It serves any number of parties, runs and processes of one machine, and must lie on a local disk. It holds no
    secret, but whoever can write it can make a party answer twice, so it must be its owner's alone. Nothing is kept
    open between claims. Raises ConfigurationError on a path that cannot serve, or that others may read or write.
    """

    path: Path
    wait: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", expect_path("the journal's path", self.path))
        expect("wait", self.wait, (int, float), "a number of seconds")
        if not 0 <= self.wait <= LONGEST_WAIT:
            raise ConfigurationError(f"wait is {self.wait}; it must lie between 0 and {LONGEST_WAIT} seconds")
        if not self.path.is_absolute():
            raise self._refused(ConfigurationError, "must be an absolute path")
        self._ready()

    def claim(
        self, identity: bytes, run: bytes, step: Callable[[Progress], Progress], allowance: Allowance | None = None
    ) -> None:
        """Record `step` of what this identity has answered in this run; when this returns, it is on the disk.

        allowance: what this answer takes of what an agreement allows, counted over all runs.

        Raises what `step` raises, and then records nothing; PolicyError where the model was answered before or the
        stage has had all its answers; JournalError where the file is damaged, full or locked for too long; and
        ConfigurationError as the constructor does.
        """
        self._ready()
        with self._transaction() as database:
            row = database.execute("SELECT record FROM progress WHERE identity = ? AND run = ?", (identity, run))
            kept = row.fetchone()
            try:
                known = codec.decode(kept[0], Progress) if kept else Progress()
            except (BadMessage, TypeError) as error:
                raise self._refused(JournalError, DAMAGED) from error
            record = codec.encode(step(known))
            if allowance is not None:
                self._count(database, identity, allowance)
            database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", (identity, run, record))

    def answered(self, identity: bytes, agreement: bytes) -> dict[str, int]:
        """How many sums of each stage of an agreement this identity has answered, in all runs."""
        self._ready()
        with self._transaction() as database:
            rows = database.execute(
                "SELECT stage, COUNT(*) FROM answers WHERE identity = ? AND agreement = ? GROUP BY stage",
                (identity, agreement),
            ).fetchall()
        return dict(rows)

    @staticmethod
    def _count(database: sqlite3.Connection, identity: bytes, allowance: Allowance) -> None:
        key = (identity, allowance.agreement, allowance.stage)
        try:
            database.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (*key, allowance.model))
        except sqlite3.IntegrityError:
            raise PolicyError(
                f"this model was answered before in stage {allowance.stage!r}; under an agreement a hospital answers "
                "a model once"
            ) from None
        count = "SELECT COUNT(*) FROM answers WHERE identity = ? AND agreement = ? AND stage = ?"
        (answers,) = database.execute(count, key).fetchone()
        if answers > allowance.limit:
            raise PolicyError(
                f"stage {allowance.stage!r} has had the {allowance.limit} sums that the agreement allows; agree on "
                "another for more"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=self.wait, isolation_level=None)) as database:
                # EXTRA is FULL, and the folder too: else a power cut could bring the state before a commit back.
                database.execute("PRAGMA synchronous = EXTRA")
                database.execute("BEGIN IMMEDIATE")
                (version,) = database.execute("PRAGMA user_version").fetchone()
                if version in (1, 2):
                    self._migrate(database, version)
                elif version != _FORMAT:
                    newer = f": its format is {version}, and this release reads 1 to {_FORMAT}; update fedsec here"
                    raise self._refused(
                        JournalError, f"is no journal of this release{newer if version > _FORMAT else ''}"
                    )
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _migrate(self, database: sqlite3.Connection, version: int) -> None:
        """Rewrite a journal of an older format, within the transaction of the claim that found it."""
        if version == 1:
            self._rewrite_records(database)
        database.execute(_ANSWERS)
        database.execute(f"PRAGMA user_version = {_FORMAT}")

    def _rewrite_records(self, database: sqlite3.Connection) -> None:
        """Give records of format 1 their stated tags."""
        for identity, run, record in database.execute("SELECT identity, run, record FROM progress").fetchall():
            try:
                *start, values = codec.unpack(record, 3)
                if start != _FORMAT_1:
                    raise BadMessage(f"a record of {start}")
                known = codec.decode(codec.pack([codec.VERSION, Progress.tag, values]), Progress)
            except (BadMessage, TypeError) as error:
                raise self._refused(JournalError, DAMAGED) from error
            database.execute(
                "UPDATE progress SET record = ? WHERE identity = ? AND run = ?", (codec.encode(known), identity, run)
            )

    def _error(self, error: sqlite3.Error) -> JournalError:
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code & 0xFF == sqlite3.SQLITE_BUSY:  # the low byte is the kind, the rest its variety
            return self._refused(JournalError, f"was locked by another process for {self.wait:g} s{NOTHING}")
        if isinstance(error, sqlite3.OperationalError):
            return self._refused(JournalError, f"cannot be written{NOTHING}", error)
        return self._refused(JournalError, DAMAGED, error)

    def _refused(self, kind: type[Refused], reason: str, cause: object = "") -> Refused:
        """An error of that kind; the server is told neither the path nor the cause, which may name it."""
        text = f"the journal {self.path} {reason}" + (f": {cause}" if str(cause) else "")
        return kind(text, public=f"the journal {reason}")

    def _ready(self) -> None:
        """Make the file where there is none; raise ConfigurationError where it is not a file of its owner's alone."""
        try:
            if not self.path.exists():
                self._make()
            mode = self.path.stat().st_mode
        except OSError as error:
            raise self._refused(ConfigurationError, "cannot be used", error.strerror or error) from error
        if not self.path.is_file():
            raise self._refused(ConfigurationError, "is not a file")
        if mode & 0o077:
            raise self._refused(ConfigurationError, f"has permissions {mode & 0o777:o}; others may use it (use 600)")
        if not os.access(self.path, os.R_OK | os.W_OK):
            raise self._refused(ConfigurationError, "cannot be read and written")

    def _make(self) -> None:
        """Put a whole journal in place, never over one that another process has just made."""
        partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(partial)) as database:
                database.executescript(_SCHEMA)
            with suppress(FileExistsError):
                os.link(partial, self.path)
        except sqlite3.Error as error:
            raise self._refused(ConfigurationError, "cannot be made", error) from error
        finally:
            partial.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
