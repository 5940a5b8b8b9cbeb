"""Runs handlers, and makes an outcome of whatever they do.

A handler whose time is up, or that a drain ends, is cancelled. Until it has really returned it keeps its place: a
thread cannot be stopped, and a second attempt beside it would break the order of its session.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import random
import traceback
from collections.abc import Awaitable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from queue_runtime.engine.attempt import AttemptContext
from queue_runtime.engine.bodies import Bodies
from queue_runtime.engine.core import Core
from queue_runtime.engine.effects import RunHandler
from queue_runtime.engine.inputs import HandlerRaised, HandlerReleased, HandlerReturned, HandlerTimedOut, Input
from queue_runtime.engine.packing import digest
from queue_runtime.engine.policy import SessionFailure
from queue_runtime.engine.routing import Routing
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.engine.threads import HandlerThreads
from queue_runtime.engine.workers import Workers
from queue_runtime.journal.errors import EventRefused
from queue_runtime.journal.state import MessageState
from queue_runtime.plugins import ErrorInfo, ErrorVerdict, Handler, PermanentError, Plugins, default_verdict
from queue_runtime.providers.clock import Timestamp

__all__ = ["Dispatcher"]

MAX_ERROR_TEXT = 2_000
MAX_FRAMES = 20
_STOPPING = "the engine is stopping"
_LOST_UNRUN = "its lock was lost before the handler ran"
_LONGEST_SWEEP_S = 0.25
_SHORTEST_SWEEP_S = 0.01
_CAME_BACK = 70  # what sysexits.h calls a fault of the software

logger = logging.getLogger("queue_runtime.engine")


@dataclass(slots=True, eq=False)
class _Run:
    """One attempt under way. `ends_by` is the loop's time; `timed_out` and `released` say why we cancelled it."""

    key: str
    context: AttemptContext
    handler: Handler
    received_at: Timestamp
    timeout_s: float
    ends_by: float
    task: asyncio.Task[None]
    timed_out: bool = False
    released: bool = False

    @property
    def is_cancelled(self) -> bool:
        return self.timed_out or self.released

    def uncancel(self) -> None:
        """Let the worker go on after a cancellation that was meant for the handler alone."""
        if self.is_cancelled:
            while self.task.cancelling():
                self.task.uncancel()


@dataclass(frozen=True, slots=True)
class _RaisedInThread:
    """What a plain function raised. Not raised again on the loop, where a `KeyboardInterrupt` would end the program."""

    error: BaseException


