"""A client of the emulator: its connection, what it may do, and the links that it has open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from queue_runtime.tools.servicebus_emulator.amqp.codec import decoded
from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused
from queue_runtime.tools.servicebus_emulator.channel import SessionChannel
from queue_runtime.tools.servicebus_emulator.claims import Claims, path_of, read_token
from queue_runtime.tools.servicebus_emulator.connection import Connection
from queue_runtime.tools.servicebus_emulator.faults import Faults
from queue_runtime.tools.servicebus_emulator.host import Host
from queue_runtime.tools.servicebus_emulator.opening import MANAGEMENT, Opening
from queue_runtime.tools.servicebus_emulator.requests import Answer, Request

__all__ = ["Client"]

FOREVER = 1 << 62


class Client:
    """One client, from connecting to its end.

    Args:
        host: serves the queues.
        faults: what is to go wrong.
        on_lost: is called once when it is gone.
    """

    def __init__(self, host: Host, faults: Faults, on_lost: Callable[[Client], None]) -> None:
        self.claims = Claims()
        self.connection = Connection(faults, self._begin, self._login, self._lost)
        self._host = host
        self._on_lost = on_lost
        self._opening = Opening(host, faults, self.claims, self._put_token)
        self._channels: list[SessionChannel] = []
        self._expiry: asyncio.TimerHandle | None = None

    def _begin(self, number: int, fields: list[bytes]) -> SessionChannel:
        channel = SessionChannel(self.connection, number, fields, self._opening.attach)
        self._channels.append(channel)
        return channel

    def _login(self, user: str, password: str) -> bool:
        """Let a key in by SASL PLAIN: what it allows is allowed everywhere."""
        key = self._host.keys.get(user)
        if key is None or key.key != password:
            return False
        self.claims.grant("", key.rights, FOREVER)
        return True

    def _lost(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._on_lost(self)

    def _put_token(self, request: Request) -> Answer:
        """Answer a request of `$cbs`. Source: Service Bus, "AMQP 1.0 protocol guide", claims-based security."""
        audience = request.text("name")
        path = path_of(audience).removesuffix(MANAGEMENT)
        token = decoded(request.value)
        try:
            if path and path not in self._host.namespace.queues:
                raise Refused(Condition.NOT_FOUND, f"there is no queue {path}: create it, or correct the name")  # noqa: TRY301
            text = token.decode() if isinstance(token, bytes) else str(token)
            rights, expires_s = read_token(text, audience, self._host.keys)
            expires_at = expires_s * 1_000_000
            if expires_at <= self._host.now():
                raise Refused(Condition.UNAUTHORIZED, f"the token for {path!r} has expired; put a new one")  # noqa: TRY301
        except Refused as refused:
            return Answer({Condition.NOT_FOUND: 404}.get(refused.condition, 401), refused.text, refused.condition)
        self.claims.grant(path, rights, expires_at)
        self._watch(expires_at)
        return Answer(202, "Accepted")

    def _watch(self, expires_at: int) -> None:
        """Look again when a token expires: the next of them, if others are watched already."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, (expires_at - self._host.now()) / 1e6)
        if self._expiry is not None:
            due = min(due, self._expiry.when()) if self._expiry.when() > loop.time() else due
            self._expiry.cancel()
        self._expiry = loop.call_at(due, self.enforce)

    def enforce(self) -> None:
        """Detach every link that no claim allows any more, and look again when the next claim ends."""
        now = self._host.now()
        for channel, handle, path in self._links():
            entity = path.removesuffix(MANAGEMENT)
            if not entity.startswith("$") and not self.claims.is_granted(entity, now):
                text = f"the token for {entity!r} has expired; put a new one and attach again"
                channel.refuse(handle, Condition.UNAUTHORIZED, text)
        next_at = self.claims.next_at(now)
        if next_at is not None and next_at < FOREVER:
            self._watch(next_at)

    def detach(self, path: str | None, condition: Condition, text: str) -> int:
        """Detach the links of a queue and what belongs to it, or of all, and return how many."""
        found = [
            (channel, handle)
            for channel, handle, of in self._links()
            if not of.startswith("$") and (path is None or of == path or of.startswith(path + "/"))
        ]
        for channel, handle in found:
            channel.refuse(handle, condition, text)
        return len(found)

    def _links(self) -> list[tuple[SessionChannel, int, str]]:
        return [
            (channel, handle, link.path) for channel in self._channels for handle, link in list(channel.links.items())
        ]
