import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.plugins import Context, InvalidMessage, PluginError, RouteOptions
from queue_runtime.plugins.payloads import decoder_for
from queue_runtime.plugins.signatures import handler_of
from tests.plugins.doubles import context_of

SECRET = "s3cr3t-planted"


@dataclass(frozen=True)
class Pull:
    number: int
    state: Literal["open", "closed"] = "open"


@dataclass(frozen=True)
class PullEvent:
    pull: Pull


class PullStruct(msgspec.Struct):
    number: int
    state: Literal["open", "closed"] = "open"


class PullModel(pydantic.BaseModel):
    number: Annotated[int, pydantic.Field(alias="num")]
    state: Literal["open", "closed"] = "open"


class Picky(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = ""
    by_name: dict[str, int] = pydantic.Field(default_factory=dict[str, int])

    @pydantic.field_validator("name")
    @classmethod
    def refuse(cls, value: str) -> str:
        msg = f"{value} will not do"
        raise ValueError(msg)


class PickyStruct(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    by_name: dict[str, int] = {}
    state: Literal["open", "closed"] = "open"

    def __post_init__(self) -> None:
        if self.name:
            msg = f"{self.name} will not do"
            raise ValueError(msg)


class Unfinished(pydantic.BaseModel):
    part: "Missing"  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (bytes, b"\xff{", b"\xff{"),
        (str, "Grüße".encode(), "Grüße"),
        (dict, b'{"a": [1]}', {"a": [1]}),
        (dict[str, Any], b'{"a": [1]}', {"a": [1]}),
        (Mapping[str, object], b"{}", {}),
        (Pull, b'{"number": 1, "more": 2}', Pull(1)),
        (PullEvent, b'{"pull": {"number": 1}}', PullEvent(Pull(1))),
        (PullStruct, b'{"number": 1, "more": 2}', PullStruct(1)),
        (PullModel, b'{"num": 1, "more": 2}', PullModel.model_validate({"num": 1})),
        (list[Pull], b'[{"number": 1}]', [Pull(1)]),
        (dict[str, int], b'{"a": 1}', {"a": 1}),
        (Pull | None, b"null", None),
        (Annotated[int, pydantic.Field(gt=3)], b"4", 4),
    ],
)
def test_a_body_becomes_what_the_annotation_asks_for(annotation: object, body: bytes, value: object) -> None:
    """Every documented kind of payload is decoded."""
    assert decoder_for(annotation)(body) == value


@pytest.mark.parametrize(
    ("annotation", "body", "reason"),
    [
        (str, b"ab\xff", "it is not UTF-8 from byte 2 on"),
        (dict, b'{"a":\n }', "it is not JSON: Expecting value at line 2 column 2"),
        (dict, b"\xff", "it is not UTF-8 from byte 0 on"),
        (dict, b"[1]", "it is JSON, and not an object"),
        (dict, b"[" * 100_000, "nests too deeply"),
        (dict, b'{"a": ' + b"1" * 5000 + b"}", "too long a number"),
        (Pull, b"{", "Invalid JSON: EOF while parsing"),
        (Pull, b"{}", "number: Field required"),
        (PullEvent, b'{"pull": {"number": "x"}}', "pull.number: Input should be a valid integer"),
        (list[Pull], b'[{"number": 1}, {}]', "1.number: Field required"),
        (PullModel, b"{}", "num: Field required"),
        (Pull, b'{"number": 1, "state": "x"}', "state: Input should be 'open' or 'closed'"),
        (list[int], b'["a", "b", "c", "d", "e"]', "and 2 more"),
        (Pull, b"[" * 100_000, "Invalid JSON"),
        (PullStruct, b"{", "Input data was truncated"),
        (PullStruct, b"{]", "JSON is malformed"),
        (PullStruct, b"{}", "Object missing required field `number`"),
        (PullStruct, b'{"number": "x"}', "Expected `int`, got `str` - at `$.number`"),
        (PullStruct, b'{"number": 1, "state": "x"}', "invalid value at `$.state`"),
        (PullStruct, b'{"state": "\xff"}', "invalid value"),
    ],
)
def test_a_body_that_does_not_fit_is_an_invalid_message_that_says_why(
    annotation: object, body: bytes, reason: str
) -> None:
    """The reason names the place and the fault, for whoever reads the dead letter."""
    with pytest.raises(InvalidMessage) as raised:
        decoder_for(annotation)(body)

    assert reason in str(raised.value)


@pytest.mark.parametrize("annotation", [Picky, PickyStruct])
@pytest.mark.parametrize(
    "body",
    [
        {"name": SECRET},
        {SECRET: 1},
        {"by_name": {SECRET: SECRET}},
        {"by_name": SECRET},
        {"state": SECRET},
        SECRET,
        [SECRET],
    ],
)
def test_the_reason_quotes_nothing_of_the_body(annotation: object, body: object) -> None:
    """Neither values nor keys of the input get into the text, also not through a validator that quotes them."""
    with pytest.raises(InvalidMessage) as raised:
        decoder_for(annotation)(json.dumps(body).encode())

    assert SECRET not in str(raised.value)
    assert raised.value.__context__ is None