class Dispatcher:
    """Runs the attempts that the core owes. Used on the engine's loop."""

    def __init__(
        self, core: Core, routing: Routing, plugins: Plugins, settings: EngineSettings, bodies: Bodies
    ) -> None:
        self._bodies = bodies
        self._core = core
        self._routing = routing
        self._plugins = plugins
        self._settings = settings
        self._workers = Workers(self._attempt, settings.concurrency)
        self._runs: dict[str, _Run] = {}
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._loop = asyncio.get_running_loop()
        self._sweeper: asyncio.Task[None] | None = None
        self._threads = HandlerThreads(settings.threads)
        self._is_releasing = False
        self._pid = os.getpid()

    def run(self, effect: RunHandler) -> None:
        """Run an attempt as soon as a worker is free."""
        self._workers.add(effect)

    async def _attempt(self, effect: RunHandler) -> None:
        if self._core.outage.error is not None:
            await self._core.outage.over()
        message = self._core.state.messages.get(effect.key)
        if message is None or message.attempt != effect.attempt or not message.is_running:
            self._core.done(effect)
            return
        is_lost = not message.is_held or self._core.is_lost(message, self._core.now())
        if self._is_releasing or is_lost:
            why = _LOST_UNRUN if is_lost else _STOPPING
            if self._core.traces is not None:
                self._core.traces.never_ran(effect.key)
            self._core.done(effect)
            self._core.submit(effect.key, HandlerReleased(self._core.now(), effect.attempt, why))
            self._core.pump()
            return
        run = self._begin(message)
        self._runs[effect.key] = run
        traces = self._core.traces
        try:
            with nullcontext() if traces is None else traces.running(message) as traced:
                given = await self._outcome(run)
        finally:
            del self._runs[effect.key]
            run.uncancel()
        if traced is not None:
            traced.ended(given)
        if self._core.is_closed:
            return  # it would not end when it was told to: the next start counts it as crashed
        self._routing.attempt_ended(effect.key)
        if (message := self._core.state.messages.get(effect.key)) is not None:
            self._core.is_lost(message, self._core.now())  # then it counts as lost before it ended
        self._core.done(effect)
        self._submit(run, given)
        self._core.pump()

    def _begin(self, message: MessageState) -> _Run:
        handler = self._routing.handler(message)
        policy = self._routing.policy(handler.route)
        blocks = policy.session_failure is SessionFailure.BLOCK and message.lane is not None
        is_last = not blocks and message.failures + message.crashes + 1 >= policy.max_attempts
        context = AttemptContext(self._core, message, self._routing.delivery(message), is_last=is_last)
        timeout_s = handler.options.timeout_s or self._settings.handler_timeout_s
        if self._sweeper is None:
            self._sweeper = self._loop.create_task(self._sweep(), name="queue-runtime time-outs")
        task = cast("asyncio.Task[None]", asyncio.current_task())
        return _Run(
            message.key, context, handler, Timestamp(message.origin.at), timeout_s, self._loop.time() + timeout_s, task
        )

    async def _outcome(self, run: _Run) -> Input:
        """Run the handler; whatever it does is an outcome, and none of it ends the worker."""
        handler, context, outgoing = run.handler, run.context, ()
        try:
            if not self._bodies.pass_through(context.body):
                context.delivery = await self._bodies.opened(context.delivery, run.received_at)
            if handler.is_async:
                result = await cast("Awaitable[object]", handler.call(context))
            else:
                result = await self._in_a_thread(run)
            if context.outgoing and not isinstance(result, _RaisedInThread):
                outgoing = await self._bodies.sealed(context.outgoing)
        except asyncio.CancelledError as error:
            if self._workers.is_closing and not run.is_cancelled:
                raise  # the engine stops at once: the next start finds the attempt crashed
            return self._failed(run, error)
        except (KeyboardInterrupt, GeneratorExit):  # the end of the program, not of the handler
            raise
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            return self._failed(run, error)
        finally:
            if os.getpid() != self._pid:
                _end_child(run.key)
        if isinstance(result, _RaisedInThread):
            return self._failed(run, result.error)
        return HandlerReturned(self._core.now(), context.attempt, digest(result), outgoing)

    async def _in_a_thread(self, run: _Run) -> object:
        call, context = run.handler.call, run.context
        variables = contextvars.copy_context()
        future = self._threads.run(lambda: variables.run(call, context))
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError:
                if not run.is_cancelled:
                    raise
                run.uncancel()  # a thread cannot be stopped: wait on, with its place kept
        error = future.exception()
        return future.result() if error is None else _RaisedInThread(error)

    def _failed(self, run: _Run, error: BaseException) -> Input:
        is_ours = run.released or (run.timed_out and isinstance(error, asyncio.CancelledError))
        return self._cancelled(run) if is_ours else self._raised(run, error)

    def _cancelled(self, run: _Run) -> Input:
        now, attempt = self._core.now(), run.context.attempt
        if run.released:
            return HandlerReleased(now, attempt, _STOPPING)
        return HandlerTimedOut(now, attempt, run.timeout_s, self._random.uniform(-1, 1))

    def _raised(self, run: _Run, error: BaseException) -> HandlerRaised:
        attempt = run.context.attempt
        verdict = self._plugins.classify(ErrorInfo(error, run.context.delivery, run.handler.route, attempt))
        verdict = verdict or _verdict(error)
        return HandlerRaised(
            now=self._core.now(),
            attempt=attempt,
            error_kind=type(error).__name__,
            error_text=_text(error),
            frames=_frames(error),
            transient=verdict.transient,
            retry_after_s=verdict.retry_after_s,
            draw=self._random.uniform(-1, 1),
        )

    def _submit(self, run: _Run, given: Input) -> None:
        try:
            self._core.submit(run.key, given)
        except EventRefused as error:  # what the handler sent cannot be stored, and will not be next time
            self._core.submit(run.key, self._raised(run, PermanentError(str(error))))

    async def _sweep(self) -> None:
        """Cancel what is over its time. One look at all attempts now and then is cheaper than a timer each."""
        while self._runs:
            now = self._loop.time()
            earliest = now + _LONGEST_SWEEP_S
            for run in tuple(self._runs.values()):
                if run.timed_out:
                    continue
                if run.ends_by <= now:
                    run.timed_out = True
                    run.task.cancel()
                else:
                    earliest = min(earliest, run.ends_by)
            await asyncio.sleep(max(earliest - now, _SHORTEST_SWEEP_S))
        self._sweeper = None

    async def wait_idle(self) -> None:
        """Return when no handler runs and none is about to."""
        await self._workers.wait_idle()

    def release_all(self) -> None:
        """End every handler without charging it, and begin no other: the engine is stopping."""
        self._is_releasing = True
        for run in tuple(self._runs.values()):
            run.released = True
            run.task.cancel()

    async def close(self) -> None:
        """End the workers. Handlers that still run are cancelled; a thread is not waited for."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._workers.close()
        self._threads.close()


def _end_child(key: str) -> None:
    """End a forked child that comes back from its handler: it shares its parent's sockets, and what wakes its loop."""
    logger.error("the handler of message %s forked, and the child did not end; end it with os._exit()", key)
    os._exit(_CAME_BACK)


def _verdict(error: BaseException) -> ErrorVerdict:
    try:
        return default_verdict(error)
    except (TypeError, ValueError):  # it carries a wait that is none
        return ErrorVerdict(transient=True)


def _text(error: BaseException) -> str:
    """What it says, as the journal can hold it; an error may fail even to say that."""
    try:
        text = str(error)
    except Exception as another:  # noqa: BLE001 - it is the handler's own code
        text = f"its text cannot be had: {type(another).__name__}"
    return text[:MAX_ERROR_TEXT].encode("utf-8", "replace").decode()


def _frames(error: BaseException) -> tuple[str, ...]:
    """Where it was raised, innermost last: file, line and function, never a source line or a value."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return tuple(f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames)
