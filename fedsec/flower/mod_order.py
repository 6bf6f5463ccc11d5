"""Mods that stand before `secure_aggregation` among a client's mods: they would see no arrays, and are refused.

Replies to the server are messages of the protocol, so a mod in front that clips or adds noise would do nothing, without
a word. Flower tells no mod of the others; but it calls each inside the one before it, so that the mods in front are on
the call stack. Where a release of Flower calls them otherwise, nothing is found and nothing refused.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

from fedsec.errors import ConfigurationError

ALLOWED = "needs_arrays"
"""A mod that has this attribute, and it is False, may stand in front."""


class ModOrderError(ConfigurationError):
    """A mod stands before `secure_aggregation`, where it cannot do its work."""


def check(ours: Callable[..., Any]) -> None:
    """Raise ModOrderError where mods stand in front of `ours`, which must be calling this, and could need arrays.

    Flower's mods that log sizes may stay there, and mods that say `needs_arrays = False`.
    """
    before = list(_calling())[1:]  # the innermost is ours, or a user's switch around it
    if any(mod is ours for mod in before):
        raise ModOrderError(f"{ours.__name__} is twice among this client's mods; once is enough")
    if names := ", ".join(_name(mod) for mod in reversed(before) if not _allowed(mod)):
        raise ModOrderError(
            f"before {ours.__name__} among this client's mods: {names}. Replies hold no arrays there, so clipping or "
            f"noise would be missing. Write mods=[{ours.__name__}, {names}]; a mod that needs no arrays says so by its "
            f"attribute {ALLOWED} = False"
        )


def _calling() -> Iterator[object]:
    """The mods that are being called at this moment, the innermost first."""
    link = _link()
    frame: FrameType | None = sys._getframe() if link and hasattr(sys, "_getframe") else None
    while link and frame is not None:
        if _place(frame.f_code) == link[0]:
            yield frame.f_locals.get(link[1])
        frame = frame.f_back


@functools.cache
def _link() -> tuple[tuple[str, str, int], str] | None:
    """The function by which Flower calls a mod, and its variable that holds the mod; None where there is none such."""

    def probe(message: Any, context: Any, call_next: Any) -> Any:
        return call_next(message, context)

    try:
        from flwr.client.mod.utils import make_ffn

        called: Any = make_ffn(lambda message, context: message, [probe])
        held = zip(called.__code__.co_freevars, called.__closure__, strict=True)
        return _place(called.__code__), next(name for name, cell in held if cell.cell_contents is probe)
    except Exception:
        return None


def _place(code: CodeType) -> tuple[str, str, int]:
    """Where code stands: an app that Ray sends to its workers is a copy, whose code is another object."""
    return code.co_filename, code.co_name, code.co_firstlineno


def _allowed(mod: object) -> bool:
    if getattr(mod, ALLOWED, True) is False:
        return True
    if isinstance(mod, functools.partial):
        return _allowed(mod.func)
    return any(mod is known for known in _logging_sizes())


def _logging_sizes() -> list[object]:
    """Flower's mods that look at messages and change none, as far as this release has them."""
    try:
        from flwr.clientapp import mod
    except ImportError:
        return []
    return [found for name in ("message_size_mod", "arrays_size_mod") if (found := getattr(mod, name, None))]


def _name(mod: object) -> str:
    """As it would stand in a list of mods: a function's name, or a class's with (...)."""
    if isinstance(mod, functools.partial):
        return f"partial({_name(mod.func)}, ...)"
    name = getattr(mod, "__name__", None)
    return name if isinstance(name, str) else f"{type(mod).__name__}(...)"
