"""Rows in text files, as they come: any compression, encoding, delimiter and decimal mark, each found out and said.

How a file is written is its own hospital's matter, and decides nothing that hospitals share: the cells that come out
are those of a CSV file in UTF-8 with decimal points.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from fedsec.errors import DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "strokes", " ": "blanks"}
UNPACKED: Mapping[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ\0": ("xz", lzma.decompress),
    b"PK\x03\x04": ("zip", lambda packed: _only_member(packed)),
}
"""By how a compressed file begins: its name, and what unpacks it."""
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
SAMPLE = 200


def read_text(path: Path) -> tuple[list[str], list[list[str]], str, list[str]]:
    """Names and columns of a text file, all cells words; its delimiter; and what of its form is worth a word.

    A column without a name has the name "". Raises OSError where the file cannot be read, and DataError, naming path,
    row and cure, where it is no table.
    """
    data, said = path.read_bytes(), list[str]()
    data = _unpacked(path, data, said)
    text = _decoded(path, data, said)
    delimiter = _delimiter(text)
    names, rows = _checked(path, text, delimiter)
    if delimiter != ",":
        said.append(f"{DELIMITERS[delimiter]} between cells")
    return names, _parsed(path, text, delimiter, len(names), rows), delimiter, said


def _unpacked(path: Path, data: bytes, said: list[str]) -> bytes:
    for mark, (name, unpack) in UNPACKED.items():
        if data.startswith(mark):
            try:
                data = unpack(data)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError) as error:
                raise DataError(f"data {path} is not a whole {name} file: {error}; write it anew") from error
            said.append(name)
            break
    return data


def _only_member(packed: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = [one.filename for one in archive.infolist() if not one.is_dir()]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files, and one was expected")
        try:
            return archive.read(names[0])
        except RuntimeError as error:  # encrypted
            raise ValueError(str(error)) from error


def _decoded(path: Path, data: bytes, said: list[str]) -> str:
    """The text, by its byte-order mark, as UTF-8, or as Windows writes Western European text."""
    marked = next((name for mark, name in MARKS.items() if data.startswith(mark)), "")
    for encoding in (marked,) if marked else ("utf-8", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        if encoding != "utf-8":
            said.append("UTF-8 with a byte-order mark" if encoding == "utf-8-sig" else f"encoding {encoding}")
        return text
    raise DataError(f"data {path} is not text in UTF-8, UTF-16 or Windows-1252: save it as CSV in UTF-8")


def _delimiter(text: str) -> str:
    """What stands between the cells: by it, the sample's rows have as many cells as the header, and the most."""
    best, most = ",", (False, 0)
    for delimiter in DELIMITERS:
        try:
            rows = list(islice(_lines(text, delimiter), SAMPLE))
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        beyond = {len(row) - width for row in rows[1:]}
        even = width > 1 and beyond in ({0}, {1})  # R may name its rows, without a name above
        if delimiter != " " or even:
            best, most = max((best, most), (delimiter, (even, width)), key=lambda one: one[1])
    return best


def _lines(text: str, delimiter: str) -> Iterator[list[str]]:
    """The rows that are not blank."""
    return filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _checked(path: Path, text: str, delimiter: str) -> tuple[list[str], int]:
    """The names in the header, and how many rows stand below; raises DataError where a row has other cells.

    Pandas fills short rows up in silence, so they are counted here first. R may write names of rows without a name
    above them: then the header is one cell short.
    """
    lines = _lines(text, delimiter)
    try:
        names, number = [name.strip() for name in next(lines, [])], 0
        for number, row in enumerate(lines, start=1):
            if number == 1 and len(row) == len(names) + 1 > 2:
                names = ["", *names]
            if len(row) != len(names):
                raise DataError(
                    f"data {path}, row {number} has {len(row)} cells, but the header has {len(names)}: quote text that "
                    "holds the delimiter"
                )
    except csv.Error as error:
        raise DataError(f"data {path} is not CSV: {error}; save it as CSV in UTF-8") from error
    return names, number


def _parsed(path: Path, text: str, delimiter: str, width: int, rows: int) -> list[list[str]]:
    import pandas

    if not rows:
        return [[] for _ in range(width)]
    names = list(range(width))
    try:
        frame = pandas.read_csv(
            io.StringIO(text), sep=delimiter, header=0, names=names, dtype=str, na_filter=False, index_col=False
        )
    except ValueError as error:  # pandas' own are of its kinds
        raise DataError(f"data {path} is not CSV: {error}; save it as CSV in UTF-8") from error
    if frame.shape != (rows, width):
        raise DataError(
            f"data {path}: {rows} rows were counted and {len(frame)} read: quote each cell that holds quotes or lines"
        )
    return [frame[name].tolist() for name in names]
