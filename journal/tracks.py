"""What `invariants` remembers of a journal while it reads one: less than the fold, and on purpose not the fold.

A check that used `evolve` would forgive what `evolve` gets wrong, so this is a second and plainer account of the same
events. It holds what is live, the newest keys of the idempotency window, and one entry a breaker and a parked session.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeAlias

from queue_runtime.journal.sender_order import Stamp, stamp_of
from queue_runtime.journal.settled_keys import SettledKey, key_digest
from queue_runtime.journal.state import (
    BreakerPhase,
    EngineState,
    Lease,
    MessageState,
    Outcome,
    Phase,
)

__all__ = ["MAX_KEYS", "Track", "Tracks"]

MAX_KEYS = 1 << 18
"""About 60 MB: an audit is not to need more, however long the journal is."""

LaneKey: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class Track:
    """One live message. `copies` are the broker messages that are not settled, `held` those that are ours."""

    key: str
    lane: LaneKey | None
    order: int
    digest: bytes
    stamp: Stamp | None = None
    copies: set[str] = field(default_factory=set[str])
    held: set[str] = field(default_factory=set[str])
    attempt: int = 0
    run_id: str | None = None  # of the attempt that runs, if one does
    is_running: bool = False
    is_alone: bool = False
    suspect_until: int = 0
    outcome: Outcome | None = None
    outgoing: int = 0
    sent: int = 0
    is_dead_lettered: bool = False  # a copy of it is among the dead letters
    is_known_dead: bool = False  # and that was heard while the copy was held, so nothing excuses a second one
    is_forgotten: bool = False
    is_owed_back: bool = False  # an earlier message of its session lapsed, and it is still held
    was_completed: bool = False  # by an earlier life, inside the window

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"message {self.key}"


class Tracks:
    """Everything that is remembered, found by message, session, breaker and run.

    Args:
        state: what the journal meant before the first event that will be read; a new journal's if there is none.
        max_keys: the keys of completed messages that are remembered at most. What was settled before that many others
            is not seen to be run again, nor to be unknown.
    """

    def __init__(self, state: EngineState | None = None, max_keys: int = MAX_KEYS) -> None:
        """Begin where `state` ends."""
        state = EngineState() if state is None else state
        self.run_id = state.run_id
        self.window_us = state.window_us
        self.messages: dict[str, Track] = {}
        self.running: dict[str, Track] = {}
        self.parked = {lane for lane, session in state.sessions.items() if session.parked_key is not None}
        self.breakers = {name: (breaker.phase, breaker.until) for name, breaker in state.breakers.items()}
        self.senders = dict(state.senders)
        self.settled: OrderedDict[bytes, SettledKey] = OrderedDict()
        self.sealing = None if state.settled.batch is None else state.settled.batch.until
        """Keys settled up to this position are set aside for a key file; None if none are."""
        self.is_partial = state.settled.sealed_until > 0
        """True if keys may have been settled of which nothing is remembered here."""
        self._max_keys = max_keys
        batch = {} if state.settled.batch is None else state.settled.batch.entries
        for digest, entry in (*batch.items(), *state.settled.recent.items()):
            self._remember(digest, SettledKey.unpack(entry))
        self._lanes: dict[LaneKey, dict[str, Track]] = {}
        for message in state.messages.values():
            self.add(_track_of(message, state.run_id))

    def add(self, track: Track) -> None:
        """Remember a message."""
        self.messages[track.key] = track
        if track.is_running:
            self.running[track.key] = track
        if track.lane is not None and track.outcome is None and not track.is_forgotten:
            self._lanes.setdefault(track.lane, {})[track.key] = track

    def lane_of(self, track: Track) -> list[Track]:
        """The other messages of its session that have no outcome."""
        lane = self._lanes.get(track.lane) if track.lane is not None else None
        return [] if lane is None else [mate for mate in lane.values() if mate is not track]

    def leave_lane(self, track: Track) -> None:
        """Nothing of its session waits for the message any more."""
        if track.lane is not None and track.lane in self._lanes:
            lane = self._lanes[track.lane]
            lane.pop(track.key, None)
            if not lane:
                del self._lanes[track.lane]

    def remove(self, track: Track, at: int) -> None:
        """Nothing is left of a message, but for the window that its completion opens."""
        self.messages.pop(track.key, None)
        self.leave_lane(track)
        if track.outcome is not Outcome.COMPLETED:
            return
        self._remember(key_digest(track.key), SettledKey.of(at, track.digest))
        while next(iter(self.settled.values())).at < at - self.window_us:
            self.settled.popitem(last=False)

    def _remember(self, digest: bytes, key: SettledKey) -> None:
        self.settled.pop(digest, None)
        self.settled[digest] = key
        if len(self.settled) > self._max_keys:
            self.settled.popitem(last=False)
            self.is_partial = True

    def breaker(self, name: str) -> tuple[BreakerPhase, int]:
        """Where a breaker stands, and until when it is open."""
        return self.breakers.get(name, (BreakerPhase.CLOSED, 0))


def _track_of(message: MessageState, run_id: str | None) -> Track:
    unsettled = [copy for copy in message.copies if copy.lease is not Lease.SETTLED]
    return Track(
        key=message.key,
        lane=message.lane,
        order=message.order,
        digest=message.origin.body_digest,
        stamp=stamp_of(message.origin),
        copies={copy.provider_id for copy in unsettled},
        held={copy.provider_id for copy in unsettled if copy.lease is Lease.HELD},
        attempt=message.attempt,
        run_id=run_id if message.is_running else None,
        is_running=message.is_running,
        is_alone=message.alone,
        suspect_until=message.suspect_until,
        outcome=message.outcome,
        outgoing=len(message.outgoing),
        sent=message.sent,
        is_dead_lettered=message.outcome is Outcome.DEAD_LETTERED and len(unsettled) < len(message.copies),
        is_forgotten=message.phase is Phase.FORGOTTEN,
    )
