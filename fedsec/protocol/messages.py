"""Messages and states: what travels between parties, what stays with one, and what each field shows on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage

PartyId = int
"""Clients are 1..n, which are also their Shamir points; the server is 0."""


SERVER: PartyId = 0


Vector = NDArray[np.uint64]
"""uint64[d]"""


class Exposure(StrEnum):
    """What a field on the wire shows to whoever reads it. Every field of every message states one."""

    PUBLIC = "public"  # the same whatever the private data are
    FRESH = "fresh"  # nonces, keys, signatures: new in every session
    MASKED = "masked"  # a private value under a one-time mask
    SEALED = "sealed"  # authenticated encryption to one receiver
    SHARED = "shared"  # one share of a secret, alone independent of it
    CIPHERTEXT = "ciphertext"  # under a key that the reader does not hold
    OPENED = "opened"  # a function of the sum only
    METERING = "metering"  # what a step cost, never what it computed


TAG = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+/[1-9][0-9]*")


RECORDS: dict[str, type[Record]] = {}
"""Every class that the codec may build, by tag."""


class Record:
    """Base of what the codec writes: frozen dataclasses of plain fields.

    `class ShareInput(Message, tag="fedsec.shamir.share_input/1")` states the name on the wire and its version, so that
    a class can be renamed or moved without a byte changing. A strategy of one's own need not state any: the tag is
    then made of the file's name and the class's. Tags that begin with `fedsec.` are ours; in a copy of one of our
    files they begin with the copy's name instead.
    """

    tag: ClassVar[str]

    def __init_subclass__(cls, *, tag: str = "", **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if tag and not TAG.fullmatch(tag):
            raise TypeError(f"{cls.__name__}: the tag is {tag!r}; words.with_points/VERSION was expected")
        file = cls.__module__.rpartition(".")[2]
        if tag.startswith("fedsec.") and not cls.__module__.startswith("fedsec."):
            tag = f"{file}.{tag.rpartition('.')[2]}"
        cls.tag = tag or f"{file}.{cls.__qualname__}/1"
        known = RECORDS.get(cls.tag)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"two messages are called {cls.tag}: in {known.__module__} and in {cls.__module__}")
        RECORDS[cls.tag] = cls


class Message(Record):
    """What travels. Each field is `Annotated` with its `Exposure`; the class name is the name of the phase."""

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        """Numbers of this message that are uniform on [0, modulus), by name, for the wire check to test.

        Sealed bytes need no mention: they are tested always.
        """
        return {}


class State(Record):
    """What stays with a party between its steps. It is never sent, and never printed."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} redacted>"


def reject_unknown(request: Message) -> BadMessage:
    """The error for a request that a strategy does not know."""
    return BadMessage(f"this protocol has no phase {type(request).__name__}")
