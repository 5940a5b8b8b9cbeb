"""Runs handlers: a lazy pool of tasks, so that a handler that never waits costs no task of its own.

A worker drains what is ready. If a handler makes it wait, the next worker is woken; a worker with nothing to do sleeps.
Workers are real tasks, so time-outs, task groups and everything else of asyncio works inside a handler.

A handler whose time is up, or that a drain ends, is cancelled. Until it has really returned it keeps its place: a
thread cannot be stopped, and a second attempt beside it would break the order of its session.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import traceback
from collections import deque
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from queue_runtime.engine.attempt import Attempt
from queue_runtime.engine.core import Core
from queue_runtime.engine.effects import RunHandler
from queue_runtime.engine.inputs import HandlerRaised, HandlerReleased, HandlerReturned, HandlerTimedOut, Input
from queue_runtime.engine.packing import digest
from queue_runtime.engine.policy import SessionFailure
from queue_runtime.engine.routing import Routing
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.errors import EventRefused
from queue_runtime.plugins import ErrorInfo, PermanentError, Plugins, default_verdict

__all__ = ["Dispatcher"]

logger = logging.getLogger("queue_runtime.engine")

MAX_ERROR_TEXT = 2_000
MAX_FRAMES = 20
_LONGEST_SWEEP_S = 0.25
_SHORTEST_SWEEP_S = 0.01


class Dispatcher:
    """Runs the attempts that the core owes. Used on the engine's loop."""

    def __init__(self, core: Core, routing: Routing, plugins: Plugins, settings: EngineSettings) -> None:
        self._core = core
        self._routing = routing
        self._plugins = plugins
        self._settings = settings
        self._ready: deque[RunHandler] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._attempts: dict[str, Attempt] = {}
        self._all_done = asyncio.Event()
        self._all_done.set()
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._loop = asyncio.get_running_loop()
        self._sweeper: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="queue-runtime-handler")

    def run(self, effect: RunHandler) -> None:
        """Run an attempt as soon as a worker is free."""
        self._ready.append(effect)
        self._all_done.clear()
        if len(self._ready) == 1:
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        if not self._ready:
            return
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        if len(self._workers) < self._settings.concurrency:
            worker = self._loop.create_task(self._work(), context=contextvars.Context())
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (error := worker.exception()) is not None:
            logger.error("a worker died, which is a fault of this library", exc_info=error)
        self._loop.call_soon(self._wake)

    async def _work(self) -> None:
        clean = len(contextvars.copy_context())
        while True:
            while self._ready:
                effect = self._ready.popleft()
                if self._ready:
                    self._loop.call_soon(self._wake)  # runs only if the handler makes this worker wait
                await self._attempt(effect)
                if len(contextvars.copy_context()) != clean:
                    return  # the handler left context variables behind: the next message gets a new worker
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    async def _attempt(self, effect: RunHandler) -> None:
        if self._core.halted is not None:
            await self._core.writable()
        message = self._core.state.messages.get(effect.key)
        if message is None or message.attempt != effect.attempt or not message.is_running:
            self._core.done(effect)
            return
        handler = self._routing.handler(message)
        policy = self._routing.policy(handler.route)
        blocks = policy.session_failure is SessionFailure.BLOCK and message.lane is not None
        is_last = not blocks and message.failures + message.crashes + 1 >= policy.max_attempts
        attempt = Attempt(self._core, message, handler, self._routing.delivery(message), is_last=is_last)
        timeout_s = handler.options.timeout_s or self._settings.handler_timeout_s
        attempt.ends_by = self._loop.time() + timeout_s
        attempt.task = asyncio.current_task()
        self._attempts[effect.key] = attempt
        if self._sweeper is None:
            self._sweeper = self._loop.create_task(self._sweep(), name="queue-runtime time-outs")
        try:
            result = await self._call(attempt)
        except asyncio.CancelledError:
            if not attempt.is_cancelled:
                raise
            given = self._cancelled(attempt, timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is an outcome of the attempt
            given = self._cancelled(attempt, timeout_s) if attempt.released else self._raised(attempt, error)
        else:
            given = HandlerReturned(self._core.now(), attempt.number, digest(result), tuple(attempt.outgoing))
        finally:
            del self._attempts[effect.key]
            attempt.uncancel()
        self._routing.attempt_ended(effect.key)
        self._core.done(effect)
        try:
            self._core.submit(effect.key, given)
        except EventRefused as error:  # what the handler sent cannot be stored, and will not be next time
            self._core.submit(effect.key, self._raised(attempt, PermanentError(str(error))))
        self._core.pump()
        if not self._attempts and not self._ready:
            self._all_done.set()

    async def _call(self, attempt: Attempt) -> object:
        handler = attempt.handler
        if handler.is_async:
            return await cast("Awaitable[object]", handler.call(attempt))
        context = contextvars.copy_context()
        future = self._loop.run_in_executor(self._threads, lambda: context.run(handler.call, attempt))
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError:
                if not attempt.is_cancelled:
                    raise
                attempt.uncancel()  # a thread cannot be stopped: wait on, with its place kept
        return future.result()

    def _cancelled(self, attempt: Attempt, timeout_s: float) -> Input:
        now = self._core.now()
        if attempt.released:
            return HandlerReleased(now, attempt.number, "the engine is stopping")
        return HandlerTimedOut(now, attempt.number, timeout_s, self._random.uniform(-1, 1))

    def _raised(self, attempt: Attempt, error: Exception) -> HandlerRaised:
        info = ErrorInfo(error, attempt.delivery, attempt.handler.route, attempt.number)
        verdict = self._plugins.classify(info) or default_verdict(error)
        return HandlerRaised(
            now=self._core.now(),
            attempt=attempt.number,
            error_kind=type(error).__name__,
            error_text=str(error)[:MAX_ERROR_TEXT],
            frames=_frames(error),
            transient=verdict.transient,
            retry_after_s=verdict.retry_after_s,
            draw=self._random.uniform(-1, 1),
        )

    async def _sweep(self) -> None:
        """Cancel what is over its time. One look at all attempts now and then is cheaper than a timer each."""
        while self._attempts:
            now = self._loop.time()
            earliest = now + _LONGEST_SWEEP_S
            for attempt in tuple(self._attempts.values()):
                if attempt.timed_out:
                    continue
                if attempt.ends_by <= now:
                    attempt.timed_out = True
                    attempt.cancel()
                else:
                    earliest = min(earliest, attempt.ends_by)
            await asyncio.sleep(max(earliest - now, _SHORTEST_SWEEP_S))
        self._sweeper = None

    async def wait_idle(self) -> None:
        """Return when no handler runs and none is about to."""
        await self._all_done.wait()

    def release_all(self) -> None:
        """End every handler without charging it: the engine is stopping."""
        for attempt in tuple(self._attempts.values()):
            attempt.released = True
            attempt.cancel()

    async def close(self) -> None:
        """End the workers. Handlers that still run are cancelled and not waited for."""
        for task in (*self._workers, *((self._sweeper,) if self._sweeper else ())):
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)


def _frames(error: BaseException) -> tuple[str, ...]:
    """Where it was raised, innermost last: file, line and function, never a source line or a value."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return tuple(f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames)
