"""What is imported when: numba, Flower, Ray and the commands' modules wait until somebody needs them."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"flwr", "lifelines", "llvmlite", "matplotlib", "numba", "ray", "scipy", "sklearn", "statsmodels"}


def loaded(statement: str) -> set[str]:
    """The modules of a fresh process after a statement, whose own output goes to standard error."""
    code = f"""
import contextlib, json, sys
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    {statement}
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def command(*words: str) -> set[str]:
    """The modules of a fresh process after `fedsec` with these words."""
    return loaded(f"from fedsec.cli import main; sys.argv = {['fedsec', *words]!r}; main()")


def test_strategies_load_without_a_compiler() -> None:
    found = command("strategies", "--json")
    assert "fedsec.strategies.shamir" in found and "fedsec.strategies.paillier" in found
    assert not found & HEAVY
