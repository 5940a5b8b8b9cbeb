"""Handlers that do what no handler should: none of it ends the engine, and none of it loses a message."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from queue_runtime.engine import Context
from queue_runtime.journal.events import AttemptFailed, Completed, DeadLettered
from queue_runtime.plugins import ErrorInfo, ErrorVerdict, Router, hookimpl
from queue_runtime.providers.errors import ServiceThrottled
from queue_runtime.providers.message import Message
from tests.engine.bench import POLL_S, Bench


class UnsayableError(Exception):
    """An error that cannot even be printed."""

    def __str__(self) -> str:
        msg = "no text either"
        raise ValueError(msg)


class OutsideError(BaseException):
    """As test tools and other frameworks raise, to get past `except Exception`."""


ASYNC = [asyncio.CancelledError, SystemExit, OutsideError, UnsayableError, StopIteration, StopAsyncIteration]
PLAIN = [*ASYNC, KeyboardInterrupt, GeneratorExit]


@pytest.mark.parametrize("error", ASYNC)
async def test_whatever_a_coroutine_raises_is_a_failed_attempt(error: type[BaseException]) -> None:
    """Each error is journaled, the message ends in the dead letters, and the next one is handled."""
    bench, router = Bench(), Router()

    @router.on("*", max_attempts=2)
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        await asyncio.sleep(0)
        if event == b"bad":
            raise error

    await bench.send(Message(b"bad"))
    async with bench.engine(router, concurrency=1):
        await bench.until_empty()
        await bench.send(Message(b"good"))
        await bench.until_empty()

    assert bench.count(AttemptFailed) == 2
    assert bench.count(Completed) == 1
    assert bench.dead_letters == 1


@pytest.mark.parametrize("error", PLAIN)
async def test_whatever_a_thread_raises_is_a_failed_attempt(error: type[BaseException]) -> None:
    """A Ctrl-C never lands in a thread, so there it is an error as any other."""
    bench, router = Bench(), Router()

    @router.on("*", max_attempts=2)
    def handle(event: bytes, ctx: Context) -> None:
        del ctx
        if event == b"bad":
            raise error

    await bench.send(Message(b"bad"))
    async with bench.engine(router, concurrency=1):
        await bench.until_empty()
        await bench.send(Message(b"good"))
        await bench.until_empty()

    assert bench.count(AttemptFailed) == 2
    assert bench.count(Completed) == 1
    assert bench.dead_letters == 1


@pytest.mark.parametrize("text", ["\ud800 half a surrogate", "nul \0 byte", "x" * 100_000])
async def test_an_error_text_of_any_sort_can_be_journaled(text: str) -> None:
    """What the handler says is cut and cleaned, not refused."""
    bench, router = Bench(lock_s=60.0), Router()  # a lapse is not to add a failure

    @router.on("*", max_attempts=1)
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)
        raise ConnectionError(text)

    await bench.send(Message(b"bad"))
    async with bench.engine(router):
        await bench.until_empty()

    (failed,) = bench.of(AttemptFailed)
    assert isinstance(failed, AttemptFailed)
    assert failed.error_kind == "ConnectionError"
    assert 0 < len(failed.error_text) <= 2_000
    assert bench.dead_letters == 1


def _cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def _cancels_and_waits() -> None:
    _cancels_itself()
    await asyncio.sleep(0)


async def _cancels_and_returns() -> None:
    _cancels_itself()
    await asyncio.gather()  # not a wait: the cancellation is still on its way when the handler returns


async def _cancels_and_catches() -> None:
    _cancels_itself()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return


@pytest.mark.parametrize("misdeed", [_cancels_and_waits, _cancels_and_returns, _cancels_and_catches])
async def test_a_handler_that_cancels_its_own_task_harms_no_other(misdeed: Callable[[], asyncio.Future[None]]) -> None:
    """The task is ours and serves others after it: their attempts are not cancelled in its stead."""
    bench, router = Bench(), Router()

    @router.on("*", max_attempts=1)
    async def handle(event: bytes, ctx: Context) -> None:
        del ctx
        if event == b"bad":
            await misdeed()
        else:
            await asyncio.sleep(POLL_S)

    messages = [Message(b"bad"), *(Message(b"good %d" % n) for n in range(5))]
    await bench.send(*messages)
    async with bench.engine(router, concurrency=1):
        await bench.until_empty()

    assert bench.count(Completed) >= 5
    assert bench.count(Completed) + bench.count(DeadLettered) == 6


async def _stopped_by_an_error(bench: Bench, router: Router, started: asyncio.Event) -> None:
    """Run an engine in a block that raises: it is stopped, not drained."""
    with suppress(ZeroDivisionError):
        async with bench.engine(router):
            await started.wait()
            raise ZeroDivisionError


async def test_a_handler_that_swallows_the_end_does_not_hold_up_a_stop() -> None:
    """`stop` cancels it and goes on, though it runs again and again into its own `except`."""
    bench, router = Bench(), Router()
    started, over = asyncio.Event(), asyncio.Event()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        started.set()
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    await bench.send(Message(b"x"))
    async with asyncio.timeout(5):
        await _stopped_by_an_error(bench, router, started)
    before = bench.journal.events
    over.set()
    await asyncio.sleep(2 * POLL_S)

    assert bench.count(Completed) == 0
    assert bench.journal.events == before


async def test_a_handler_that_returns_when_it_is_cancelled_does_not_hold_up_a_stop() -> None:
    """The worker that served it ends too, instead of waiting for more work."""
    bench, router = Bench(), Router()
    started = asyncio.Event()

    @router.on("*")
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    await bench.send(Message(b"x"))
    async with asyncio.timeout(5):
        await _stopped_by_an_error(bench, router, started)


async def test_a_plugin_that_cannot_classify_is_passed_over() -> None:
    """The handler's own error is journaled, and judged as if nobody had been asked."""

    class Broken:
        @hookimpl
        def queue_runtime_classify_error(self, info: ErrorInfo) -> ErrorVerdict | None:
            del info
            msg = "I cannot tell"
            raise RuntimeError(msg)

    bench, router = Bench(), Router()

    @router.on("*", max_attempts=2)
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)
        msg = "its own"
        raise ConnectionError(msg)

    await bench.send(Message(b"x"))
    async with bench.engine(router, Broken()):
        await bench.until_empty()

    assert {event.error_kind for event in bench.of(AttemptFailed) if isinstance(event, AttemptFailed)} == {
        "ConnectionError"
    }
    assert bench.count(AttemptFailed) == 2


@pytest.mark.parametrize("wait_s", [-1.0, 0.0, 1e300, float("nan"), float("inf")])
async def test_an_error_may_ask_for_a_nonsensical_wait(wait_s: float) -> None:
    """It is a failed attempt whatever a service's header made of the number, and the next message is handled."""
    bench, router = Bench(), Router()

    @router.on("*", max_attempts=1)
    async def handle(event: bytes, ctx: Context) -> None:
        del event, ctx
        await asyncio.sleep(0)
        raise ServiceThrottled(wait_s)

    await bench.send(Message(b"x"))
    async with bench.engine(router):
        await bench.until_empty()

    assert bench.count(AttemptFailed) == 1
    assert bench.dead_letters == 1


async def test_no_task_and_no_thread_outlives_the_engine() -> None:
    """After the block everything that the engine started has ended."""
    bench, router = Bench(), Router()

    @router.on("*")
    def handle(event: bytes, ctx: Context) -> None:
        del event, ctx

    await bench.send(*(Message(b"%d" % n) for n in range(5)))
    async with bench.engine(router):
        await bench.until_empty()
    await bench.until(lambda: not any("queue-runtime" in thread.name for thread in threading.enumerate()))
    tasks = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert tasks == []