def reason_of(annotation: object, body: bytes) -> str:
    """Say why `body` is refused; nothing if it is not."""
    try:
        decoder_for(annotation)(body)
    except InvalidMessage as error:
        return str(error)
    return ""


@given(
    annotation=st.sampled_from([Pull, PullEvent, PullStruct, PullModel, Picky, PickyStruct, dict, str, list[int]]),
    before=st.binary(max_size=12),
    after=st.binary(max_size=12),
)
def test_whatever_the_bytes_the_reason_quotes_nothing_of_them(annotation: object, before: bytes, after: bytes) -> None:
    """Any body decodes or is an invalid message; nothing else is raised, and nothing of it is shown."""
    assert SECRET not in reason_of(annotation, before + SECRET.encode() + after)


@pytest.mark.parametrize("annotation", [asyncio.Event, Unfinished])
def test_a_type_that_cannot_be_decoded_is_refused(annotation: object) -> None:
    """A handler that no body would ever reach stops the bot at start-up."""
    with pytest.raises(PluginError, match="bodies cannot be decoded to"):
        decoder_for(annotation)


async def test_each_shape_of_signature_gets_what_it_asks_for() -> None:
    """A handler takes the event, the context, or both; async or not."""

    def both(event: Pull, ctx: Context) -> object:
        return event, ctx.attempt

    def alone(event: Pull) -> object:
        return event

    def neither(ctx: Context) -> object:
        return ctx.body

    async def awaited(event: Pull, ctx: Context) -> object:
        return event, ctx.attempt

    ctx = context_of({"number": 17})
    handlers = [handler_of(function, RouteOptions()) for function in (both, alone, neither, awaited)]
    results = [handler.call(ctx) for handler in handlers]

    assert results[:3] == [(Pull(17), 1), Pull(17), b'{"number": 17}']
    assert await cast("Any", results[3]) == (Pull(17), 1)
    assert [handler.is_async for handler in handlers] == [False, False, False, True]


def test_a_bound_method_can_be_a_handler() -> None:
    """`self` is bound already, and is not taken for the event."""

    class Bot:
        def handle(self, event: Pull) -> int:
            return event.number

    handler = handler_of(Bot().handle, RouteOptions())

    assert handler.call(context_of({"number": 17})) == 17


def test_an_async_handler_behind_a_plain_wrapper_is_not_taken_for_done() -> None:
    """A coroutine that nobody awaits is an error: the message would be completed without having been handled."""
    ran: list[Pull] = []

    async def review(event: Pull) -> None:
        ran.append(event)

    @functools.wraps(review)
    def wrapper(event: Pull) -> object:
        return review(event)

    handler = handler_of(wrapper, RouteOptions())

    with pytest.raises(PluginError, match="make its decorator's wrapper async def"):
        handler.call(context_of({"number": 17}))
    assert not ran


@pytest.mark.parametrize("candidate", [functools.partial(print, 1), Pull, staticmethod(len)])
def test_what_is_no_function_is_no_handler(candidate: Callable[..., object]) -> None:
    """Whether it is async, and what it is called, can be read from functions and methods alone."""
    with pytest.raises(PluginError, match="is no function or method"):
        handler_of(candidate, RouteOptions())


async def test_a_body_that_does_not_fit_fails_the_attempt_and_names_the_handler() -> None:
    """Decoding belongs to the attempt: its error is raised where the engine awaits the handler."""

    async def review(event: Pull) -> None: ...

    pending = handler_of(review, RouteOptions()).call(context_of({"number": SECRET}))

    with pytest.raises(InvalidMessage, match=r"not what handler .*review takes: number: Input should be") as raised:
        await cast("Any", pending)
    assert SECRET not in str(raised.value)


def unannotated(event, ctx: Context) -> None: ...  # noqa: ANN001  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]


def too_many(event: Pull, ctx: Context, more: int) -> None: ...


def swapped(ctx: Context, event: Pull) -> None: ...


def twice(ctx: Context, other: Context) -> None: ...


def nothing() -> None: ...


def starred(*events: Pull) -> None: ...


def keyword(*, event: Pull) -> None: ...


def unknown(event: "Missing") -> None: ...  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]


def undecodable(event: asyncio.Event) -> None: ...


def generator(ctx: Context) -> Iterator[int]:
    yield ctx.attempt


async def async_generator(ctx: Context) -> AsyncIterator[int]:
    yield ctx.attempt


UNSERVABLE: list[tuple[Callable[..., object], str]] = [
    (unannotated, "parameter 'event' of handler .* has no annotation"),
    (too_many, "cannot be called: write"),
    (swapped, "cannot be called: write"),
    (twice, "cannot be called: write"),
    (nothing, "cannot be called: write"),
    (starred, "not positional"),
    (keyword, "not positional"),
    (unknown, "'Missing' is not defined; define or import it"),
    (undecodable, "handler .*undecodable: bodies cannot be decoded"),
    (generator, "is a generator"),
    (async_generator, "is a generator"),
]


@pytest.mark.parametrize(("function", "fault"), UNSERVABLE)
def test_a_signature_that_cannot_be_served_is_refused(function: Callable[..., object], fault: str) -> None:
    """What is wrong with a handler is said when it is registered, with what to write instead."""
    with pytest.raises(PluginError, match=fault):
        handler_of(function, RouteOptions())
