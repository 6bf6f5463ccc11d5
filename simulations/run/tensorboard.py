"""A run's figures as TensorBoard event files, while it runs. tensorboard is an extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fedsec.errors import ConfigurationError
from fedsec.simulations.run.scalars import Listen, Scalars


@contextmanager
def tensorboard_writer(folder: Path | None) -> Iterator[Listen]:
    """Yields what writes a run's figures by round into `folder`, and ignores events where that is None."""
    if folder is None:
        yield lambda event: None
        return
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigurationError("tensorboard is not installed; run: pip install 'fedsec[tensorboard]'")
    from tensorboard.summary import Writer

    try:
        folder.mkdir(parents=True, exist_ok=True)
        writer = Writer(str(folder))
    except OSError as error:
        raise ConfigurationError(f"tensorboard {folder} cannot be written: {error.strerror}") from error

    def write(step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    try:
        yield Scalars(write)
    finally:
        writer.close()
