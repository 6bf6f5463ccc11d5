"""The app's bundle as this process sees it: the SHA-256 of the files that Flower installed and runs.

A hospital's mod compares it with the agreement. It is code of the same process, so it finds an honest mistake and a
server that forgot to cover its tracks; what keeps a malicious bundle out is that the SuperNode verifies signatures
(`flower-supernode --trusted-entities`).
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from flwr.common.constant import APP_DIR, FAB_CONFIG_FILE
from flwr.supercore.utils import get_flwr_home

from fedsec.errors import ConfigurationError, expect_path
from fedsec.wire import codec

_MADE_HERE = "__pycache__"
_INFO = ".info"


def installed() -> str:
    """The digest, in hexadecimal, of the app that this process runs; "" where it runs from no installed bundle."""
    apps = (get_flwr_home() / APP_DIR).resolve()
    for entry in sys.path:
        folder = Path(entry).resolve()
        if folder.parent == apps:
            return digest_of_folder(folder)
    return ""


def digest_of_app(path: Path) -> str:
    """The digest of what Flower installs of an app: of a .fab file, or of a folder, which is packed as Flower does.

    Raises ConfigurationError where it is no app.
    """
    path = expect_path("the app", path).expanduser()
    return _digest(packed(path)) if path.is_dir() else digest_of_fab(path)


def packed(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files that Flower packs of an app's folder, by name; raises ConfigurationError where it is no app."""
    if not (path / FAB_CONFIG_FILE).is_file():
        raise ConfigurationError(f"the app {path} has no {FAB_CONFIG_FILE}: name the folder that `flwr run` is given")
    from flwr.cli.build import build_fab_from_disk  # of the command line: a hospital's node does without

    try:
        data = build_fab_from_disk(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the app {path} cannot be packed: {error}; `flwr build` says why") from error
    yield from _unzipped(io.BytesIO(data))


def digest_of_folder(folder: Path) -> str:
    """The digest of an app's folder as Flower installs it: of all files but Python's caches."""
    return _digest(_files(expect_path("the app", folder)))


def digest_of_fab(path: Path) -> str:
    """The digest of what a `.fab` file installs; raises ConfigurationError where it is none."""
    path = expect_path("the bundle", path)
    try:
        return _digest(_unzipped(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"the bundle {path} cannot be read: {error}; `flwr build` writes a .fab file"
        ) from error


def _unzipped(source: Path | IO[bytes]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(source) as file:
        for name in file.namelist():
            if not name.endswith("/") and not name.startswith(f"{_INFO}/"):
                yield name, file.read(name)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and _MADE_HERE not in parts:
            yield "/".join(parts), path.read_bytes()


def _digest(files: Iterator[tuple[str, bytes]]) -> str:
    listed = sorted((name, hashlib.sha256(data).digest()) for name, data in files)
    return hashlib.sha256(b"fedsec bundle" + codec.pack([list(entry) for entry in listed])).hexdigest()
