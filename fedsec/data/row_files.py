"""Which files of a folder hold rows, which do not, and whether one was rewritten since it was read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = (".csv", ".tsv", ".xlsx", ".dta", ".xpt", ".sav", ".parquet", ".feather")
"""The formats of files of rows; `file_formats` reads them."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
HIDDEN = (".", "~$")
"""How names of files begin that a system or an office program leaves beside the real ones."""
MOST_NAMED = 8


def format_of(path: Path) -> str:
    """The suffix of a file's format in small letters, also of a compressed one: `.csv` of rows.csv.gz."""
    name = path.name.lower()
    packed = next((end for end in COMPRESSED if name.endswith(end)), "")
    return Path(name.removesuffix(packed)).suffix


def name_of(path: Path) -> str:
    """A file's name without the suffixes of its format and its compression."""
    packed = path.suffix.lower() in COMPRESSED
    return Path(path.stem).stem if packed else path.stem


def row_files(path: Path) -> tuple[list[Path], list[Path]]:
    """What a folder holds, by name: the files of rows, and all else: hidden and temporary files, and other suffixes."""
    everything = sorted(path.iterdir())
    files = [one for one in everything if format_of(one) in SUFFIXES and not one.name.startswith(HIDDEN)]
    return files, [one for one in everything if one not in files]


def not_read(others: Sequence[Path]) -> str:
    """What is not read and why, the first names of each kind."""
    hidden = [one.name for one in others if one.name.startswith(HIDDEN)]
    foreign = [one.name for one in others if not one.name.startswith(HIDDEN)]
    parts = (
        f"{', '.join(names[:MOST_NAMED])}{f' and {len(names) - MOST_NAMED} more' * (len(names) > MOST_NAMED)} ({why})"
        for names, why in ((hidden, "hidden or temporary"), (foreign, f"none of {', '.join(SUFFIXES)}"))
        if names
    )
    return "; ".join(parts)


def fingerprint(*paths: str) -> str:
    """A digest of all that is read from these files and folders, in hex: another one where a file was rewritten.

    By content: a file can be rewritten with the same size within the resolution of its time. What cannot be read has
    a digest of its own; to read it then says why.
    """
    digest = hashlib.sha256()
    for text in paths:
        try:
            path = Path(text).expanduser()
            for one in row_files(path)[0] if path.is_dir() else [path]:
                if one.exists() and not one.is_file():
                    continue  # a pipe can be read once only
                with one.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest() + str(one).encode("utf-8", "replace"))
        except (OSError, RuntimeError, ValueError) as error:
            digest.update(repr(error).encode("utf-8", "replace"))
    return digest.hexdigest()
