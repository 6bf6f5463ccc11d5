"""Identities in files: how a deployment pins who is who. Simulations need none of this."""

from __future__ import annotations

import os
from pathlib import Path

from fedsec.errors import ConfigurationError, expect, expect_path
from fedsec.primitives.randomness import Random
from fedsec.primitives.signing import SigningKey


def public_key(text: str) -> bytes:
    """An Ed25519 public key from 64 hexadecimal digits; raises ConfigurationError."""
    expect("public key", text, str, "a text of 64 hexadecimal digits")
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(f"a public key has 64 hexadecimal digits; {len(text.strip())} characters came")
    return key


def read_public_keys(path: Path) -> frozenset[bytes]:
    """The public keys in a file, one a line; blank lines and lines that start with # are skipped."""
    path = expect_path("the file of public keys", path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise _refused("file of public keys", path, "cannot be read", reason) from error
    keys = frozenset(public_key(line) for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not keys:
        raise _refused("file of public keys", path, "holds none")
    return keys


def write_identity(path: Path, rng: Random = os.urandom) -> SigningKey:
    """Make a new identity and write its secret to a file that only its owner may read; never over an existing file."""
    path, key = expect_path("the key file", path), SigningKey.generate(rng)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise _refused("key file", path, "exists already; an identity is never overwritten") from error
    except OSError as error:
        raise _refused("key file", path, "cannot be written", error.strerror) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.raw.hex() + "\n")
    return key


def read_identity(path: Path) -> SigningKey:
    """The identity in a key file; raises ConfigurationError where it is missing, malformed or readable by others."""
    path = expect_path("the key file", path)
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused("key file", path, "cannot be read") from error
    if mode & 0o077:
        raise _refused("key file", path, f"has permissions {mode & 0o777:o}; others may read it (use 600)")
    try:
        return SigningKey(bytes.fromhex(text.strip()))
    except (ValueError, ConfigurationError) as error:
        raise _refused("key file", path, "does not hold a key of 64 hexadecimal digits") from error


def _refused(what: str, path: Path, reason: str, cause: object = "") -> ConfigurationError:
    """For the hospital's own log, with the path; the server is told neither the path nor the cause."""
    text = f"the {what} {path} {reason}" + (f": {cause}" if cause else "")
    return ConfigurationError(text, public=f"the {what} {reason}")
