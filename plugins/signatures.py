"""Reads a handler's signature, and makes of it what the engine calls."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from queue_runtime.plugins.context import Context
from queue_runtime.plugins.errors import InvalidMessage, PluginError
from queue_runtime.plugins.handlers import Handler, RouteOptions
from queue_runtime.plugins.payloads import Decoder, decoder_for

__all__ = ["handler_of"]

_Arguments: TypeAlias = Callable[[Context], tuple[object, ...]]

_SHAPES = "write (event: T, ctx: Context), (event: T) or (ctx: Context)"


def handler_of(function: Callable[..., object], options: RouteOptions) -> Handler:
    """Make a `Handler` that decodes the body at every attempt, and hands `function` what its annotations ask for.

    Its route is the function's module and qualified name.

    Raises:
        PluginError: the signature is none that can be served; names the handler, the fault and what to write.
    """
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        msg = f"{function!r} is no function or method, and cannot be a handler; write def or async def"
        raise PluginError(msg)
    route = f"{function.__module__}.{function.__qualname__}"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = f"handler {route} is a generator, and nobody would run it to its end: use return or await, not yield"
        raise PluginError(msg)
    arguments = _arguments(route, function)
    if inspect.iscoroutinefunction(function):
        return Handler(route, _on_the_loop(function, arguments), is_async=True, options=options)
    return Handler(route, _in_a_thread(route, function, arguments), is_async=False, options=options)


def _on_the_loop(function: Callable[..., Awaitable[object]], arguments: _Arguments) -> Callable[[Context], object]:
    async def call(ctx: Context) -> object:
        return await function(*arguments(ctx))

    return call


def _in_a_thread(route: str, function: Callable[..., object], arguments: _Arguments) -> Callable[[Context], object]:
    def call(ctx: Context) -> object:
        result = function(*arguments(ctx))
        if inspect.iscoroutine(result):
            # A plain wrapper around an async function: taken as a result, the handler would be done without having run.
            result.close()
            msg = f"handler {route} returned a coroutine that nobody awaits; make its decorator's wrapper async def"
            raise PluginError(msg)
        return result

    return call


def _arguments(route: str, function: Callable[..., object]) -> _Arguments:
    match _annotations(route, function):
        case [one] if one is Context:
            return lambda ctx: (ctx,)
        case [event]:
            decode = _decoder(route, event)
            return lambda ctx: (decode(ctx.body),)
        case [event, ctx] if ctx is Context and event is not Context:
            decode = _decoder(route, event)
            return lambda ctx: (decode(ctx.body), ctx)
        case _:
            msg = f"handler {route}{inspect.signature(function)} cannot be called: {_SHAPES}"
            raise PluginError(msg)


def _annotations(route: str, function: Callable[..., object]) -> list[object]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError) as error:
        msg = (
            f"handler {route} has an annotation that cannot be read: {error};"
            " define or import it at the top of the module, and not under TYPE_CHECKING"
        )
        raise PluginError(msg) from error
    found: list[object] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            msg = f"handler {route} has the parameter {parameter}, which is not positional: {_SHAPES}"
            raise PluginError(msg)
        if parameter.name not in hints:
            msg = f"parameter {parameter.name!r} of handler {route} has no annotation: {_SHAPES}"
            raise PluginError(msg)
        found.append(hints[parameter.name])
    return found


def _decoder(route: str, annotation: object) -> Decoder:
    try:
        decode = decoder_for(annotation)
    except PluginError as error:
        msg = f"handler {route}: {error}"
        raise PluginError(msg) from error

    def decode_for_route(body: bytes) -> object:
        try:
            return decode(body)
        except InvalidMessage as error:
            problem = f"the body is not what handler {route} takes: {error}"
        raise InvalidMessage(problem)

    return decode_for_route
