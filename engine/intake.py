"""Takes deliveries in: who they are, where they belong, and what the core is to make of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace

from queue_runtime.engine.core import Core
from queue_runtime.engine.inputs import Delivered, HandBack, TimerFired
from queue_runtime.engine.lanes import LaneKey
from queue_runtime.engine.routing import Routing
from queue_runtime.engine.settings import EngineSettings
from queue_runtime.journal.errors import EventRefused
from queue_runtime.journal.events import LapseReason, Received
from queue_runtime.journal.settled_keys import SettledKey, key_digest
from queue_runtime.journal.state import Outcome
from queue_runtime.plugins import DeliveryInfo, Plugins
from queue_runtime.providers.bodies import is_marked
from queue_runtime.providers.message import Delivery
from queue_runtime.providers.redrive import origin_of

__all__ = ["Intake", "default_key"]

logger = logging.getLogger("queue_runtime.engine")


class Intake:
    """Journals deliveries. Used on the engine's loop."""

    def __init__(self, core: Core, routing: Routing, plugins: Plugins, settings: EngineSettings) -> None:
        self._core = core
        self._routing = routing
        self._plugins = plugins
        self._settings = settings
        self._delay_us = round(settings.lane_release_delay_s * 1_000_000)

    def accept(self, deliveries: Sequence[Delivery], *, is_session: bool = False) -> None:
        """Journal what was handed over and start what may start; returns at once.

        Args:
            deliveries: in the broker's order.
            is_session: they came through a session of the broker, whose id stands whatever a plugin says.
        """
        if self._core.outage.error is not None:
            return  # nothing can be journaled: what came is handed over again when its lock ends
        lanes: set[LaneKey] = set()
        now = self._core.now()
        for delivery in deliveries:
            lane = self._accept(delivery, now, is_session=is_session)
            if lane is not None:
                lanes.add(lane)
        for lane in lanes:
            self._trim(lane)
        self._forget_excess()
        self._core.pump()

    def _accept(self, delivery: Delivery, now: int, *, is_session: bool) -> LaneKey | None:
        session_id: str | None = delivery.message.session_id
        name: str | None = None
        refusal: Exception | None = None
        info = DeliveryInfo(delivery)
        try:
            name = self._plugins.idempotency_key(info)
            if not is_session:
                session_id = self._plugins.session_id(info) or session_id
        except Exception as error:  # noqa: BLE001 - a hook's error fails the attempt; the message is journaled all the same
            refusal = error
        digest = hashlib.sha256(delivery.message.body).digest()
        key = f"{delivery.queue}/{name}" if name is not None else default_key(delivery)
        key, known = self._recognized(key, digest, now, is_encrypted=is_marked(delivery.message.body))
        received = _received(delivery, key, session_id, digest, now)
        if delivery.queue in self._core.sender_ordered:
            received = self._ordered(received, delivery)
        self._routing.remember(key, delivery, refusal)
        try:
            self._core.submit(key, Delivered(received, known))
        except EventRefused as error:
            self._routing.forget(key)
            logger.error("%s cannot be journaled, so it is not run; its lock will end: %s", key, error)  # noqa: TRY400
            return None
        return None if session_id is None else (str(delivery.queue), str(session_id))

    def _ordered(self, received: Received, delivery: Delivery) -> Received:
        """Put a message into its sender's order, and see whether this engine is alone on the queue, as that needs."""
        queue, stamp = str(delivery.queue), delivery.stamp
        if delivery.foreign_deliveries and queue not in self._core.shared:
            self._core.shared.add(queue)
            logger.warning(
                "a message of queue %s was delivered %d times before, and not here: somebody else seems to receive "
                "from it, and its sessions have an order only while one engine works it",
                queue,
                delivery.foreign_deliveries,
            )
        if stamp is None or received.session_id is None or received.session_id != delivery.message.session_id:
            return received  # a plugin gave it another session than the one that its sender counts in
        return replace(
            received,
            sequence=stamp.at,
            sender=stamp.sender,
            sender_epoch=stamp.epoch,
            sender_number=stamp.number,
        )

    def _recognized(self, key: str, digest: bytes, now: int, *, is_encrypted: bool) -> tuple[str, SettledKey | None]:
        """Under which key a delivery is taken in, and whether that is settled already.

        A key that comes with another body is another message: it is run, and somebody is told. Of an encrypted body
        that says nothing, for no encryption gives the same bytes twice; so it is a duplicate of what was completed,
        which somebody with the key had sent under this id. It is none of what is still under way, which may turn out to
        be forged.
        """
        message = self._core.state.messages.get(key)
        if message is not None:
            is_done = is_encrypted and message.outcome is Outcome.COMPLETED
            if is_done or message.origin.body_digest in {digest, b""}:
                return key, None
        known = None if message is not None else self._settled(key, now)
        if message is None and (known is None or is_encrypted or known.may_be_of(digest)):
            return key, known
        logger.warning("idempotency key %s came again with another body: it is run as a message of its own", key)
        key = f"{key}~{digest.hex()[:16]}"
        return key, self._settled(key, now)

    def _settled(self, key: str, now: int) -> SettledKey | None:
        """What the idempotency window knows of a key."""
        digest = key_digest(key)
        known = self._core.state.settled.find(digest) or self._core.journal.keys.find(digest)
        return None if known is None or known.at < now - self._core.state.window_us else known

    def _trim(self, lane: LaneKey) -> None:
        """Hand back the tail of a session that has more waiting here than it may, so that it does not stop others."""
        lanes = self._core.lanes
        excess = lanes.depth(lane) - self._settings.max_lane
        if excess <= 0 or lanes.in_flight < self._settings.max_in_flight // 2:
            return  # a hand-back raises the broker's count, so there has to be a reason
        # Where the session is blocked by what stays here, the broker hands the tail over when it can be taken.
        delay_us = 0 if lane[0] in self._core.ordered_groups else self._delay_us
        for message in reversed(lanes.lane(lane)[-excess:]):
            self._core.submit(message.key, HandBack(self._core.now(), LapseReason.BACK_PRESSURE, delay_us))

    def _forget_excess(self) -> None:
        """Bound the bodies of messages that wait for their broker; their attempts are still remembered."""
        lapsed = self._core.lanes.lapsed
        while len(lapsed) > self._settings.max_in_flight:
            oldest = next(iter(lapsed))
            self._core.submit(oldest, TimerFired(self._core.now(), pressed=True))


