"""What operators may ask for, whoever passes it on: the socket of a live engine, or a tool while none runs.

Without an engine the tool takes the journal's lock, journals the decision, and lets go: whoever runs next performs it,
as it performs all that a journal says is owed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from queue_runtime.engine.collaborators import Limits
from queue_runtime.engine.core import Core
from queue_runtime.engine.decide_breaker import decide_breaker
from queue_runtime.engine.effects import Effect
from queue_runtime.engine.inputs import Action, OperatorAsked, ResetAsked, ResumeAsked
from queue_runtime.engine.policy import BreakerPolicy, Policy
from queue_runtime.engine.recovery import load
from queue_runtime.journal.errors import JournalError
from queue_runtime.journal.log import SqliteJournal
from queue_runtime.journal.segments import Layout
from queue_runtime.journal.settings import JournalSettings
from queue_runtime.journal.state import MessageState
from queue_runtime.providers.clock import SystemClock

__all__ = ["Operators", "Refused", "Request", "act_alone"]


class Request(BaseModel):
    """One request, as it comes through the socket."""

    model_config = ConfigDict(extra="forbid")

    op: str
    who: str = ""
    why: str = ""
    queue: str = ""
    session: str = ""
    route: str = ""
    key: str = ""


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """The request cannot be done; says why and what to do."""


class Operators:
    """Decides what requests mean for one core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._operations: dict[str, Callable[[Request], None]] = {
            "resume": self._resume,
            "release": self._release,
            "reset": self._reset,
            "dead-letter": self._dead_letter,
        }

    def act(self, request: Request) -> None:
        """Journal what is asked for, with who and why; durable only when the journal says so.

        Raises:
            Refused: it is unknown, or there is nothing that it could be done to.
        """
        operation = self._operations.get(request.op)
        if operation is None:
            known = ", ".join(("status", *self._operations))
            msg = f"operation {request.op!r} is unknown; use one of {known}"
            raise Refused(msg)
        if not (request.who and request.why):
            msg = f"operation {request.op!r} needs who asks and why: the journal keeps both"
            raise Refused(msg)
        operation(request)

    def _resume(self, request: Request) -> None:
        given = ResumeAsked(self._core.now(), request.who, request.why)
        if self._core.submit_session((request.queue, request.session), given) is None:
            msg = f"session {request.session!r} of {request.queue!r} is not parked; `status` lists what is"
            raise Refused(msg)

    def _release(self, request: Request) -> None:
        asked = OperatorAsked(self._core.now(), request.who, request.why, Action.RELEASE)
        lane = self._core.lanes.lane((request.queue, request.session))
        if not [m for m in reversed(lane) if self._core.submit(m.key, asked) is not None]:
            msg = f"nothing waits in session {request.session!r} of {request.queue!r}"
            raise Refused(msg)

    def _reset(self, request: Request) -> None:
        given = ResetAsked(self._core.now(), request.who, request.why)
        events = decide_breaker(self._core.state.breakers.get(request.route), given, BreakerPolicy())
        if not events:
            msg = f"route {request.route!r} has no open breaker; `status` lists what is open"
            raise Refused(msg)
        self._core.commit(events)

    def _dead_letter(self, request: Request) -> None:
        given = OperatorAsked(self._core.now(), request.who, request.why, Action.DEAD_LETTER)
        if self._core.submit(request.key, given) is None:
            msg = f"message {request.key!r} does not wait here: it is unknown, running, or has an outcome"
            raise Refused(msg)


class _NoHandlers:
    """The routes of nobody: an operator's decision follows no policy."""

    def route(self, message: MessageState) -> str:
        return message.route

    def policy(self, route: str) -> Policy:
        del route
        return Policy()

    def hands_back(self, route: str) -> bool:
        del route
        return False


def _leave(effect: Effect) -> None:
    """Whoever runs next asks again what is owed."""
    del effect


def _is_journal(folder: Path) -> bool:
    return folder.is_dir() and bool(Layout(folder).segments())


async def act_alone(folder: Path, asked: dict[str, str], settings: JournalSettings | None = None) -> None:
    """Journal a request in the journal at `folder` while no engine has it; durable when this returns.

    The next run performs it. A `release` is refused: what a run that is over still held goes back by itself. `settings`
    are those that the engine opens the journal with.

    Raises:
        Refused: it cannot be done to what the journal holds, or not without an engine.
        JournalOwned: an engine has the journal after all.
        JournalError: there is no journal, or it cannot be read or written.
    """
    try:
        request = Request.model_validate(asked)
    except ValidationError as error:
        raise Refused(str(error)) from error
    if request.op in ("status", "release"):
        msg = f"operation {request.op!r} needs a running engine, and none runs on the journal {folder}: start one"
        raise Refused(msg)
    if not await asyncio.to_thread(_is_journal, folder):
        msg = f"there is no journal in {folder}; name the folder that an engine keeps one in"
        raise JournalError(msg)
    journal = await SqliteJournal.open(folder, settings)
    try:
        core = Core(journal, SystemClock(), _NoHandlers(), _leave, Limits(0, 0, 0))
        core.adopt(await load(journal))
        Operators(core).act(request)
        core.is_closed = True  # nothing is performed here
        await journal.wait(journal.position)
    finally:
        await journal.close()
