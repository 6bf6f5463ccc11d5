"""Memory that is freed stays with the process once it is to: in a process of its own, since it does not change back."""

import subprocess
import sys

import pytest

from fedsec.simulations.costs.measure import allocator

FAULTS = """
import numpy as np
from fedsec.simulations.costs.measure import allocator
if {keep}:
    allocator.keep_freed()
np.ones(1 << 23)
before = allocator.pages()
for _ in range(4):
    np.ones(1 << 23)
within = allocator.pages()
if {keep}:
    allocator.give_back()
np.ones(1 << 23)
print(within - before, allocator.pages() - within)
"""


def faults(keep: bool) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True)
    one, other = map(int, done.stdout.split())
    return one, other


@pytest.mark.skipif(allocator._library() is None, reason="not glibc")
def test_what_is_freed_stays_until_it_is_given_back() -> None:
    stays, given_back = faults(True)
    goes, _ = faults(False)
    assert goes > 40 > stays and given_back > 20


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "beos")
    allocator._library.cache_clear()
    allocator.keep_freed()
    allocator.give_back()
    assert allocator._library() is None
    allocator._library.cache_clear()
