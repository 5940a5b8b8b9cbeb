"""Turns a body into what a handler's annotation asks for.

A decoder raises `InvalidMessage` for a body that does not fit, and its text says where and why in words of the type
alone: bodies are secrets, and the text goes to the journal, the log and the dead letter. For the same reason the
library's own error, which quotes the input, is not chained to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast, get_args, get_origin

from queue_runtime.plugins.errors import InvalidMessage, PluginError

__all__ = ["Decoder", "decoder_for"]

Decoder: TypeAlias = Callable[[bytes], object]

MAX_PROBLEMS = 3  # the first ones tell; a list of 500 broken items would only fill the dead letter

# Messages of pydantic that are made of the type alone. Others quote the input, or what a validator of the user's said.
_PYDANTIC_SAFE = frozenset(
    {
        "bool_parsing",
        "bool_type",
        "bytes_type",
        "dataclass_type",
        "date_type",
        "datetime_type",
        "dict_type",
        "enum",
        "extra_forbidden",
        "float_parsing",
        "float_type",
        "greater_than",
        "greater_than_equal",
        "int_from_float",
        "int_parsing",
        "int_type",
        "json_invalid",
        "less_than",
        "less_than_equal",
        "list_type",
        "literal_error",
        "missing",
        "model_type",
        "none_required",
        "string_pattern_mismatch",
        "string_too_long",
        "string_too_short",
        "string_type",
        "too_long",
        "too_short",
        "tuple_type",
    }
)
_MSGSPEC_SAFE = re.compile(r"Expected `|Object missing required field `|JSON is malformed|Input data was truncated")
_MSGSPEC_PATH = re.compile(r" - at `(\$[^`]*)`$")


def decoder_for(annotation: Any) -> Decoder:  # noqa: ANN401  an annotation may be anything
    """Choose how bodies become values of `annotation`.

    `bytes` are handed on as they are, `str` is UTF-8, `dict` a JSON object. A `msgspec.Struct` is decoded by msgspec,
    everything else - dataclass, pydantic model, list, union - by pydantic in its default mode, so fields
    that the type does not name are ignored. The libraries are imported when a handler asks for them.

    Raises:
        PluginError: neither library knows what to do with `annotation`.
    """
    if annotation is bytes:
        return bytes
    if annotation is str:
        return _decode_text
    if _is_plain_object(annotation):
        return _decode_object
    if hasattr(annotation, "__struct_fields__"):
        return _msgspec_decoder(annotation)
    return _pydantic_decoder(annotation)


def _is_plain_object(annotation: Any) -> bool:  # noqa: ANN401  as above
    origin = get_origin(annotation) or annotation
    return (origin is dict or origin is Mapping) and get_args(annotation) in ((), (str, object), (str, Any))


def _decode_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 from byte {error.start} on"
    raise InvalidMessage(problem)


def _decode_object(body: bytes) -> dict[str, object]:
    try:
        value: object = json.loads(body)
    except json.JSONDecodeError as error:
        problem = f"it is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 from byte {error.start} on"
    except (RecursionError, ValueError):
        problem = "it is JSON that nests too deeply or holds too long a number"
    else:
        if isinstance(value, dict):
            return cast("dict[str, object]", value)
        problem = "it is JSON, and not an object"
    raise InvalidMessage(problem)


def _msgspec_decoder(struct: type[object]) -> Decoder:
    import msgspec  # noqa: PLC0415  only a bot that uses it pays for it

    decoder = msgspec.json.Decoder(struct)

    def decode(body: bytes) -> object:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problem = _msgspec_problem(error)
        raise InvalidMessage(problem)

    return decode


def _msgspec_problem(error: Exception) -> str:
    text = str(error)
    # A cause is what a `__post_init__` or a hook of the user's raised: it may quote the input.
    if error.__cause__ is None and _MSGSPEC_SAFE.match(text):
        return text
    path = _MSGSPEC_PATH.search(text)
    return f"invalid value at `{path[1]}`" if path else "invalid value"


def _pydantic_decoder(annotation: Any) -> Decoder:  # noqa: ANN401  as above
    import pydantic  # noqa: PLC0415  a tenth of a second that a bot without typed payloads need not wait

    try:
        adapter = pydantic.TypeAdapter[object](annotation)
        adapter.rebuild(raise_errors=True)
    except (pydantic.PydanticUserError, pydantic.PydanticSchemaGenerationError, NameError) as error:
        msg = f"bodies cannot be decoded to {annotation!r}: {str(error).splitlines()[0]}"
        raise PluginError(msg) from error
    names = frozenset(_texts(adapter.core_schema))

    def decode(body: bytes) -> object:
        try:
            return adapter.validate_json(body)
        except pydantic.ValidationError as error:
            problem = _pydantic_problem(error, names)
        raise InvalidMessage(problem)

    return decode


def _pydantic_problem(error: Any, names: frozenset[str]) -> str:  # noqa: ANN401  the import is lazy
    listed = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [_pydantic_line(one["loc"], one["type"], one["msg"], names) for one in listed[:MAX_PROBLEMS]]
    if len(listed) > MAX_PROBLEMS:
        problems.append(f"and {len(listed) - MAX_PROBLEMS} more")
    return "; ".join(problems)


def _pydantic_line(location: tuple[int | str, ...], kind: str, message: str, names: frozenset[str]) -> str:
    # A part of the location may be a key of the input; what the type itself does not name is not shown.
    path = ".".join(str(part) if isinstance(part, int) or part in names else "*" for part in location)
    problem = message if kind in _PYDANTIC_SAFE else kind.replace("_", " ")
    return f"{path}: {problem}" if path else problem


def _texts(schema: object) -> Iterator[str]:
    """Every text in a schema, and with it every name that a field goes by."""
    if isinstance(schema, str):
        yield schema
    elif isinstance(schema, dict):
        for item in cast("dict[object, object]", schema).items():
            yield from _texts(item)
    elif isinstance(schema, list | tuple):
        for item in cast("Sequence[object]", schema):
            yield from _texts(item)
