"""What a client's `attach` asks for, and whether it gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from queue_runtime.tools.servicebus_emulator.amqp.codec import Described, decoded, is_true, items, pairs
from queue_runtime.tools.servicebus_emulator.amqp.encode import (
    FALSE,
    NULL,
    boolean,
    described,
    list_of,
    long,
    map_of,
    string,
    symbol,
    uint,
    ulong,
)
from queue_runtime.tools.servicebus_emulator.amqp.frames import ATTACH
from queue_runtime.tools.servicebus_emulator.broker.queue import Queue
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.broker.sessions import Session
from queue_runtime.tools.servicebus_emulator.channel import Link, SessionChannel
from queue_runtime.tools.servicebus_emulator.claims import Claims, Right, path_of
from queue_runtime.tools.servicebus_emulator.faults import Faults
from queue_runtime.tools.servicebus_emulator.host import Host
from queue_runtime.tools.servicebus_emulator.links import Intake, Outlet
from queue_runtime.tools.servicebus_emulator.management import Management
from queue_runtime.tools.servicebus_emulator.requests import Answer, Replies, Request, Requests

__all__ = ["Opening"]

CBS = "$cbs"
MANAGEMENT = "/$management"
SESSION_FILTER = symbol("com.microsoft:session-filter")
WAIT_S = 60.0
"""How long a link waits for a session when it does not say. Source: Service Bus, "Message sessions"."""
TICKS_AT_EPOCH = 621_355_968_000_000_000
"""The epoch in .NET's ticks of 100 ns since the year 1."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A client's `attach`, cut."""

    name: bytes
    handle: int
    is_receiver: bool
    settles: bytes
    confirms: bytes
    source: bytes
    target: bytes
    properties: bytes


class Opening:
    """Opens the links of one connection.

    Args:
        host: serves the queues.
        faults: what is to go wrong.
        claims: of the connection.
        put_token: answers a request of `$cbs`.
    """

    def __init__(self, host: Host, faults: Faults, claims: Claims, put_token: Callable[[Request], Answer]) -> None:
        self._host = host
        self._faults = faults
        self._claims = claims
        self._put_token = put_token
        self._replies: dict[tuple[SessionChannel, str], Replies] = {}

    def attach(self, channel: SessionChannel, fields: list[bytes]) -> None:
        """Open a link, or refuse it, or let it wait for a session."""
        handle = decoded(fields[1])
        asked = _Asked(
            fields[0],
            handle if isinstance(handle, int) else 0,
            is_true(fields[2]),
            fields[3],
            fields[4],
            fields[5],
            fields[6],
            fields[13],
        )
        address = _address(asked.source if asked.is_receiver else asked.target)
        path = path_of(address)
        try:
            if path == CBS or path.endswith(MANAGEMENT):
                self._open_requests(channel, asked, path)
            elif asked.is_receiver:
                self._open_outlet(channel, asked, path)
            else:
                self._open_intake(channel, asked, path)
        except Refused as refused:
            _refuse(channel, asked, refused)

    # --- requests -----------------------------------------------------------------------------------------------

    def _open_requests(self, channel: SessionChannel, asked: _Asked, path: str) -> None:
        if path != CBS:
            entity = path.removesuffix(MANAGEMENT)
            self._claims.check(entity, Right.SEND | Right.LISTEN, self._host.now())
            self._host.namespace.find(entity)
        if asked.is_receiver:
            replies = Replies(channel, asked.handle, path)
            for name in (
                _address(asked.target),
                str(decoded(asked.name)),
            ):  # Python names the one, JavaScript the other
                self._replies[channel, name] = replies
            self._accept(channel, asked, replies)
            return
        entity = path.removesuffix(MANAGEMENT)
        perform = self._put_token if path == CBS else Management(self._host, self._faults, self._claims, entity).perform
        own = _address(asked.target)
        requests = Requests(
            channel, asked.handle, path, perform, lambda name: self._replies.get((channel, name or own))
        )
        self._accept(channel, asked, requests)
        requests.open()

    # --- queues -------------------------------------------------------------------------------------------------

    def _open_intake(self, channel: SessionChannel, asked: _Asked, path: str) -> None:
        self._claims.check(path, Right.SEND, self._host.now())
        queue = self._host.namespace.find(path)
        if "/$" in path:
            raise Refused(Condition.NOT_ALLOWED, f"{path} is a sub-queue: send to the queue itself")
        intake = Intake(self._host, self._faults, channel, asked.handle, queue, path)
        most = queue.settings.max_message_bytes
        self._accept(channel, asked, intake, most, {symbol("com.microsoft:max-message-batch-size"): ulong(most)})
        intake.open()

    def _open_outlet(self, channel: SessionChannel, asked: _Asked, path: str) -> None:
        self._claims.check(path, Right.LISTEN, self._host.now())
        queue = self._host.namespace.find(path)
        wanted = _session_filter(asked.source)
        if wanted is None:
            if queue.sessions is not None:
                text = f"queue {path} has sessions: receive from one of them, or from the next that is available"
                raise Refused(Condition.NOT_ALLOWED, text)
            self._join(channel, asked, queue, None)
            return
        if queue.sessions is None:
            raise Refused(Condition.NOT_ALLOWED, f"queue {path} has no sessions: receive from the queue itself")
        name = decoded(wanted)
        if isinstance(name, str):
            self._join(channel, asked, queue, queue.sessions.accept(name, next(self._host.holders), self._host.now()))
        else:
            self._host.wait(queue, _Waiting(self, self._host, channel, asked, queue))

    def _join(self, channel: SessionChannel, asked: _Asked, queue: Queue, session: Session | None) -> None:
        outlet = Outlet(self._host, self._faults, channel, asked.handle, queue, session)
        outlet.deletes = asked.settles == b"\x50\x01"
        properties: dict[bytes, bytes] = {}
        if session is not None:
            ticks = session.locked_until * 10 + TICKS_AT_EPOCH
            properties[symbol("com.microsoft:locked-until-utc")] = long(ticks)
        self._accept(channel, asked, outlet, 0, properties, session)
        self._host.join(queue, outlet)

    def grant(self, waiting: _Waiting, name: str) -> None:
        """Give a session to a link that waited for one."""
        sessions = waiting.queue.sessions
        if sessions is not None:
            session = sessions.accept(name, next(self._host.holders), self._host.now())
            self._join(waiting.channel, waiting.asked, waiting.queue, session)

    def _accept(
        self,
        channel: SessionChannel,
        asked: _Asked,
        link: Link,
        max_bytes: int = 0,
        properties: dict[bytes, bytes] | None = None,
        session: Session | None = None,
    ) -> None:
        """Answer with what was asked for: source and target go back byte by byte, but for the session's name."""
        channel.links[asked.handle] = link
        source = asked.source if session is None else _granted(asked.source, session.name)
        fields = [asked.name, uint(asked.handle), boolean(not asked.is_receiver), asked.settles, asked.confirms]
        fields += [source, asked.target, NULL, FALSE, uint(0), ulong(max_bytes) if max_bytes else NULL]
        channel.send(ATTACH, [*fields, NULL, NULL, map_of(properties) if properties else NULL])


