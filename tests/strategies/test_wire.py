"""The wire check catches a masking strategy that is sabotaged in three ways; its honest twin passes.

Each runs in process here, as every strategy does in the conformance suite; flower/test_two_lines.py taps a real run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsec import catalog
from fedsec.testing.conformance import wire_violations

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "pairwise_masks.py"
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


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("honest_masks", ""),
        ("zero_masks", "masked, and repeats itself"),
        ("constant_masks", "masked, and repeats itself"),
        ("one_number_for_all", "not uniform over the full range"),
    ],
)
def test_the_tap_catches_what_is_not_masked(tmp_path: Path, name: str, complaint: str) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text(EXAMPLE.read_text().replace(MASKING, SABOTAGED[name]))
    found = wire_violations(catalog.strategy(str(file))(), values=2000)
    assert any(complaint in violation for violation in found) if complaint else not found, found
