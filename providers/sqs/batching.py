"""Calls that take up to ten items: how many are cut into calls, and how answers come back in the order asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar, cast

from queue_runtime.providers.errors import QueueError
from queue_runtime.providers.sqs.clients import Clients, Use
from queue_runtime.providers.sqs.errors import About, error_of_code
from queue_runtime.providers.sqs.queues import Queue
from queue_runtime.providers.sqs.settings import MAX_BATCH

__all__ = ["Item", "call_batch", "chunks", "one_by_one", "settle_batch", "side_by_side"]

T = TypeVar("T")

Item = tuple[Mapping[str, object], About]
"""An entry of a batch without its number, and what it is about."""


def chunks(items: Sequence[T], sizes: Sequence[int] | None = None, max_bytes: int = 0) -> list[list[T]]:
    """Cut into runs of at most ten items, and of at most `max_bytes` where each has a size."""
    cut: list[list[T]] = []
    room = 0
    for number, item in enumerate(items):
        size = sizes[number] if sizes is not None else 0
        if not cut or len(cut[-1]) >= MAX_BATCH or size > room:
            cut.append([])
            room = max_bytes
        cut[-1].append(item)
        room -= size
    return cut


async def call_batch(
    clients: Clients, use: Use, method: str, queue: Queue, items: Sequence[Item]
) -> list[Mapping[str, object] | QueueError]:
    """Make one call of up to ten items; answers each with its result or its own error, in the order given.

    Raises:
        QueueError: the call failed as a whole.
    """
    entries = [{"Id": str(number), **entry} for number, (entry, _) in enumerate(items)]
    about = About(items[0][1].operation, queue.name)
    answer = await clients.call(use, method, about, QueueUrl=queue.url, Entries=entries)
    answers: dict[int, Mapping[str, object] | QueueError] = {
        int(str(done["Id"])): done for done in _list(answer, "Successful")
    }
    for failed in _list(answer, "Failed"):
        number = int(str(failed["Id"]))
        code, text = str(failed.get("Code", "")), str(failed.get("Message", ""))
        is_ours = failed.get("SenderFault") is not False
        answers[number] = error_of_code(items[number][1], code, text, is_server_fault=not is_ours)
    return [answers.get(number) or _unanswered(about) for number, (_, about) in enumerate(items)]


async def settle_batch(
    clients: Clients, method: str, queue: Queue, items: Sequence[Item]
) -> list[Mapping[str, object] | QueueError]:
    """As `call_batch`, for settlements and renewals: a call that failed as a whole is the answer of every item."""
    try:
        return await call_batch(clients, Use.CALL, method, queue, items)
    except QueueError as error:
        return [error] * len(items)


def _list(answer: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    return cast("list[Mapping[str, object]]", answer.get(name) or [])


def _unanswered(about: About) -> QueueError:
    return error_of_code(about, "InternalError", "the answer to a batch leaves this item out", is_server_fault=True)


async def side_by_side(calls: Sequence[Callable[[], Awaitable[list[T]]]]) -> list[T]:
    """Make calls at the same time, and join their answers."""
    return [answer for answers in await asyncio.gather(*(call() for call in calls)) for answer in answers]


async def one_by_one(calls: Sequence[Callable[[], Awaitable[list[T]]]]) -> list[T]:
    """Make one call after the other, and join their answers: where the order of what they do counts."""
    return [answer for call in calls for answer in await call()]
