"""A configuration as the command line that asks for it, to be shown to others: with names of files, not their paths."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from fedsec.app.config import RunConfig, flag_of
from fedsec.strategy_spec import StrategySpec

NOT_SHOWN = ("strategy", "parameters", "output", "identity", "agreement")


def command(config: RunConfig) -> str:
    """`fedsec run` with the options that are not the default, as a shell reads it.

    A run has set some of them itself, such as the number of hospitals.
    """
    spec = StrategySpec.from_json(config.strategy, config.parameters)
    words = ["fedsec", "run", "--strategy", str(spec)]
    for name, field in RunConfig.model_fields.items():
        value = getattr(config, name)
        if name in NOT_SHOWN or value == field.default:
            continue
        extra: Any = field.json_schema_extra
        shown = Path(value).name if extra["path"] else f"{value:g}" if isinstance(value, float) else str(value)
        words += [f"--{flag_of(name)}", *([] if value is True else [shown])]
    return shlex.join(words)
