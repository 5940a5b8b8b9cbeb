"""From a type annotation to a function that rebuilds its value from what msgpack returns, and refuses all else.

Built once a type, at import; what comes back from a file is never trusted to have the right type.
"""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import NamedTuple, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["Rebuild", "field_types", "items_of", "rebuilder"]

Rebuild = Callable[[object], object]
"""Takes what msgpack unpacked, returns the value; raises ValueError if it is not one."""

_SCALARS: tuple[object, ...] = (str, int, bool, float, bytes, type(None))


def field_types(cls: type) -> dict[str, object]:
    """Return the type of every field of a dataclass or a named tuple, in order."""
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls)] if is_dataclass(cls) else cast("type[NamedTuple]", cls)._fields
    return {name: hints[name] for name in names}


def rebuilder(annotation: object, special: Mapping[object, Rebuild]) -> Rebuild:
    """Return the function that rebuilds values of `annotation`; `special` overrides it for some types.

    Raises:
        TypeError: the annotation is of a kind that no event uses; the programmer's mistake.
    """
    if annotation in special:
        return special[annotation]
    if annotation in _SCALARS:
        return _exactly(cast("type", annotation))
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _either(args, special)
    if origin is tuple:
        return _tuple_of(args, special)
    if origin in (Mapping, dict, OrderedDict):
        container = OrderedDict if origin is OrderedDict else dict
        return _mapping_of(container, rebuilder(args[0], special), rebuilder(args[1], special))
    if origin is frozenset:
        return _set_of(rebuilder(args[0], special))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return annotation
    if isinstance(annotation, type) and (is_dataclass(annotation) or issubclass(annotation, tuple)):
        return _record_of(cast("type", annotation), special)
    msg = f"no rule to store {annotation!r}; add one to {__name__}"
    raise TypeError(msg)


def _exactly(scalar: type) -> Rebuild:
    def rebuild(value: object) -> object:
        if type(value) is not scalar:  # a bool is no int here
            msg = f"{type(value).__name__} where {scalar.__name__} belongs"
            raise ValueError(msg)
        return value

    return rebuild


def _either(args: tuple[object, ...], special: Mapping[object, Rebuild]) -> Rebuild:
    others = [arg for arg in args if arg is not type(None)]
    if len(others) != 1 or len(others) == len(args):
        msg = f"only unions with None can be told apart when read back, not {args!r}"
        raise TypeError(msg)
    inner = rebuilder(others[0], special)

    def rebuild(value: object) -> object:
        return None if value is None else inner(value)

    return rebuild


def _tuple_of(args: tuple[object, ...], special: Mapping[object, Rebuild]) -> Rebuild:
    if args[1:] == (...,):
        each = rebuilder(args[0], special)

        def rebuild_all(value: object) -> object:
            return tuple(map(each, items_of(value)))

        return rebuild_all
    inner = [rebuilder(arg, special) for arg in args]

    def rebuild(value: object) -> object:
        return tuple(one(item) for one, item in zip(inner, items_of(value), strict=True))

    return rebuild


def _mapping_of(container: Callable[..., object], key: Rebuild, item: Rebuild) -> Rebuild:
    def rebuild(value: object) -> object:
        if not isinstance(value, dict):
            msg = f"{type(value).__name__} where a mapping belongs"
            raise ValueError(msg)  # noqa: TRY004 - one error type for whatever is wrong with stored bytes
        entries = cast("dict[object, object]", value)
        return container((key(name), item(entry)) for name, entry in entries.items())

    return rebuild


def _set_of(each: Rebuild) -> Rebuild:
    def rebuild(value: object) -> object:
        return frozenset(map(each, items_of(value)))

    return rebuild


def _record_of(cls: type, special: Mapping[object, Rebuild]) -> Rebuild:
    inner = [rebuilder(annotation, special) for annotation in field_types(cls).values()]

    def rebuild(value: object) -> object:
        return cls(*(one(item) for one, item in zip(inner, items_of(value), strict=True)))

    return rebuild


def items_of(value: object) -> tuple[object, ...]:
    """Return a sequence that msgpack unpacked.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, tuple):
        msg = f"{type(value).__name__} where a sequence belongs"
        raise ValueError(msg)  # noqa: TRY004 - as above
    return cast("tuple[object, ...]", value)
