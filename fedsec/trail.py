"""The trail: what a hospital or a server did, when and under which agreement, in a file that shows later changes.

One JSON object a line, each with the SHA-256 of the one before (as Haber and Stornetta linked time stamps, Journal of
Cryptology 3, 1991), and beside the file its head: how many entries there are, and the hash of the last. An entry that
is changed, left out or put in breaks the chain; entries cut off at the end are missed by the head. Who can write both
files can rewrite both: against that, note the head somewhere else, and verify against it. No row, update, metric or key
is ever in an entry.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from fedsec import atomic
from fedsec.errors import ConfigurationError, FedsecError, expect_path

BROKEN = "broken"
"""The event of an entry that says what was lost before it."""
START = "0" * 64
"""What stands for the hash before the first entry."""
LONGEST = 1 << 16
"""Bytes of an entry, at most."""
_HEAD = re.compile(r"^(\d+):([0-9a-f]{64})$")
_OWN = {"n", "at", "who", "event", "before", "hash"}


class TrailError(FedsecError):
    """The trail cannot be kept: whoever keeps it does nothing that would have to stand in it."""


@dataclass(frozen=True)
class Head:
    """How many entries a trail has, and the hash of the last: written `17:ab…`."""

    number: int = 0
    hash: str = START

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Raises ConfigurationError where it is none."""
        found = _HEAD.match(text.strip())
        if not found:
            raise ConfigurationError(
                f"head is {text.strip()!r}; NUMBER:HASH was expected, as `fedsec log verify` prints it"
            )
        return cls(int(found[1]), found[2])


@dataclass(frozen=True)
class Trail:
    """The trail at `path`, which is made where it is missing, of the hospital or server called `who`."""

    path: Path
    who: str

    def add(self, event: str, **facts: str | int | list[str]) -> None:
        """Append an entry, on the disk when this returns; several processes may do so.

        Raises TrailError where that cannot be. Where entries are missing that the head counts, or the last one was only
        begun, an entry in front says so.
        """
        if not _OWN.isdisjoint(facts):
            raise ValueError(f"facts of an entry have names of its own: {sorted(_OWN & facts.keys())}")
        try:
            with _locked(self.path) as file:
                lost, before = _resumed(file, self.path)
                if lost:
                    before = self._append(file, before, BROKEN, {"lost": lost})
                before = self._append(file, before, event, dict(facts))
                atomic.write(head_of(self.path), f"{before}\n".encode())
        except (OSError, ValueError) as error:
            raise TrailError(f"the trail {self.path} cannot be kept: {error}") from error

    def _append(self, file: IO[bytes], before: Head, event: str, facts: dict[str, Any]) -> Head:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {"n": before.number + 1, "at": now, "who": self.who, "event": event, **facts, "before": before.hash}
        digest = digest_of(entry)
        line = json.dumps(entry | {"hash": digest}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if len(line) > LONGEST:
            raise ValueError(f"an entry of {len(line)} bytes; {LONGEST} are the most")
        file.seek(0, os.SEEK_END)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
        return Head(before.number + 1, digest)


def head_of(path: Path) -> Path:
    """Where the head of a trail lies."""
    return path.with_name(f"{path.name}.head")


def digest_of(entry: dict[str, Any]) -> str:
    """The hash of an entry, which is over all else that it has."""
    told = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # and let go as the file is closed
        yield file


def _resumed(file: IO[bytes], path: Path) -> tuple[str, Head]:
    """What was lost, in words, and the head to go on from; what was only begun of an entry is cut off."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 2 * LONGEST, 0))
    whole, _, torn = file.read().rpartition(b"\n")
    if torn:
        file.truncate(size - len(torn))
    known, last, line = _known(path), Head(), whole.rpartition(b"\n")[2]
    if line:
        entry = _entry(line)
        if entry is None:
            return "the last entry, which cannot be read", known
        last = Head(int(entry["n"]), str(entry["hash"]))
    if torn:
        return "an entry that was begun, and not completed", last
    if known.number > last.number or (known.number == last.number and known.hash != last.hash):
        return f"entries up to {known}; the file ends at {last}", last
    return "", last


def _known(path: Path) -> Head:
    """The head beside a trail; that of an empty one where there is none."""
    try:
        return Head.parse(head_of(path).read_text(encoding="ascii"))
    except FileNotFoundError:
        return Head()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the head {head_of(path)} is damaged: it is no text") from error


@dataclass(frozen=True)
class Verified:
    """What verifying a trail found.

    entries: as they were written. head: of the last one that the chain reaches. problems: what is wrong, in sentences,
    none where all is well. notes: what is worth knowing, such as a clock that was set back.
    """

    entries: tuple[dict[str, Any], ...]
    head: Head
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def verify(path: Path, noted: Head | None = None) -> Verified:
    """Read a trail, and check its chain, its head and, where one was noted, that it goes on from that.

    Raises ConfigurationError where it cannot be read.
    """
    path = expect_path("the trail's path", path)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigurationError(f"the trail {path} cannot be read: {error.strerror}") from error
    entries, heads, problems, notes = list[dict[str, Any]](), [Head()], list[str](), list[str]()
    if lines[-1]:
        notes.append("the last entry was begun, and not completed; the next one will say so")
    for number, line in enumerate(lines[:-1], start=1):
        entry = _entry(line)
        linked = entry is not None and (entry["n"], entry["before"]) == (number, heads[-1].hash)
        if entry is None or not linked or digest_of(entry) != entry["hash"]:
            problems.append(f"entry {number} is not the one that was written after entry {number - 1}: changed or cut")
            break
        if entries and entry["at"] < entries[-1]["at"]:
            notes.append(f"the clock was set back before entry {number}: {entries[-1]['at']}, then {entry['at']}")
        if entry["event"] == BROKEN:
            problems.append(f"before entry {number} there was lost: {entry.get('lost')}")
        entries.append(entry)
        heads.append(Head(number, entry["hash"]))
    problems += _missing(path, heads, noted)
    return Verified(tuple(entries), heads[-1], tuple(problems), tuple(notes))


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.keys() >= _OWN and isinstance(entry["at"], str) else None


def _missing(path: Path, heads: list[Head], noted: Head | None) -> Iterator[str]:
    """What the heads say that should be there, and is not."""
    for whose, head in (("the head beside it", _known(path)), ("the head that was noted", noted)):
        if head is None or head in heads:
            continue
        if head.number >= len(heads):
            yield f"{whose} counts {head.number} entries, and {len(heads) - 1} are there: the end was cut off"
        else:
            yield f"{whose} has another entry {head.number}: the trail was rewritten"
    if len(heads) - 1 > _known(path).number + 1:
        yield f"the head beside it counts {_known(path).number} entries, and {len(heads) - 1} are there"
