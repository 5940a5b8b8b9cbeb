"""The operations of `$management` on a queue.

Source: Service Bus, "AMQP 1.0 in Azure Service Bus: request-response-based operations".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from queue_runtime.tools.servicebus_emulator.amqp.codec import CodecError, decoded, items, pairs
from queue_runtime.tools.servicebus_emulator.amqp.encode import (
    NULL,
    array,
    binary,
    int32,
    list_of,
    long_item,
    map_of,
    string,
    timestamp,
    timestamp_item,
    uuid,
)
from queue_runtime.tools.servicebus_emulator.amqp.sections import message, parse
from queue_runtime.tools.servicebus_emulator.broker.browse import peek, session_names
from queue_runtime.tools.servicebus_emulator.broker.message import Content, Stored
from queue_runtime.tools.servicebus_emulator.broker.queue import Outcome, Queue, Settlement
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.broker.sessions import Session, Sessions
from queue_runtime.tools.servicebus_emulator.claims import Claims, Right
from queue_runtime.tools.servicebus_emulator.faults import Faults
from queue_runtime.tools.servicebus_emulator.host import Host
from queue_runtime.tools.servicebus_emulator.requests import Answer, Request

__all__ = ["Management"]

PREFIX = "com.microsoft:"
LONG, TIMESTAMP, STRING32 = 0x81, 0x83, 0xB1
RECEIVE_AND_DELETE = 0
MAX_INSTANT_MS = 253_402_300_799_000
"""The latest instant that SDKs send, in the year 9999: all sessions, not those updated since."""
STATUS = {
    Condition.BUSY: 503,
    Condition.LOCK_LOST: 410,
    Condition.MESSAGE_NOT_FOUND: 404,
    Condition.NOT_FOUND: 404,
    Condition.NOT_IMPLEMENTED: 501,
    Condition.QUOTA: 403,
    Condition.SESSION_LOST: 410,
    Condition.TIMEOUT: 408,
    Condition.UNAUTHORIZED: 401,
}
OUTCOMES = {
    "completed": Outcome.COMPLETE,
    "abandoned": Outcome.ABANDON,
    "defered": Outcome.DEFER,
    "suspended": Outcome.DEAD_LETTER,
}
"""The words of `update-disposition`, with the service's spelling."""


