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
import time
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
"""Bytes that are read at once to find the last entry, which is shorter."""
LETTERS, NAMES = 400, 100
"""Letters of a text and texts of a list that stand in an entry, at most: others write them too, and may write much."""
PATIENCE = 10.0
"""Seconds to wait for another process that writes to the same trail."""
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

        Long texts and lists are cut, and what cannot be printed becomes a space. Raises TrailError where that cannot
        be. Where entries are missing that the head counts, or the last one was only begun, an entry in front says so.
        """
        if not _OWN.isdisjoint(facts):
            raise ValueError(f"facts of an entry have names of its own: {sorted(_OWN & facts.keys())}")
        told = {name: printed(value) for name, value in facts.items()}
        with self._opened() as file:
            lost, before = _resumed(file, self.path)
            if lost:
                before = self._append(file, before, BROKEN, {"lost": lost})
            before = self._append(file, before, event, told)
            head = head_of(self.path)
            atomic.write(head, f"{before}\n".encode())
            head.chmod(0o600)

    def ready(self) -> None:
        """Raise TrailError where nothing could be added now, as far as that can be told before."""
        with self._opened() as file:
            file.seek(0, os.SEEK_END)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            with _locked(self.path) as file:
                yield file
        except Exception as error:
            text = f"the trail {self.path} cannot be kept: {error}"
            raise TrailError(text, public="the trail cannot be kept") from error

    def _append(self, file: IO[bytes], before: Head, event: str, facts: dict[str, Any]) -> Head:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        who = printed(self.who)
        entry = {"n": before.number + 1, "at": now, "who": who, "event": event, **facts, "before": before.hash}
        digest = digest_of(entry)
        line = json.dumps(entry | {"hash": digest}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        file.seek(0, os.SEEK_END)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
        return Head(before.number + 1, digest)


def printed(value: Any) -> Any:
    """A fact as it stands in an entry: another machine may have written it, to look like something else."""
    if isinstance(value, list):
        rest = [f"and {len(value) - NAMES} more, SHA-256 {_hash(value)}"] if len(value) > NAMES else []
        return [printed(str(one)) for one in value[:NAMES]] + rest
    if not isinstance(value, str):
        return value
    text = "".join(letter if letter.isprintable() else " " for letter in value[: 4 * LETTERS])
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}..."


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def head_of(path: Path) -> Path:
    """Where the head of a trail lies."""
    return path.with_name(f"{path.name}.head")


def digest_of(entry: dict[str, Any]) -> str:
    """The hash of an entry, which is over all else that it has."""
    told = {key: value for key, value in entry.items() if key != "hash"}
    return _hash(told)


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + PATIENCE
    with os.fdopen(descriptor, "r+b") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and let go as the file is closed
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
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
            return "the last entry, which cannot be read", known or Head()
        last = Head(int(entry["n"]), str(entry["hash"]))
    if torn:
        return "an entry that was begun, and not completed", last
    if known is None:
        return "the head, which cannot be read", last
    if known.number > last.number or (known.number == last.number and known.hash != last.hash):
        return f"entries up to {known}; the file ends at {last}", last
    return "", last


def _known(path: Path) -> Head | None:
    """The head beside a trail; that of an empty one where there is no file, and None where it cannot be read."""
    try:
        return Head.parse(head_of(path).read_text(encoding="ascii"))
    except FileNotFoundError:
        return Head()
    except (ConfigurationError, UnicodeDecodeError):
        return None


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
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not entry.keys() >= _OWN or type(entry["n"]) is not int:
        return None
    return entry if all(isinstance(entry[key], str) for key in _OWN - {"n"}) else None


def _missing(path: Path, heads: list[Head], noted: Head | None) -> Iterator[str]:
    """What the heads say that should be there, and is not."""
    known = _known(path)
    if known is None:
        yield "the head beside it cannot be read"
    for whose, head in (("the head beside it", known), ("the head that was noted", noted)):
        if head is None or head in heads:
            continue
        if head.number >= len(heads):
            yield f"{whose} counts {head.number} entries, and {len(heads) - 1} are there: the end was cut off"
        else:
            yield f"{whose} has another entry {head.number}: the trail was rewritten"
    if known is not None and len(heads) - 1 > known.number + 1:
        yield f"the head beside it counts {known.number} entries, and {len(heads) - 1} are there"
