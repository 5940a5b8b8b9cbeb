"""An engine in a process of its own, made to be killed: `python -m tests.crash.worker ADDRESS FOLDER`.

It says `imported` before it opens anything, and `started` once it has recovered. Every run of a handler is written to
the file `runs`, with the microsecond at which it began: what really happened, to be held against what the journal says.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path

from queue_runtime.engine import Context, Engine, EngineSettings
from queue_runtime.plugins import PermanentError, Router
from queue_runtime.providers.settings import ProviderSettings
from tests.crash.load import OUT, QUEUE, Deed

__all__ = ["DEATHS", "settings"]

_DIE_CODE = 57
DEATHS = {_DIE_CODE, -signal.SIGABRT, -signal.SIGSEGV}
"""How a culprit's process ends."""

TIMEOUT_S = 0.4


def settings(journal: Path) -> EngineSettings:
    """Short waits, few handlers at a time, a small buffer and a nervous breaker: all of it happens within seconds."""
    return EngineSettings(
        journal=journal,
        queues=(QUEUE,),
        concurrency=12,
        max_in_flight=80,
        max_lane=8,
        lane_release_delay_s=0.2,
        handler_timeout_s=TIMEOUT_S,
        max_attempts=12,  # it is crashes that are to dead-letter here
        retry_initial_s=0.03,
        retry_max_s=0.2,
        receive_wait_s=0.3,
        session_idle_s=0.2,
        lock_margin_s=0.2,
        breaker_failures=10,
        breaker_open_s=0.1,
        breaker_successes=1,
        debug_fold=True,
    )


def bot(runs: Path) -> Router:
    """Return the handlers, which write every run to the file `runs` before they do anything."""
    router = Router()
    fd = os.open(runs, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begin(ctx: Context) -> Deed:
        os.write(fd, f"{ctx.idempotency_key} {ctx.attempt} {time.time_ns() // 1_000}\n".encode())
        return Deed(ctx.body.decode())

    @router.on("*")
    async def handle(ctx: Context) -> None:
        match begin(ctx):
            case Deed.STEP:
                await ctx.step("once", lambda: f"{os.getpid()}/{ctx.attempt}")
                await ctx.send(OUT, ctx.idempotency_key.encode())
            case Deed.SLOW:
                await asyncio.sleep(0.1)
            case Deed.FAIL if ctx.attempt <= 2:
                raise ConnectionError
            case Deed.REFUSE:
                raise PermanentError
            case Deed.HANG if ctx.attempt == 1:
                await asyncio.Event().wait()
            case Deed.HANG_IN_THREAD if ctx.attempt == 1:
                await asyncio.to_thread(time.sleep, TIMEOUT_S * 2)
            case Deed.DIE_ONCE if ctx.attempt == 1:
                _die(ctx)
            case Deed.DIE:
                _die(ctx)
            case _:
                pass

    return router


def _die(ctx: Context) -> None:
    """Each time in another way."""
    match ctx.attempt % 3:
        case 0:
            os.abort()
        case 1:
            os._exit(_DIE_CODE)
        case _:
            os.kill(os.getpid(), signal.SIGSEGV)


async def _run(address: str, folder: Path) -> None:
    provider = ProviderSettings(provider="memory", memory_address=address)
    chosen = settings(folder / "journal")
    async with Engine.from_settings(plugins=[bot(folder / "runs")], engine=chosen, provider=provider) as engine:
        print("started", flush=True)
        await engine.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    print("imported", flush=True)
    asyncio.run(_run(sys.argv[1], Path(sys.argv[2])))
