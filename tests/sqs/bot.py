"""A bot for engines in processes of their own: writes what it does to the file `BOT_LOG`, and does what bodies ask."""

import asyncio
import json
import os
import time

from queue_runtime.plugins import Context, Router

router = Router()


def note(what: str, message: str) -> None:
    """Append one line; small writes to one file do not mix."""
    entry = {"what": what, "message": message, "pid": os.getpid(), "at": time.monotonic()}
    fd = os.open(os.environ["BOT_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, json.dumps(entry).encode() + b"\n")
    os.close(fd)


note("imported", "")


@router.on("*")
async def handle(ctx: Context) -> None:
    """Hang where the file `HANG` is there and the body says so; else work for a moment."""
    message = ctx.delivery.message
    note("start", message.message_id)
    if message.body == b"hang" and os.path.exists(os.environ["HANG"]):  # noqa: ASYNC240, PTH110 - a moment's look
        await asyncio.Event().wait()
    await asyncio.sleep(float(os.environ.get("WORK_S", "0")))
    note("end", message.message_id)
