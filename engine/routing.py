"""Who handles a message, and how patient the engine is with it: what plugins say, remembered while it is live."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import timedelta

from queue_runtime.engine.policy import Policy, SessionFailure
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.events import Duplicate, Received
from queue_runtime.journal.state import MessageState
from queue_runtime.plugins import Context, DeliveryInfo, Handler, PermanentError, Plugins, RouteOptions
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.message import Delivery, Message, QueueName, Receipt

__all__ = ["NoHandler", "Routing", "delivery_of"]

UNHANDLED = "(unhandled)"


class NoHandler(PermanentError):  # noqa: N818 - a kind of error, in the field's words
    """No plugin handles the message. Register a handler for it, or set `on_unhandled`."""


class Routing:
    """Handlers, policies and deliveries of live messages. Used on the engine's loop.

    Args:
        plugins: who is asked.
        settings: what holds where plugins say nothing.
        provider_name: names the provider in deliveries that are rebuilt from the journal.
    """

    def __init__(self, plugins: Plugins, settings: EngineSettings, provider_name: str) -> None:
        self._plugins = plugins
        self._default = settings.policy()
        self._policies: dict[str, Policy] = {}
        self._handlers: dict[str, Handler] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._refusals: dict[str, Exception] = {}
        self._unhandled = _unhandled(settings.on_unhandled)
        self._releases_unhandled = settings.on_unhandled == "release"
        self._provider_name = provider_name

    def policy(self, route: str) -> Policy:
        """The policy of a route; the engine's own until a handler of that name has been seen."""
        return self._policies.get(route, self._default)

    def route(self, message: MessageState) -> str:
        """Name the handler of a message."""
        return self.handler(message).route

    def hands_back(self, route: str) -> bool:
        """True if messages of this route go back to the broker untried."""
        return self._releases_unhandled and route == UNHANDLED

    def handler(self, message: MessageState) -> Handler:
        """Return who handles the message's next attempt. A hook that raises gives a handler that raises the same."""
        handler = self._handlers.get(message.key)
        if handler is None:
            handler = self._handlers[message.key] = self._ask(message)
            if handler.route not in self._policies:
                self._policies[handler.route] = self._policy_for(handler.options)
        return handler

    def _ask(self, message: MessageState) -> Handler:
        refusal = self._refusals.get(message.key)
        if refusal is not None:
            return _raising(refusal)
        try:
            handler = self._plugins.handler(DeliveryInfo(self.delivery(message)))
        except Exception as error:  # noqa: BLE001 - a plugin's error, whatever it is, is an error of the attempt
            return _raising(error)
        return handler if handler is not None else self._unhandled

    def _policy_for(self, options: RouteOptions) -> Policy:
        policy = self._default
        if options.max_attempts is not None:
            policy = replace(policy, max_attempts=options.max_attempts)
        if options.session_failure is not None:
            policy = replace(policy, session_failure=SessionFailure(options.session_failure))
        return policy

    def attempt_ended(self, key: str) -> None:
        """The next attempt asks anew: a plugin may route it elsewhere."""
        self._handlers.pop(key, None)

    def delivery(self, message: MessageState) -> Delivery:
        """The newest hand-over of a message, rebuilt from the journal after a restart."""
        delivery = self._deliveries.get(message.key)
        if delivery is None:
            delivery = self._deliveries[message.key] = delivery_of(message, self._provider_name)
        return delivery

    def remember(self, key: str, delivery: Delivery, refusal: Exception | None) -> None:
        """Keep what the provider handed over; `refusal` is what a hook raised about it."""
        self._deliveries[key] = delivery
        if refusal is not None:
            self._refusals[key] = refusal

    def changed(self, before: MessageState | None, after: MessageState | None) -> None:
        """Drop what belongs to a message that is not live any more."""
        if before is not None and (after is None or not after.copies):
            self.forget(before.key)

    def keep(self, live: AbstractSet[str]) -> None:
        """Drop what belongs to messages that are not `live`: what was seen of them could not be journaled."""
        for key in self._deliveries.keys() - live:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Drop what belongs to `key`."""
        self._deliveries.pop(key, None)
        self._handlers.pop(key, None)
        self._refusals.pop(key, None)


def delivery_of(message: MessageState, provider_name: str) -> Delivery:
    """Build the delivery that the journal recorded. A message known by a duplicate alone has no body."""
    origin = message.origin
    copy = message.copies[-1]
    receipt = Receipt(copy.receipt, copy.provider_id, Timestamp(copy.locked_until), provider_name)
    received = origin if isinstance(origin, Received) else None
    attributes: Mapping[str, str] = received.attributes if received else {}
    ttl_us = received.expires_at - received.at if received and received.expires_at is not None else None
    return Delivery(
        queue=QueueName(origin.queue),
        message=Message(
            received.body if received else b"",
            message_id=origin.message_id,
            session_id=_sent_session(origin),
            correlation_id=received.correlation_id if received else None,
            content_type=received.content_type if received else None,
            attributes=attributes,
            time_to_live=timedelta(microseconds=ttl_us) if ttl_us is not None and ttl_us > 0 else None,
        ),
        receipt=receipt,
        delivery_count=copy.delivery_count,
        sequence=received.sequence if received else None,
        enqueued_at=_timestamp(received.enqueued_at) if received else None,
        expires_at=_timestamp(received.expires_at) if received else None,
        first_delivered_at=Timestamp(origin.at),
        delivered_at=Timestamp(message.since),
    )


def _sent_session(origin: Received | Duplicate) -> str | None:
    """The session id that the message came with, whatever session a plugin put it into."""
    if isinstance(origin, Received) and origin.sent_session_id is not None:
        return origin.sent_session_id or None
    return origin.session_id


def _timestamp(value: int | None) -> Timestamp | None:
    return None if value is None else Timestamp(value)


def _raising(error: Exception) -> Handler:
    async def call(ctx: Context) -> object:
        del ctx
        raise error

    return Handler(route="(hook error)", call=call, is_async=True)


def _unhandled(action: str) -> Handler:
    async def call(ctx: Context) -> object:
        if action == "complete":
            return None
        delivery = ctx.delivery
        attributes = ", ".join(f"{name}={value!r}" for name, value in sorted(delivery.message.attributes.items())[:5])
        message_id, queue = delivery.message.message_id, delivery.queue
        msg = f"no plugin handles message {message_id} of {queue} ({attributes or 'no attributes'})"
        raise NoHandler(msg)

    return Handler(route=UNHANDLED, call=call, is_async=True)
