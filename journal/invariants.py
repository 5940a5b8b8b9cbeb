"""What may never be in a journal, whoever wrote it: `violations` reads one from its start and names what is wrong.

Used by tests, and for proof: a journal without violations kept the promises that this project makes about order,
attempts and settlement. It takes memory for what is live and for the idempotency window, not for what is history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from queue_runtime.journal.engine_rules import (
    breaker_closed,
    breaker_half_opened,
    breaker_opened,
    keys_sealed,
    keys_sealing,
    parked,
    resumed,
    run_started,
    run_stopped,
)
from queue_runtime.journal.events import (
    Adopted,
    AttemptCrashed,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    Completed,
    DeadLettered,
    Deferred,
    Disposition,
    Duplicate,
    Event,
    Forgotten,
    KeysSealed,
    KeysSealing,
    LeaseLapsed,
    OutgoingFailed,
    OutgoingSent,
    Overtaken,
    Received,
    Redelivered,
    RunStarted,
    RunStopped,
    SessionParked,
    SessionResumed,
    Settled,
    SettleRefused,
    StepRecorded,
)
from queue_runtime.journal.rules import Findings, Rule, Violation
from queue_runtime.journal.sender_order import Turn, latest, stamp_of, turn
from queue_runtime.journal.settled_keys import key_digest
from queue_runtime.journal.state import EngineState, Lease, Outcome
from queue_runtime.journal.tracks import MAX_KEYS, Track, Tracks

__all__ = ["Audit", "Rule", "Violation", "violations"]


def violations(events: Iterable[tuple[int, Event]], since: EngineState | None = None) -> list[Violation]:
    """Return everything in a journal that breaks a rule, in the order of the journal.

    Args:
        events: every event with its position, in order.
        since: what the journal meant before the first of them, if it is not the first of the journal.
    """
    audit = Audit(since)
    for position, event in events:
        audit.see(position, event)
    return audit.found


class Audit(Findings):
    """Follows a journal event by event."""

    def __init__(self, since: EngineState | None = None, max_keys: int = MAX_KEYS) -> None:
        """Begin with a new journal, or where `since` ends; `max_keys` bounds what `Tracks` remembers."""
        super().__init__(Tracks(since, max_keys))

    def see(self, position: int, event: Event) -> None:
        """Check one event, and remember what later ones are checked against."""
        self.position = position
        check = _CHECKS.get(type(event))
        if check is not None:
            check(self, event)
        elif (about := _ABOUT_MESSAGES.get(type(event))) is not None:
            key: str = getattr(event, "key", "")
            track = self.tracks.messages.get(key)
            if self.require(track is not None, Rule.KNOWN_MESSAGE, f"{type(event).__name__} of unknown message {key}"):
                about(self, track, event)
        self.before = event


# --- hand-overs and leases ---------------------------------------------------------------------------------------


def _received(audit: Audit, event: Received) -> None:
    tracks = audit.tracks
    known = tracks.messages.get(event.key)
    audit.require(known is None or known.is_forgotten, Rule.RECEIVED_ONCE, f"message {event.key} is live already")
    lane = None if event.session_id is None else (event.queue, event.session_id)
    order = (audit.position if known is None else known.order) if event.sequence is None else event.sequence
    track = Track(event.key, lane, order, event.body_digest, stamp_of(event))
    if known is not None:
        track.attempt = known.attempt
        track.suspect_until = known.suspect_until
    track.suspect_until = max(track.suspect_until, event.suspect_until)
    finished = tracks.settled.get(key_digest(event.key))
    if finished is not None and finished.at >= event.at - tracks.window_us:
        track.was_completed = finished.body == event.body_digest[: len(finished.body)]
    tracks.add(track)
    _handed_over(audit, track, event)


def _duplicate(audit: Audit, event: Duplicate) -> None:
    tracks = audit.tracks
    track = tracks.messages.get(event.key)
    if track is None:
        is_known = tracks.is_partial or key_digest(event.key) in tracks.settled
        audit.require(is_known, Rule.KNOWN_MESSAGE, f"Duplicate of unknown message {event.key}")
        track = Track(event.key, None, audit.position, event.body_digest, outcome=Outcome.COMPLETED)
        tracks.add(track)
    _handed_over(audit, track, event)


def _handed_over(_: Audit, track: Track, event: Received | Redelivered | Duplicate) -> None:
    track.copies.add(event.provider_id)
    track.held.add(event.provider_id)


def _lapsed(audit: Audit, track: Track, event: LeaseLapsed) -> None:
    was_held = bool(track.held)
    track.held.discard(event.provider_id)
    if track.held or not was_held:
        return
    track.is_owed_back = False
    if track.outcome is None:
        for mate in audit.tracks.lane_of(track):
            mate.is_owed_back |= mate.order > track.order and bool(mate.held) and not mate.is_running


def _forgotten(audit: Audit, track: Track, event: Forgotten | Deferred) -> None:
    was_tried = track.attempt > 0 and track.outcome is None
    if isinstance(event, Deferred) or track.is_forgotten or not was_tried:
        audit.tracks.remove(track, event.at)
        return
    track.is_forgotten = True
    track.copies.clear()
    track.held.clear()
    audit.tracks.leave_lane(track)


# --- attempts ----------------------------------------------------------------------------------------------------


def _started(audit: Audit, track: Track, event: AttemptStarted) -> None:
    tracks = audit.tracks
    name, number = track.name, event.attempt
    audit.require(not track.is_running, Rule.ONE_ATTEMPT, f"attempt {number} of {name} starts beside another")
    audit.require(track.outcome is None, Rule.ONE_OUTCOME, f"attempt {number} of {name} starts after its outcome")
    audit.require(not track.was_completed, Rule.RUN_ONCE, f"{name} runs again inside the idempotency window")
    audit.require(
        number == track.attempt + 1, Rule.ATTEMPT_NUMBERS, f"attempt {number} of {name} follows {track.attempt}"
    )
    audit.require(
        tracks.run_id is None or event.run_id == tracks.run_id,
        Rule.ONE_RUN,
        f"attempt {number} of {name} is of run {event.run_id}, but {tracks.run_id} goes on",
    )
    _started_beside_others(audit, track, event)
    _started_in_session(audit, track)
    _started_in_turn(audit, track, event.at)
    track.attempt, track.is_running, track.run_id, track.is_alone = number, True, event.run_id, event.alone
    tracks.running[track.key] = track


def _started_beside_others(audit: Audit, track: Track, event: AttemptStarted) -> None:
    for other in audit.tracks.running.values():
        audit.require(
            other.run_id == event.run_id,
            Rule.ONE_RUN,
            f"{track.name} starts while {other.name} is in an attempt of run {other.run_id}, which is over",
        )
        audit.require(
            not (event.alone or other.is_alone),
            Rule.ALONE,
            f"{track.name} and {other.name}, of which one is to be alone",
        )
    is_suspect = track.suspect_until > event.at
    audit.require(event.alone or not is_suspect, Rule.ALONE, f"{track.name} is a suspect and starts in company")


def _started_in_session(audit: Audit, track: Track) -> None:
    audit.require(track.lane not in audit.tracks.parked, Rule.PARKED_SESSION, f"{track.name} starts in it")
    mates = audit.tracks.lane_of(track)
    for mate in mates:
        is_first = mate.order > track.order or not mate.held
        audit.require(
            is_first and not mate.is_running, Rule.SESSION_ORDER, f"{track.name} starts beside or before {mate.name}"
        )
    for mate in (track, *mates):
        audit.require(
            not mate.is_owed_back, Rule.LAPSE_HANDS_BACK, f"{track.name} starts while {mate.name} is not handed back"
        )


def _started_in_turn(audit: Audit, track: Track, at: int) -> None:
    if track.stamp is not None:
        is_late = turn(audit.tracks.senders, track.stamp) is Turn.LATE
        is_said = isinstance(audit.before, Overtaken) and audit.before.key == track.key
        audit.require(is_late == is_said, Rule.SENDER_ORDER, f"{track.name} starts late, or is said to")
        latest(audit.tracks.senders, track.stamp, at)


def _ended(audit: Audit, track: Track, event: AttemptFailed | AttemptReleased | AttemptCrashed) -> None:
    _running(audit, track, event)
    run_id = audit.tracks.run_id
    audit.require(
        isinstance(event, AttemptCrashed) or run_id is None or track.run_id == run_id,
        Rule.ONE_RUN,
        f"an attempt of {track.name} in run {track.run_id} ends in run {run_id} otherwise than by a crash",
    )
    match event:
        case AttemptCrashed():
            track.suspect_until = event.suspect_until
        case AttemptFailed() if track.is_alone:
            track.suspect_until = 0
        case _:
            pass
    _stop(audit, track)


def _running(
    audit: Audit, track: Track, event: AttemptFailed | AttemptReleased | AttemptCrashed | Completed | StepRecorded
) -> None:
    audit.require(
        track.is_running and track.attempt == event.attempt,
        Rule.RUNNING_ATTEMPT,
        f"{type(event).__name__} of attempt {event.attempt} of {track.name}, which is not in it",
    )


def _stop(audit: Audit, track: Track) -> None:
    track.is_running, track.is_alone = False, False
    audit.tracks.running.pop(track.key, None)


# --- outcomes ----------------------------------------------------------------------------------------------------


def _completed(audit: Audit, track: Track, event: Completed) -> None:
    _running(audit, track, event)
    track.outgoing = len(event.outgoing)
    _decided(audit, track, Outcome.COMPLETED)


def _dead_lettered(audit: Audit, track: Track, event: DeadLettered) -> None:
    audit.require(not track.is_running, Rule.RUNNING_ATTEMPT, f"{track.name} is dead-lettered in an attempt")
    _decided(audit, track, Outcome.DROPPED if event.dropped else Outcome.DEAD_LETTERED)


def _adopted(audit: Audit, track: Track, event: Adopted) -> None:
    is_new = track.attempt == 0 and isinstance(audit.before, Received) and audit.before.key == event.key
    audit.require(is_new, Rule.ADOPTED_ONCE, f"{track.name} is adopted from {event.source} though it is known here")
    unsettled = [copy for copy in event.copies if copy.lease is not Lease.SETTLED]
    track.attempt, track.outgoing, track.sent = event.attempt, len(event.outgoing), event.sent
    track.copies = {copy.provider_id for copy in unsettled}
    track.held = {copy.provider_id for copy in unsettled if copy.lease is Lease.HELD}
    track.is_dead_lettered = event.outcome is Outcome.DEAD_LETTERED and len(unsettled) < len(event.copies)
    _decided(audit, track, event.outcome)


def _decided(audit: Audit, track: Track, outcome: Outcome) -> None:
    audit.require(track.outcome is None, Rule.ONE_OUTCOME, f"{track.name} is {outcome} after it was {track.outcome}")
    track.outcome = outcome
    track.is_owed_back = False
    _stop(audit, track)
    audit.tracks.leave_lane(track)


def _outgoing(audit: Audit, track: Track, event: OutgoingSent | OutgoingFailed) -> None:
    audit.require(
        event.index == track.sent < track.outgoing,
        Rule.OUTBOX_ORDER,
        f"outgoing message {event.index} of {track.name} follows {track.sent} of {track.outgoing}",
    )
    track.sent = event.index + 1


def _settled(audit: Audit, track: Track, event: Settled) -> None:
    _told(audit, track, event)
    if event.disposition is Disposition.ABANDON:
        return
    if event.disposition is Disposition.DEAD_LETTER:
        track.is_dead_lettered = True
        track.is_known_dead |= event.provider_id in track.held
    track.held.discard(event.provider_id)
    track.copies.discard(event.provider_id)
    if not track.copies:
        audit.tracks.remove(track, event.at)


def _told(audit: Audit, track: Track, event: Settled | SettleRefused) -> None:
    """The broker was told something: was it due?"""
    match event.disposition, track.outcome:
        case Disposition.COMPLETE, Outcome.COMPLETED:
            is_due = track.sent == track.outgoing
        case Disposition.COMPLETE, outcome:
            is_due = outcome is Outcome.DROPPED or track.is_dead_lettered
        case Disposition.DEAD_LETTER, outcome:
            # A copy whose lock was lost on the way may have got there unheard: then the next one was tried rightly.
            is_second = track.is_known_dead and event.provider_id in track.held
            is_due = outcome is Outcome.DEAD_LETTERED and not is_second
        case _:
            is_due = event.provider_id not in track.held
    audit.require(is_due, Rule.SETTLED_BY_OUTCOME, f"the broker was told to {event.disposition} {track.name}")


_CHECKS: dict[type, Callable[[Audit, Any], None]] = {
    Received: _received,
    Duplicate: _duplicate,
    SessionParked: parked,
    SessionResumed: resumed,
    BreakerOpened: breaker_opened,
    BreakerHalfOpened: breaker_half_opened,
    BreakerClosed: breaker_closed,
    KeysSealing: keys_sealing,
    KeysSealed: keys_sealed,
    RunStarted: run_started,
    RunStopped: run_stopped,
}
# Redriven and Redacted may be about messages that are long gone.
_ABOUT_MESSAGES: dict[type, Callable[[Audit, Any, Any], None]] = {
    Redelivered: _handed_over,
    LeaseLapsed: _lapsed,
    Forgotten: _forgotten,
    Adopted: _adopted,
    Deferred: _forgotten,
    AttemptStarted: _started,
    AttemptFailed: _ended,
    AttemptReleased: _ended,
    AttemptCrashed: _ended,
    StepRecorded: _running,
    Completed: _completed,
    DeadLettered: _dead_lettered,
    OutgoingSent: _outgoing,
    OutgoingFailed: _outgoing,
    Settled: _settled,
    SettleRefused: _told,
}