class _Waiting:
    """A link that waits for a session. It does so for as long as it said, and while it and its connection are there."""

    def __init__(self, opening: Opening, host: Host, channel: SessionChannel, asked: _Asked, queue: Queue) -> None:
        self.channel = channel
        self.asked = asked
        self.queue = queue
        self.path = queue.name.lower()
        self._opening = opening
        self._host = host
        self._timer = asyncio.get_running_loop().call_later(_wait_s(asked.properties), self._give_up)
        channel.links[asked.handle] = self

    def accept(self, name: str) -> None:
        """Take a session."""
        self._timer.cancel()
        self._opening.grant(self, name)

    def _give_up(self) -> None:
        self._host.stop_waiting(self.queue, self)
        del self.channel.links[self.asked.handle]
        text = f"queue {self.path} had no free session with messages in time; ask again"
        _refuse(self.channel, self.asked, Refused(Condition.TIMEOUT, text))

    def on_closed(self) -> None:
        """Wait no more."""
        self._timer.cancel()
        self._host.stop_waiting(self.queue, self)

    def on_transfer(self, incoming: object) -> None:
        """Nothing comes in here."""

    def on_flow(self, count: int | None, credit: int, *, is_drain: bool) -> None:
        """Credit cannot be given to a link that is not open."""

    def on_outcome(self, tag: bytes, state: bytes) -> bytes | None:
        """Nothing was delivered."""


def _refuse(channel: SessionChannel, asked: _Asked, refused: Refused) -> None:
    """Answer without source and target, then detach: the client must not take the link for open."""
    fields = [asked.name, uint(asked.handle), boolean(not asked.is_receiver), asked.settles, asked.confirms]
    channel.send(ATTACH, [*fields, NULL, NULL, NULL, FALSE, uint(0)])
    channel.refuse(asked.handle, refused.condition, refused.text)


def _address(terminus: bytes) -> str:
    """Return the address of an encoded source or target."""
    value = decoded(terminus)
    fields = value.value if isinstance(value, Described) else None
    found: object = fields[0] if isinstance(fields, list) and fields else ""  # pyright: ignore[reportUnknownVariableType]
    return found if isinstance(found, str) else ""


def _session_filter(source: bytes) -> bytes | None:
    """Return the encoded session that a source asks for, a null for any; None if it asks for none."""
    fields = items(source, 3)
    filters = pairs(fields[7]) if len(fields) > 7 else {}
    if SESSION_FILTER not in filters:
        return None
    value = decoded(filters[SESSION_FILTER])
    return (
        string(value.value)
        if isinstance(value, Described) and isinstance(value.value, str)
        else (NULL if isinstance(value, Described) else filters[SESSION_FILTER])
    )


def _granted(source: bytes, name: str) -> bytes:
    """Return a source with the name of the session that was granted."""
    fields = items(source, 3)
    fields[7] = map_of({**pairs(fields[7]), SESSION_FILTER: string(name)})
    return described(0x28, list_of(fields))


def _wait_s(properties: bytes) -> float:
    given = {decoded(key): decoded(value) for key, value in pairs(properties).items()}
    wait_ms = given.get("com.microsoft:timeout")
    return wait_ms / 1_000 if isinstance(wait_ms, int) else WAIT_S
