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
    strategy = str(Path(__file__).with_name("NAME.py"))
"""


SABOTAGED = [
    ("return state, Masked(masked)", "return state, Masked(x)", "test_nothing_in_clear_on_the_wire"),
    ("at_least=len(clients)", "at_least=2", "test_dropouts_phase_by_phase"),
    ("total(reply.vector", "total(2 * reply.vector", "test_the_largest_sum_is_exact"),
    ("Costs:", "Price:", "test_opens_with_the_five_lines"),
]
"""What is changed in an honest file, to what, and the test that must fail then."""


def project(folder: Path, source: str) -> Path:
    """A folder with the file of a strategy, of the same name, and its test."""
    folder.mkdir()
    (folder / f"{folder.name}.py").write_text(source)
    test = folder / "test_mine.py"
    test.write_text(TEST.replace("NAME", folder.name))
    return test


def conformance(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.exhaustive  # in the suite, tests/cli/test_scaffold.py runs the conformance of a new file
def test_an_honest_file_passes(tmp_path: Path) -> None:
    done = conformance(tmp_path, str(project(tmp_path / "honest", EXAMPLE.read_text())))
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) >= len([name for name in dir(Conformance) if name.startswith("test_")])


def passed(output: str) -> int:
    """How many tests passed; none was skipped or failed."""
    found = re.search(r"^(\d+) passed in", output, re.MULTILINE)
    return int(found[1]) if found else 0


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """Each in a project of its own, in one session of pytest; of a test with several cases, one fails at least."""
    source, tests = EXAMPLE.read_text(), []
    for number, (honest, sabotaged, failing) in enumerate(SABOTAGED):
        assert honest in source
        file = project(tmp_path / f"sabotaged_{number}", source.replace(honest, sabotaged))
        tests.append(f"{file.relative_to(tmp_path)}::TestMine::{failing}")
    done = conformance(tmp_path, *tests)
    assert done.returncode == 1
    failed = done.stdout.partition("short test summary")[2]
    assert not [test for test in tests if f"FAILED {test}" not in failed], done.stdout
