"""Who may start next: the index over all live messages, derived from their states and from nothing else.

One message of a session is in an attempt at a time, in order; messages without a session run side by side. A poison
suspect runs alone. `update` is told of every change, `next_ready` answers; both are cheap, because every message passes
through them several times.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from queue_runtime.journal.state import EngineState, MessageState, Phase, Received

__all__ = ["LaneKey", "Lanes"]

LaneKey: TypeAlias = tuple[str, str]

_IN_FLIGHT = frozenset({Phase.WAITING, Phase.RUNNING, Phase.ORPHANED, Phase.BACKING_OFF, Phase.SENDING, Phase.SETTLING})
_RUNNING = frozenset({Phase.RUNNING, Phase.ORPHANED})


@dataclass(slots=True)
class _Lane:
    """One session of one queue: what is open of it, in order, and what keeps it from going on."""

    members: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    running: int = 0
    releasing: int = 0


class Lanes:
    """The order of everything that is live. Owned by the engine's core, on the engine's loop.

    Attributes:
        running: handlers that have not returned.
        in_flight: messages that are held or have something owed; `in_flight_bytes` of bodies.
        lapsed: messages that wait for their broker, with their bodies.

    Args:
        state: the fold that it indexes; read, never changed.
        admits: whether the breaker of a message's route lets it start; the message is offered again by `unblock`.
        holds: whether the head of a session waits for what its sender sent before; it is offered again by whoever says.
    """

    def __init__(
        self,
        state: EngineState,
        admits: Callable[[MessageState], bool],
        holds: Callable[[MessageState, int], bool],
    ) -> None:
        self._state = state
        self._admits = admits
        self._holds = holds
        self._lanes: dict[LaneKey, _Lane] = {}
        self._ready: deque[str] = deque()
        self._queued: set[str] = set()
        self._suspects: deque[str] = deque()
        self._blocked: set[str] = set()
        self._alone: str | None = None
        self.running = 0
        self.in_flight = 0
        self.in_flight_bytes = 0
        self.lapsed: dict[str, None] = {}  # in the order in which they lapsed
        for message in state.messages.values():
            self.update(None, message)

    def update(self, before: MessageState | None, after: MessageState | None) -> None:
        """Take over one change of one message."""
        message = after or before
        if message is None:
            return
        if before is None or after is None or before.origin is not after.origin or not _are_in_flight(before, after):
            self._count(before, after)
        self._count_running(before, after)
        lane_key = message.lane
        if lane_key is not None:
            self._update_lane(lane_key, before, after)
        elif after is not None and _may_start(after):
            self.offer(after.key)

    def _count(self, before: MessageState | None, after: MessageState | None) -> None:
        if before is not None:
            if before.phase in _IN_FLIGHT:
                self.in_flight -= 1
                self.in_flight_bytes -= _body_bytes(before)
            else:
                self.lapsed.pop(before.key, None)
        if after is not None:
            if after.phase in _IN_FLIGHT:
                self.in_flight += 1
                self.in_flight_bytes += _body_bytes(after)
            elif after.phase is Phase.LAPSED:
                self.lapsed[after.key] = None

    def _count_running(self, before: MessageState | None, after: MessageState | None) -> None:
        if before is not None and before.phase in _RUNNING:
            self.running -= 1
            if before.alone:
                self._alone = None
        if after is not None and after.phase in _RUNNING:
            self.running += 1
            if after.alone:
                self._alone = after.key

    def _update_lane(self, lane_key: LaneKey, before: MessageState | None, after: MessageState | None) -> None:
        lane = self._lanes.get(lane_key)
        if lane is None:
            lane = self._lanes[lane_key] = _Lane()
        was_open = before is not None and before.is_open
        is_open = after is not None and after.is_open
        if before is not None:
            lane.running -= before.is_running
            lane.releasing -= before.is_releasing
            if was_open and (not is_open or (after is not None and after.order != before.order)):
                lane.members.remove((before.order, before.key))
                was_open = False
        if after is not None:
            lane.running += after.is_running
            lane.releasing += after.is_releasing
            if is_open and not was_open:
                insort(lane.members, (after.order, after.key))
        if lane.members:
            self.offer(lane.members[0][1])
        elif not lane.running and not lane.releasing:
            del self._lanes[lane_key]

    def offer(self, key: str) -> None:
        """Look at a message: it may start now, unless something else keeps it."""
        if key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)

    def unblock(self) -> None:
        """Look again at everything that a breaker held up."""
        blocked, self._blocked = self._blocked, set()
        for key in blocked:
            self.offer(key)

    def next_ready(self, now: int) -> MessageState | None:
        """Take the next message that may start now; None if there is none, or if it has to wait for others to end.

        What is answered is started, or offered again: it is not answered twice.
        """
        if self._alone is not None:
            return None
        while self._ready:
            key = self._ready[0]
            message = self._startable(key, now)
            if message is None or message.suspect_until > now or not self._admits(message):
                self._ready.popleft()
                self._queued.discard(key)
                self._put_aside(message, now)
                continue
            if self._suspects:
                break
            self._ready.popleft()
            self._queued.discard(key)
            return message
        return self._next_suspect(now)

    def _put_aside(self, message: MessageState | None, now: int) -> None:
        if message is None:
            return
        if message.suspect_until > now:
            if message.key not in self._suspects:
                self._suspects.append(message.key)
        else:
            self._blocked.add(message.key)

    def _next_suspect(self, now: int) -> MessageState | None:
        """A suspect starts when nothing else runs; until then nothing else starts."""
        while self._suspects:
            key = self._suspects[0]
            message = self._startable(key, now)
            if message is not None and self._admits(message):
                if self.running:
                    return None
                self._suspects.popleft()
                return message
            self._suspects.popleft()
            if message is not None:
                self._blocked.add(key)
        return None

    def _startable(self, key: str, now: int) -> MessageState | None:
        """The message, if its own state and its session let it start."""
        message = self._state.messages.get(key)
        if message is None or not _may_start(message):
            return None
        if message.phase is Phase.BACKING_OFF and (message.retry_at is None or message.retry_at > now):
            return None
        lane_key = message.lane
        if lane_key is None:
            return message
        lane = self._lanes[lane_key]
        session = self._state.sessions.get(lane_key)
        parked = session is not None and session.parked_key is not None
        if parked or lane.running or lane.releasing or lane.members[0][1] != key or self._holds(message, now):
            return None
        return message

    def offer_lane(self, lane_key: LaneKey) -> None:
        """Look at a session again: it was resumed."""
        lane = self._lanes.get(lane_key)
        if lane is not None and lane.members:
            self.offer(lane.members[0][1])

    def lane(self, lane_key: LaneKey) -> list[MessageState]:
        """The open messages of a session, head first."""
        lane = self._lanes.get(lane_key)
        return [] if lane is None else [self._state.messages[key] for _, key in lane.members]

    def depth(self, lane_key: LaneKey) -> int:
        """How many messages of a session are open."""
        lane = self._lanes.get(lane_key)
        return 0 if lane is None else len(lane.members)

    def lanes(self) -> Iterable[LaneKey]:
        """Every session with something open."""
        return tuple(self._lanes)


def _are_in_flight(before: MessageState, after: MessageState) -> bool:
    return before.phase in _IN_FLIGHT and after.phase in _IN_FLIGHT


def _body_bytes(message: MessageState) -> int:
    origin = message.origin
    return len(origin.body) if isinstance(origin, Received) else 0


def _may_start(message: MessageState) -> bool:
    return message.phase is Phase.WAITING or message.phase is Phase.BACKING_OFF
