"""The demo's bot: a plugin like any other, loaded by its import path."""

from __future__ import annotations

import asyncio
from typing import Any

from queue_runtime.plugins import Context, GitHub, Router, TemporaryServiceUnavailable
from queue_runtime.tools.demo.events import BEHAVIOUR

__all__ = ["plugins", "router"]

WORK_S = 0.002

router = Router()


@router.on("*")
async def handle(event: dict[str, Any], ctx: Context) -> str:
    """Pretend to call a service; fail as the event asks for."""
    await asyncio.sleep(WORK_S)
    behaviour = event.get(BEHAVIOUR, "works")
    if behaviour == "fails always" or (behaviour == "fails once" and ctx.attempt == 1):
        msg = f"the demo's service is down for attempt {ctx.attempt}"
        raise TemporaryServiceUnavailable(msg)
    return "handled"


plugins = [GitHub(), router]
