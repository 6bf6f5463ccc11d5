"""A third party's strategy, in one file of its own project, passes `fedsec.testing`; a dishonest one does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedsec.testing import Conformance

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "pairwise_masks.py"
TEST = """
from pathlib import Path

from fedsec.testing import Conformance


class TestMine(Conformance):
    strategy = str(Path(__file__).with_name("mine.py"))
"""


def conformance(folder: Path, source: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "mine.py").write_text(source)
    (folder / "test_mine.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_an_honest_file_passes(tmp_path: Path) -> None:
    done = conformance(tmp_path, EXAMPLE.read_text())
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) >= len([name for name in dir(Conformance) if name.startswith("test_")])


def passed(output: str) -> int:
    """How many tests passed; none was skipped or failed."""
    found = re.search(r"^(\d+) passed in", output, re.MULTILINE)
    return int(found[1]) if found else 0


@pytest.mark.parametrize(
    ("honest", "sabotaged", "failing"),
    [
        ("return state, Masked(masked)", "return state, Masked(x)", "test_nothing_in_clear_on_the_wire"),
        ("at_least=len(clients)", "at_least=2", "test_dropouts_phase_by_phase"),
        ("total(reply.vector", "total(2 * reply.vector", "test_sums_exactly"),
        ("Costs:", "Price:", "test_opens_with_the_five_lines"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, honest: str, sabotaged: str, failing: str) -> None:
    source = EXAMPLE.read_text()
    assert honest in source
    done = conformance(tmp_path, source.replace(honest, sabotaged), "-k", failing)
    assert done.returncode == 1
    assert failing in done.stdout.partition("short test summary")[2]