def default_key(delivery: Delivery) -> str:
    """The queue and the sender's message id; of a redriven copy, those of the original and which redrive it is."""
    origin, redriven = origin_of(delivery.message)
    return f"{delivery.queue}#{redriven}/{origin}" if redriven else f"{delivery.queue}/{origin}"


def _received(delivery: Delivery, key: str, session_id: str | None, digest: bytes, now: int) -> Received:
    """The event, in plain strings and integers: the typed ids of the provider are no part of the journal's format."""
    message, receipt = delivery.message, delivery.receipt
    return Received(
        key=key,
        at=now,
        queue=str(delivery.queue),
        message_id=str(message.message_id),
        provider_id=receipt.provider_id,
        session_id=None if session_id is None else str(session_id),
        sequence=delivery.sequence,
        sent_session_id=None if session_id == message.session_id else str(message.session_id or ""),
        delivery_count=delivery.delivery_count,
        enqueued_at=_plain(delivery.enqueued_at),
        expires_at=_plain(delivery.expires_at),
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        attributes=message.attributes,
        locked_until=int(receipt.expires_at),
        suspect_until=0,
        body_digest=digest,
        receipt=receipt.handle,
        body=message.body,
    )


def _plain(instant: int | None) -> int | None:
    return None if instant is None else int(instant)
