"""Identities in files: made once, for their owner's eyes, and refused in any other state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedsec.errors import ConfigurationError
from fedsec.party.identity import public_key, read_identity, read_public_keys, write_identity
from fedsec.primitives.signing import SigningKey


def test_an_identity_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    key = write_identity(path)
    assert read_identity(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert write_identity(tmp_path / "other") != key
    assert write_identity(tmp_path / "given", lambda count: bytes(count)).raw == bytes(32)


def test_a_generous_umask_changes_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_identity(tmp_path / "identity")
    finally:
        os.umask(before)
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o600


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    key = write_identity(path)
    with pytest.raises(ConfigurationError, match="exists already; an identity is never overwritten"):
        write_identity(path)
    assert read_identity(path) == key
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="exists already"):
        write_identity(link)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
        write_identity(tmp_path / "no" / "folder")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o606, 0o777, 0o601, 0o610])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity"
    write_identity(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{path} has permissions {mode:o}; others may read it"):
        read_identity(path)
    path.chmod(0o400)
    assert isinstance(read_identity(path), SigningKey)


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "ab" * 33, "ab" * 16 + "\n" + "ab" * 15, "ä"])
def test_a_file_that_is_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "identity"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=f"the key file {path} (does not hold|cannot be read)") as caught:
        read_identity(path)
    assert not text or text not in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_identity(tmp_path / "missing")


def test_public_keys_in_a_file(tmp_path: Path) -> None:
    keys = [SigningKey.generate(os.urandom).public for _ in range(3)]
    path = tmp_path / "hospitals"
    path.write_text(
        f"# the north\n{keys[0].hex()}\n\n  # the south\n  {keys[1].hex().upper()}  \n{keys[2].hex()}\n{keys[2].hex()}"
    )
    assert read_public_keys(path) == frozenset(keys)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "holds none"),
        (b"# nobody\n\n", "holds none"),
        (b"ab" * 31, "64 hexadecimal digits.*62 characters came"),
        (b"ab" * 32 + b" north", "64 hexadecimal digits"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_files_that_hold_no_public_keys(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "hospitals"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=text):
        read_public_keys(path)
    with pytest.raises(ConfigurationError, match="missing cannot be read: No such file"):
        read_public_keys(tmp_path / "missing")


@pytest.mark.parametrize("text", ["", "xy" * 32, "ab" * 31, "ab" * 33, "a" * 63])
def test_texts_that_are_no_public_key(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"64 hexadecimal digits.*{len(text)} characters came"):
        public_key(text)
    assert public_key(" " + "0f" * 32 + "\n") == b"\x0f" * 32
