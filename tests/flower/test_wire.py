"""What leaves a hospital in real runs, tapped at the client: nothing in clear, for every strategy of the catalogue.

The same tap catches `plain`, and a masking strategy sabotaged in three ways; its honest twin passes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fedsec import catalog
from fedsec.simulations.run.launcher import flower_run, make_app
from fedsec.testing import leakage
from tests.conftest import TEXTBOOK

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "docs" / "examples" / "pairwise_masks.py"
MASKING = "from fedsec.primitives.prg import masks_into"
SABOTAGED = {
    "honest_masks": MASKING,
    "zero_masks": "masks_into = lambda vector, added, subtracted: None",
    "constant_masks": "import numpy as np\n\n\n"
    "def masks_into(vector, added, subtracted):\n"
    "    vector += np.int64((len(added) - len(subtracted)) << 40).astype(np.uint64)",
    "one_number_for_all": "from fedsec.primitives.prg import keystream_u64\n\n\n"
    "def masks_into(vector, added, subtracted):\n"
    "    for seed in added: vector += keystream_u64(seed, 1)\n"
    "    for seed in subtracted: vector -= keystream_u64(seed, 1)",
}


NAMES = [name for name in catalog.names() if name != TEXTBOOK]
"""One value a ciphertext would take hours; its messages are those of paillier."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, leakage.Recording]]:
    folder = tmp_path_factory.mktemp("wire")
    app = make_app(folder / "app", "wire_app:server", "wire_app:client", {"folder": "", "strategies": ""})
    shutil.copy(HERE / "wire_app.py", app)
    files = []
    for name, masking in SABOTAGED.items():
        files.append(folder / f"{name}.py")
        files[-1].write_text(EXAMPLE.read_text().replace(MASKING, masking))
    strategies = [*NAMES, *map(str, files)]
    config: dict[str, Any] = {"folder": str(folder), "strategies": ",".join(strategies)}
    environment = {catalog.FILES_VARIABLE: os.pathsep.join(map(str, files))}
    with flower_run(app, config, 3, environment=environment, timeout=300) as live:
        live.wait()
    found: dict[str, dict[str, leakage.Recording]] = {}
    for strategy in strategies:
        name = Path(strategy).stem
        catalog.strategy(strategy)  # the codec reads only messages of strategies that are loaded
        for data in ("one", "again", "other", "same_sum"):
            recording = found.setdefault(name, {}).setdefault(data, leakage.Recording())
            for file in sorted((folder / name / data).iterdir()):
                recording.add(file.read_bytes())
    return found


@pytest.mark.parametrize("name", [*(name for name in NAMES if catalog.strategy(name).private), "honest_masks"])
def test_a_secure_strategy_shows_nothing(recordings: dict[str, dict[str, leakage.Recording]], name: str) -> None:
    runs = recordings[name]
    assert len(runs["one"].leaves) > 50
    assert leakage.violations(runs["one"], runs["again"], runs["other"], runs["same_sum"]) == []
    assert runs["one"].numbers


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("plain", "public, and differs between runs or data"),
        ("zero_masks", "masked, and repeats itself"),
        ("constant_masks", "masked, and repeats itself"),
        ("one_number_for_all", "not uniform over the full range"),
    ],
)
def test_the_tap_catches_what_is_not(
    recordings: dict[str, dict[str, leakage.Recording]], name: str, complaint: str
) -> None:
    runs = recordings[name]
    found = leakage.violations(runs["one"], runs["again"], runs["other"], runs["same_sum"])
    assert any(complaint in violation for violation in found), found
