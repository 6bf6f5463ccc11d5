"""The three products: one run, what strategies cost, and the poster's experiments."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedsec.simulations.run.notebook import run as run
