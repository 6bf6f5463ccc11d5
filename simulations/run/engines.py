"""The engines that run rounds, by name."""

from __future__ import annotations

from enum import StrEnum


class Engine(StrEnum):
    """Where rounds are run: in this process, or under Flower on Ray."""

    LOCAL = "local"
    FLOWER = "flower"
