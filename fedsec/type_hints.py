"""Type hints as they stand once every alias is replaced by what it names.

Releases of Python and of libraries differ in how they write one type: `NDArray[np.uint32]` is `np.ndarray[...]` itself
up to NumPy 2.4, and from 2.5 an alias that only names it. Whoever takes a hint apart calls `resolved` first.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, TypeVarTuple, Union, Unpack, get_args, get_origin


def resolved(hint: Any) -> Any:
    """The same type without aliases (PEP 695), at any depth: those of `type X = ...`, with parameters or without.

    An alias of an `Annotated` type adds its notes to those around it. Raises TypeError on an alias that names itself,
    and NameError on one that names what does not exist.
    """
    return _resolved(hint, ())


def _resolved(hint: Any, within: tuple[Any, ...]) -> Any:
    """`within` are the aliases whose values are being resolved."""
    origin, arguments = get_origin(hint), get_args(hint)
    known = [_resolved(argument, within) for argument in arguments[: 1 if origin is Annotated else None]]
    alias = hint if origin is None else origin
    if _is_alias(alias):
        if any(alias is outer for outer in within):
            raise TypeError(f"the type {alias} names itself; write out what it stands for")
        return _resolved(_value(alias, known), (*within, alias))
    if all(new is old for new, old in zip(known, arguments, strict=False)):
        return hint
    if origin is Annotated:
        return Annotated[(known[0], *arguments[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(known)]  # noqa: UP007 (the members are not known here)
    return origin[tuple(known)]


def _is_alias(hint: Any) -> bool:
    """By what an alias has, since its class is another one in each release, and Python 3.11 has none of its own."""
    return hasattr(hint, "__value__") and hasattr(hint, "__type_params__")


def _value(alias: Any, arguments: list[Any]) -> Any:
    """What an alias names, with its parameters replaced by `arguments`, in the order in which it declares them.

    The value may use its parameters in another order, twice or not at all, or be one itself: so it is subscribed as the
    last item of a tuple that begins with all of them.
    """
    if not arguments:
        return alias.__value__
    parameters = [Unpack[one] if isinstance(one, TypeVarTuple) else one for one in alias.__type_params__]
    return get_args(types.GenericAlias(tuple, (*parameters, alias.__value__))[tuple(arguments)])[-1]