class Management:
    """Answers the requests of one link. Requests are answered in the order in which they come.

    Args:
        host: serves the queue.
        faults: what is to go wrong.
        claims: of the connection.
        path: of the queue.
    """

    def __init__(self, host: Host, faults: Faults, claims: Claims, path: str) -> None:
        self._host = host
        self._faults = faults
        self._claims = claims
        self._path = path
        self._operations: dict[str, tuple[Right, Callable[[Queue, dict[str, bytes]], Answer]]] = {
            "renew-lock": (Right.LISTEN, self._renew_lock),
            "peek-message": (Right.LISTEN, self._peek),
            "receive-by-sequence-number": (Right.LISTEN, self._receive),
            "update-disposition": (Right.LISTEN, self._settle),
            "schedule-message": (Right.SEND, self._schedule),
            "cancel-scheduled-message": (Right.SEND, self._cancel),
            "renew-session-lock": (Right.LISTEN, self._renew_session),
            "get-session-state": (Right.LISTEN, self._get_state),
            "set-session-state": (Right.LISTEN, self._set_state),
            "get-message-sessions": (Right.LISTEN, self._list_sessions),
        }

    def perform(self, request: Request) -> Answer:
        """Do what is asked, and answer it, or why not."""
        try:
            self._faults.check_busy()
            name = request.text("operation").removeprefix(PREFIX)
            if name not in self._operations:
                text = f"there is no operation {name!r}; the emulator's page lists those that there are"
                raise Refused(Condition.NOT_IMPLEMENTED, text)  # noqa: TRY301
            right, operation = self._operations[name]
            self._claims.check(self._path, right, self._host.now())
            queue = self._host.namespace.find(self._path)
            answer = operation(queue, request.arguments())
            self._host.changed(queue)
        except Refused as refused:
            return Answer(STATUS.get(refused.condition, 400), refused.text, refused.condition)
        except (CodecError, KeyError, TypeError) as broken:
            return Answer(400, f"the request cannot be read: {type(broken).__name__}", Condition.INVALID)
        return answer

    # --- messages -----------------------------------------------------------------------------------------------

    def _renew_lock(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        now = self._host.now()
        ends = [timestamp_item(queue.locks.renew(token, now) // 1_000) for token in _tokens(given)]
        return Answer(body={string("expirations"): array(TIMESTAMP, ends)})

    def _peek(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        first, most = _number(given["from-sequence-number"]), _number(given["message-count"])
        found = peek(queue, first, most, _text(given.get("session-id")))
        return _messages(found, is_peeked=True)

    def _receive(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        """Receive deferred messages; when one is not to be had, none is."""
        now = self._host.now()
        session = self._session(queue, given)
        deletes = _number(given["receiver-settle-mode"]) == RECEIVE_AND_DELETE
        found: list[Stored] = []
        try:
            for number in _numbers(given["sequence-numbers"]):
                found.append(queue.fetch(number, now, session=session, delete=deletes))  # noqa: PERF401 - kept if it fails
        except Refused:
            for stored in [] if deletes else found:
                queue.settle(stored.token or b"", Settlement(Outcome.RELEASE), now)
            raise
        return _messages(found, is_peeked=False)

    def _settle(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        word = _text(given["disposition-status"]) or ""
        if word not in OUTCOMES:
            raise Refused(
                Condition.NOT_IMPLEMENTED, f"there is no disposition {word!r}; there are {', '.join(OUTCOMES)}"
            )
        self._session(queue, given)
        wanted = Settlement(
            OUTCOMES[word],
            _text(given.get("deadletter-reason")) or "",
            _text(given.get("deadletter-description")) or "",
            pairs(given.get("properties-to-modify", NULL)),
        )
        for token in _tokens(given):
            queue.settle(token, wanted, self._host.now())
        return Answer()

    def _schedule(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        contents: list[Content] = []
        for entry in items(given["messages"]):
            sent = {decoded(key): value for key, value in pairs(entry).items()}
            body = decoded(sent["message"])
            if not isinstance(body, bytes):
                msg = "a scheduled message is not given as bytes"
                raise CodecError(msg)
            contents.append(parse(body))
        size, most = sum(content.size for content in contents), queue.settings.max_message_bytes
        if size > most:
            text = f"{size} bytes are too much for one request: queue {queue.name} takes {most}; send less"
            raise Refused(Condition.TOO_LARGE, text)
        numbers = self._host.namespace.send(queue, contents, self._host.now())
        return Answer(body={string("sequence-numbers"): array(LONG, [long_item(number) for number in numbers])})

    def _cancel(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        for number in _numbers(given["sequence-numbers"]):
            queue.cancel(number)
        return Answer()

    # --- sessions -----------------------------------------------------------------------------------------------

    def _sessions(self, queue: Queue) -> Sessions:
        if queue.sessions is None:
            text = f"queue {queue.name} has no sessions; use one that has"
            raise Refused(Condition.NOT_ALLOWED, text)
        return queue.sessions

    def _session(self, queue: Queue, given: dict[str, bytes]) -> Session | None:
        """Return the session that a request names, which must be held, if the queue has any."""
        if queue.sessions is None:
            return None
        return queue.sessions.held(_text(given.get("session-id")) or "", self._host.now())

    def _renew_session(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        until = self._sessions(queue).renew(_text(given["session-id"]) or "", self._host.now())
        return Answer(body={string("expiration"): timestamp(until // 1_000)})

    def _get_state(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        state = self._sessions(queue).held(_text(given["session-id"]) or "", self._host.now()).state
        return Answer(body={string("session-state"): NULL if state is None else binary(state)})

    def _set_state(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        value = decoded(given["session-state"])
        state = value if isinstance(value, bytes) else None
        self._sessions(queue).set_state(_text(given["session-id"]) or "", state, self._host.now())
        return Answer()

    def _list_sessions(self, queue: Queue, given: dict[str, bytes]) -> Answer:
        since = _number(given["last-updated-time"])
        self._sessions(queue)
        names = session_names(queue, None if since >= MAX_INSTANT_MS else since * 1_000)
        skip, top = _number(given["skip"]), _number(given["top"])
        page = names[skip : skip + top]
        if not page:
            return Answer(204, "No Content", f"{PREFIX}session-not-found")
        encoded = [len(name.encode()).to_bytes(4, "big") + name.encode() for name in page]
        return Answer(body={string("skip"): int32(skip + len(page)), string("sessions-ids"): array(STRING32, encoded)})


def _messages(found: list[Stored], *, is_peeked: bool) -> Answer:
    if not found:
        return Answer(204, "No Content", Condition.MESSAGE_NOT_FOUND)
    entries: list[bytes] = []
    for stored in found:
        entry = {string("message"): binary(message(stored, is_peeked=is_peeked))}
        if not is_peeked and stored.token is not None:
            entry[string("lock-token")] = uuid(stored.token)
        entries.append(map_of(entry))
    return Answer(body={string("messages"): list_of(entries)})


def _text(value: bytes | None) -> str | None:
    found = None if value is None else decoded(value)
    return found if isinstance(found, str) else None


def _number(value: bytes) -> int:
    found = decoded(value)
    if not isinstance(found, int):
        msg = "a number was expected"
        raise CodecError(msg)
    return found


def _numbers(value: bytes) -> list[int]:
    return [one for one in cast("list[object]", decoded(value)) if isinstance(one, int)]


def _tokens(given: dict[str, bytes]) -> list[bytes]:
    return [one for one in cast("list[object]", decoded(given["lock-tokens"])) if isinstance(one, bytes)]
