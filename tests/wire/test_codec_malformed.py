"""Bytes that are no record give BadMessage, which says what is wrong, and nothing else."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedsec.errors import AuthenticationError, BadMessage
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import RECORDS, Message, Record, State
from fedsec.strategies import paillier, plain, shamir
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import Header, Session
from fedsec.wire.membership import Adopt
from tests.tiers import examples

PACKAGES = (paillier, plain, shamir)  # imported, so that their messages are known
INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(INTEGERS | TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=examples(300))
@given(tag=st.sampled_from(sorted(RECORDS)) | TEXTS | TREES, content=TREES, version=st.just(codec.VERSION) | TREES)
@example(tag=Message.tag, content=[], version=codec.VERSION)
@example(tag=State.tag, content=[], version=codec.VERSION)
@example(tag="fedsec.mean_spec/1", content=[-1.0, 10, [0.0, 1.0], {}, "n"], version=codec.VERSION)
def test_random_msgpack_gives_bad_message_or_a_record(tag: Any, content: Any, version: Any) -> None:
    try:
        assert isinstance(codec.decode(msgpack.packb([version, tag, content]), Record), Record)
    except BadMessage:
        return


@settings(max_examples=examples(300))
@given(data=st.binary(max_size=60))
@example(data=b"\x81\x90\x01")  # a list as a key
@example(data=b"\x93\x01\xa1x\xc7\x00\x05")  # an extension type
@example(data=b"\xdd\xff\xff\xff\xff")  # a list of 2**32 - 1 items
@example(data=b"\xa1\xff")  # text that is not UTF-8
def test_random_bytes_give_bad_message(data: bytes) -> None:
    for read in (lambda: codec.decode(data, Record), lambda: envelope.read(data), lambda: codec.unpack(data, 3)):
        try:
            read()
        except BadMessage:
            continue


@settings(max_examples=examples(300))
@given(place=st.integers(0, 10_000), change=st.integers(1, 255), cut=st.integers(0, 300), longer=st.binary(max_size=4))
def test_a_damaged_envelope_is_refused_or_fails_its_check(place: int, change: int, cut: int, longer: bytes) -> None:
    key = SigningKey(bytes(32))
    session = Session(b"run", 1, b"nonce", 1, "train", (1, 2, 3), bytes(32), bytes(32), bytes(32))
    whole = envelope.write(Header(session, plain.SendInput.tag, 0, 1), codec.encode(plain.SendInput()), key)
    envelope.read(whole).check(key.public)
    flipped = bytearray(whole)
    flipped[place % len(whole)] ^= change
    for damaged in (bytes(flipped), whole[:-cut] if cut else b"", whole[cut + 1 :], whole + (longer or b"\0")):
        try:
            received = envelope.read(damaged)
        except BadMessage:
            continue
        with pytest.raises(AuthenticationError):
            received.check(key.public)


def packed(array: Any, **changes: Any) -> bytes:
    content = {"version": codec.VERSION, "tag": plain.Input.tag, "fields": [array], **changes}
    data: bytes = msgpack.packb(list(content.values()))
    return data


GOOD = ["<u8", [2], bytes(16)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (packed(GOOD, version=3), "format version 3"),
        (packed(GOOD, version=None), "format: no version"),
        (packed(GOOD, tag="plain.output/1"), "plain.output/1"),
        (packed(GOOD, tag=7), "message 7"),
        (packed(GOOD, tag="fedsec.party_state/1"), "Message was expected"),
        (packed(GOOD, fields=[]), "plain.input/1 has 1 fields"),
        (packed(GOOD, fields=[GOOD, 1]), "plain.input/1 has 1 fields"),
        (packed(GOOD, fields={}), "plain.input/1 has 1 fields"),
        (packed(["<u4", [4], bytes(16)]), "array of <u8, and <u4 came"),
        (packed(["|O", [2], bytes(16)]), "array of <u8"),
        (packed([">u8", [2], bytes(16)]), "array of <u8"),
        (packed(["<u8", [3], bytes(16)]), "holds 16 bytes; shape \\(3,\\) needs 24"),
        (packed(["<u8", [-1], bytes(16)]), "must be an array"),
        (packed(["<u8", [-1, -2], bytes(16)]), "must be an array"),
        (packed(["<u8", [2.0], bytes(16)]), "must be an array"),
        (packed(["<u8", [True, 2], bytes(16)]), "must be an array"),
        (packed(["<u8", [1] * 33, bytes(8)]), "must be an array"),
        (packed(["<u8", [(1 << 64) - 1] * 20_000, b""]), "must be an array"),
        (packed(["<u8", [1 << 40], b""]), "needs 8796093022208"),
        (packed(["<u8", [0, 1 << 62], b""]), "cannot have shape"),
        (packed(["<u8", [0, (1 << 64) - 1], b""]), "cannot have shape"),
        (packed([1, 2]), "must be an array"),
        (packed(bytes(16)), "must be an array"),
        (packed([[[[1]]]]), "must be an array"),
        (packed(GOOD) + b"\0", "truncated or not msgpack"),
        (packed(GOOD)[:-1], "truncated or not msgpack"),
        (b"", "truncated or not msgpack"),
        (b"\x91" * 100_000, "list of 3 items"),
        (b"\x81\x01" * 100_000, "list of 3 items"),
        (packed(GOOD, tag=[[1]]), "the tag must be"),
        (packed(GOOD, tag="x" * 100_000), "message 'x{199}…; Message was expected"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, text: str) -> None:
    with pytest.raises(BadMessage, match=text):
        codec.decode(data, Message)


def test_sizes_are_capped_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadMessage, match="17 bytes received; the cap is 16"):
        codec.decode(b"\x91" * 17, Message, limit=16)
    big = Header(Session(b"", 0, b"", 0, "x" * (1 << 20), (), b"", b"", b""), "", 0, 1)
    with pytest.raises(BadMessage, match=f"cap is {1 << 20}"):
        envelope.read(envelope.write(big, b"", SigningKey(bytes(32))))
    monkeypatch.setattr(codec, "MAX_BYTES", 64)
    with pytest.raises(BadMessage, match="the cap is 64"):
        codec.encode(big)


def test_a_type_that_differs_is_refused_in_every_place() -> None:
    session = Session(b"r", 1, b"n", 1, "train", (1, 2, 3), b"", b"", b"")
    content = msgpack.unpackb(codec.encode(session))
    for place, wrong in enumerate([1, "1", "n", 1.0, b"train", {1: 2}, "", None, [b""]]):
        changed = [*content[2][:place], wrong, *content[2][place + 1 :]]
        with pytest.raises(BadMessage, match=f"{Session.tag}.{codec.schema(Session)[place].name} must be"):
            codec.decode(msgpack.packb([*content[:2], changed]), Session)
    for cohort in ([1, True], [1, None], [1, 2.0]):
        with pytest.raises(BadMessage, match="cohort"):
            codec.decode(msgpack.packb([*content[:2], [*content[2][:5], cohort, *content[2][6:]]]), Session)
    rosters: list[Any] = [{"1": []}, {1: {}}, {1: [b"", b""]}, [[1, []]]]
    for roster in rosters:
        with pytest.raises(BadMessage, match="fedsec"):
            codec.decode(msgpack.packb([codec.VERSION, Adopt.tag, [roster]]), Message)
