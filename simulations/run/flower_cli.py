"""What Flower's command line needs and says: its environment, an app folder, and its answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from fedsec.errors import ConfigurationError, RunFailed

Value = str | int | float | bool

_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",  # seconds; a run that is submitted waits for the next look
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else each run warns about a future default
    "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(1 << 30),
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",  # a container's /dev/shm is often 64 MB: use the temporary folder
    "RAY_prestart_worker_first_driver": "0",  # workers that would idle: actors start their own
    "RAY_enable_worker_prestart": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_register_timeout_seconds": "180",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
}
_FOREIGN = re.compile(r"FLWR_|RAY_ADDRESS$|RAY_NAMESPACE$|RAY_TMPDIR$")  # would lead to somebody else's run
LONGEST_RAY_ROOT = 24
"""Characters: Ray's sockets lie some 75 deeper, and the system allows 107 (macOS: 103)."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def make_app(folder: Path, serverapp: str, clientapp: str, config: Mapping[str, Value]) -> Path:
    """Write a Flower app that is a pyproject.toml alone: its two components live in installed packages.

    `config` declares every key that a run may set, with its default. Flower looks for the component's attribute in
    the module's source, as a plain assignment: `server = ServerApp()`, without an annotation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    project = {
        "project": {"name": "fedsec-run", "version": "1", "description": "One run of fedsec", "license": "Apache-2.0"},
        "tool": {
            "flwr": {
                "app": {
                    "publisher": "fedsec",
                    "components": {"serverapp": serverapp, "clientapp": clientapp},
                    "config": dict(config),
                }
            }
        },
    }
    (folder / "pyproject.toml").write_bytes(toml(project))
    return folder


def toml(table: Mapping[str, Any]) -> bytes:
    """The table as TOML, where strings of every kind survive."""
    try:
        return tomli_w.dumps(table).encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"{error.object!r} is not text that a configuration can hold") from None


def check(app: Path, run_config: Mapping[str, Value], hospitals: int) -> None:
    """Refuse, before anything starts, what Flower would refuse in the middle or misread."""
    try:
        declared = tomllib.loads((app / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise ConfigurationError(f"{app} is not a Flower app: no pyproject.toml with [tool.flwr.app]") from None
    known = _flat(declared.get("config", {}))
    for key, value in run_config.items():
        if key not in known:
            raise ConfigurationError(f"the app does not declare the run-config key {key!r} (it has {sorted(known)})")
        if type(value) not in (str, int, float, bool) or (type(value) is int and not -(2**63) <= value < 2**63):
            raise ConfigurationError(f"run-config {key} = {value!r} is not a string, number or truth value of Flower's")
    if hospitals < 1:
        raise ConfigurationError(f"a federation needs at least one hospital, not {hospitals}")


def _flat(table: Mapping[str, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in table.items():
        keys |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key}
    return keys


def new_home() -> Path:
    """A fresh folder under the system's temporary one, at a path without symbolic links."""
    return Path(tempfile.mkdtemp(prefix="fedsec-")).resolve()


def environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of each of the run's processes: ours without what leads to another run, and offline."""
    inherited = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    local = ",".join(filter(None, [inherited.get("no_proxy", ""), "127.0.0.1", "localhost"]))
    settings = {**_SETTINGS, "no_proxy": local, "NO_PROXY": local, "PATH": _search_path()}
    if len(str(home)) <= LONGEST_RAY_ROOT:
        settings["RAY_TMPDIR"] = str(home)
    return {**inherited, **settings, **more, "FLWR_HOME": str(home)}


def executable(name: str) -> str:
    """The full path of one of Flower's commands, which need not be on the user's PATH."""
    found = shutil.which(name, path=_search_path())
    if found is None:
        raise ConfigurationError(f"the command {name!r} of Flower was not found beside {sys.executable}")
    return found


def _search_path() -> str:
    schemes = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))]
    return os.pathsep.join([str(Path(sys.executable).parent), *schemes, os.environ.get("PATH", os.defpath)])


def answer(command: str, output: str, complaints: str) -> dict[str, Any]:
    """The JSON object that a command of Flower's printed; its exit code says nothing."""
    try:
        said = json.loads(output[output.index("{") :])
    except ValueError:
        raise RunFailed(f"`{command}` failed: {last_line(complaints or output)}") from None
    if not isinstance(said, dict) or not said.get("success"):
        raise RunFailed(f"`{command}` failed: {last_line(str(said.get('error-message', said)))}")
    return said


def plain(text: str) -> str:
    """The text without colour codes and carriage returns."""
    return _COLOUR.sub("", text).replace("\r", "")


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
