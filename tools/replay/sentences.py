"""What each event says, as a sentence with the causes that led to it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from queue_runtime.journal.events import (
    Adopted,
    AttemptCrashed,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    DeadLettered,
    Deferred,
    Disposition,
    Duplicate,
    Forgotten,
    LapseReason,
    LeaseLapsed,
    OperatorActed,
    OutgoingFailed,
    OutgoingSent,
    Overtaken,
    Received,
    Redacted,
    Redelivered,
    Redriven,
    SessionParked,
    SessionResumed,
    Settled,
    SettleRefused,
    StepRecorded,
)
from queue_runtime.journal.message_state import Outcome, Phase
from queue_runtime.tools.replay.life import Attempt, Life
from queue_runtime.tools.replay.recording import Moment
from queue_runtime.tools.replay.surroundings import Surroundings, waits
from queue_runtime.tools.replay.words import counted, span, when

__all__ = ["SENTENCES", "Link", "charge", "sentence"]


@dataclass(frozen=True, slots=True)
class Link:
    """One event of a chain of causes: where, when, what happened, and what led to it."""

    position: int
    at: int
    text: str
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """What a sentence may look at. `since` is the position of the message's event before, 0 if there was none."""

    moment: Moment
    life: Life
    around: Surroundings
    since: int


def sentence(moment: Moment, life: Life, around: Surroundings, since: int) -> Link:
    """Say what the event of `moment` was; `life` and `around` have seen it, and nothing after it."""
    text, causes = SENTENCES[type(moment.event)](Scene(moment, life, around, since), moment.event)
    return Link(moment.entry.position, moment.entry.at, text, causes)


_Said = tuple[str, tuple[str, ...]]


def charge(attempt: Attempt, around: Surroundings) -> str:
    """Say how an attempt ended, and whether it was charged."""
    match attempt.how:
        case "failed":
            return f"attempt {attempt.number} failed with {attempt.error_kind or 'an error'} and was charged"
        case "crashed" if attempt.alone:
            run = around.run(attempt.run_id)
            return f"attempt {attempt.number} was charged to a crash of {run} in which it ran alone"
        case "crashed":
            run = around.run(attempt.run_id)
            return f"attempt {attempt.number} ended by a crash of {run}, not alone in it, and was not charged"
        case "released":
            return f"attempt {attempt.number} was given up and not charged: {attempt.error_text}"
        case "completed":
            return f"attempt {attempt.number} returned"
        case _:
            return f"attempt {attempt.number} has not ended"


def _received(scene: Scene, event: Received) -> _Said:
    causes: list[str] = []
    if event.enqueued_at is not None:
        causes.append(f"it was sent at {when(event.enqueued_at)}, {span(max(event.at - event.enqueued_at, 0))} before")
    if event.delivery_count > 1:
        count = counted(event.delivery_count - 1, "time")
        causes.append(f"the broker had handed it over {count} before, which the journal did not see")
    if event.suspect_until > event.at:
        causes.append(f"so often that it is a poison suspect, to run alone, until {when(event.suspect_until)}")
    again = scene.moment.before is not None
    session = f" in session {event.session_id}" if event.session_id is not None else ""
    return f"received {'again ' if again else ''}from {event.queue}{session}", tuple(causes)


def _redelivered(scene: Scene, event: Redelivered) -> _Said:
    before = scene.moment.before
    why = "though its lock had not been given up" if before is not None and before.is_held else "as its lock had ended"
    return f"handed over again, delivery {event.delivery_count}", (f"the broker did so {why}",)


def _duplicate(scene: Scene, event: Duplicate) -> _Said:
    del scene
    why = f"broker message {event.provider_id} carries the same idempotency key, so it is settled and not run"
    return "a duplicate came", (why,)


def _started(scene: Scene, event: AttemptStarted) -> _Said:
    before = scene.moment.before
    causes = () if before is None else tuple(waits(scene.around, before, event, scene.since))
    run = scene.around.run(event.run_id)
    alone = ", alone, as it was a poison suspect" if event.alone else ""
    return f"attempt {event.attempt} of route {event.route} started in {run}{alone}", causes


def _failed(scene: Scene, event: AttemptFailed) -> _Said:
    kind = "transient" if event.transient else "permanent, so that it would fail again"
    causes = [f"the handler raised {event.error_kind}: {event.error_text}", f"the error counts as {kind}"]
    if event.frames:
        causes.append(f"it came from {event.frames[-1]}")
    after = scene.moment.after
    charged = "" if after is None else f", {counted(after.failures + after.crashes, 'attempt')} charged by now"
    if event.retry_at is None:
        return f"attempt {event.attempt} failed{charged}; no further one follows by itself", tuple(causes)
    wait = span(max(event.retry_at - event.at, 0))
    return f"attempt {event.attempt} failed{charged}; the next is due after {wait}", tuple(causes)


def _released(scene: Scene, event: AttemptReleased) -> _Said:
    del scene
    return f"attempt {event.attempt} ended without being charged", (event.why,)


def _crashed(scene: Scene, event: AttemptCrashed) -> _Said:
    around, attempt = scene.around, scene.life.attempts[-1]
    dead = around.run(attempt.run_id)
    causes = [f"{dead} never wrote that it stopped: its process died"]
    if around.runs:
        found = around.runs[-1]
        causes.append(f"{found.name} found that at its start, at {when(found.at)} (position {found.position})")
    if event.alone:
        return f"attempt {event.attempt} crashed and is charged: it ran alone", tuple(causes)
    others = around.runs[-1].company - 1 if around.runs else 0
    beside = f"{counted(others, 'other attempt')} ran as well" if others > 0 else "it was not started alone"
    causes.append(f"{beside}, so it is no proof against this one")
    until = when(event.suspect_until)
    return f"attempt {event.attempt} crashed, is not charged, and makes the message a suspect until {until}", tuple(
        causes
    )


def _step(scene: Scene, event: StepRecorded) -> _Said:
    del scene
    return f"step {event.name} of attempt {event.attempt} returned, and will not run again", ()


def _completed(scene: Scene, event: Completed) -> _Said:
    del scene
    sends = f", to send {counted(len(event.outgoing), 'message')}" if event.outgoing else ""
    return f"completed in attempt {event.attempt}{sends}", ("its handler returned",)


def _dead_lettered(scene: Scene, event: DeadLettered) -> _Said:
    causes = [f"{event.reason}: {event.description}"]
    causes += [charge(attempt, scene.around) for attempt in scene.life.attempts]
    return "dropped" if event.dropped else "dead-lettered", tuple(causes)


def _settled(scene: Scene, event: Settled) -> _Said:
    del scene
    return f"the broker confirmed: {_ASKED[event.disposition]}", ()


def _refused(scene: Scene, event: SettleRefused) -> _Said:
    after = scene.moment.after
    waits_now = "; it has to be handed over again" if after is not None and after.phase is Phase.UNSETTLED else ""
    return f"the broker did not confirm: {_ASKED[event.disposition]}{waits_now}", (event.why,)


def _lapsed(scene: Scene, event: LeaseLapsed) -> _Said:
    del scene
    if not event.release:
        return "its lock is not ours any more", (_LAPSED[event.why],)
    hidden = f" for {span(event.delay_us)}" if event.delay_us else ""
    return f"handed back to the broker{hidden}", (_LAPSED[event.why],)


def _sent(scene: Scene, event: OutgoingSent) -> _Said:
    del scene
    return f"outgoing message {event.index + 1} was sent", ()


def _unsendable(scene: Scene, event: OutgoingFailed) -> _Said:
    del scene
    return f"outgoing message {event.index + 1} can never be sent", (f"{event.error_kind}: {event.error_text}",)


def _forgotten(scene: Scene, event: Forgotten) -> _Said:
    gone = "forgotten" if scene.moment.after is None else "its body was forgotten, its attempts were not"
    return gone, (event.why,)


def _deferred(scene: Scene, event: Deferred) -> _Said:
    del scene
    return f"set aside by the broker under number {event.sequence}", ()


def _redriven(scene: Scene, event: Redriven) -> _Said:
    del scene
    return f"sent again as {event.new_message_id}, for the {event.number}. time", (f"{event.who}: {event.why}",)


def _redacted(scene: Scene, event: Redacted) -> _Said:
    del scene
    return "its body was destroyed", (f"{event.who}: {event.why}",)


def _overtaken(scene: Scene, event: Overtaken) -> _Said:
    del scene
    why = f"message {event.number} of its sender had started, which was sent after it"
    return "it starts out of the order in which it was sent", (why,)


def _adopted(scene: Scene, event: Adopted) -> _Said:
    del scene
    if event.outcome is Outcome.COMPLETED:
        return f"adopted as completed from the journal {event.source}", ("no other engine writes that one any more",)
    return f"adopted as {event.outcome} from the journal {event.source}", (f"{event.reason}: {event.description}",)


def _parked(scene: Scene, event: SessionParked) -> _Said:
    causes = [charge(attempt, scene.around) for attempt in scene.life.attempts]
    return f"its session was parked because of it, until {when(event.until)}", tuple(causes)


def _resumed(scene: Scene, event: SessionResumed) -> _Said:
    del scene
    return "its session goes on, and its attempts are counted anew", (event.why,)


def _operator(scene: Scene, event: OperatorActed) -> _Said:
    del scene
    return f"an operator asked: {event.action}", (f"{event.who}: {event.why}",)


_ASKED = {
    Disposition.COMPLETE: "completed",
    Disposition.ABANDON: "handed back",
    Disposition.DEAD_LETTER: "dead-lettered",
    Disposition.DEFER: "set aside",
}
_LAPSED = {
    LapseReason.LOCK_LOST: "its lock ran out, or the broker would not renew it",
    LapseReason.RESTART: "after a restart nothing proves that the broker still keeps it for this engine",
    LapseReason.LANE: "an earlier message of its session was handed back or lost, and must not be overtaken",
    LapseReason.BACK_OFF: "its next attempt is too far away to keep the lock until then",
    LapseReason.UNHANDLED: "no plugin handles it here",
    LapseReason.BACK_PRESSURE: "more was handed over than may wait here",
    LapseReason.DRAIN: "the engine was stopping",
    LapseReason.OPERATOR: "an operator released it",
    LapseReason.SESSION_LOST: "the broker's lock on its session was gone",
}
# One row an event that can be about one message; a test holds it to the events there are.
SENTENCES: dict[type, Callable[[Scene, Any], _Said]] = {
    Received: _received,
    Redelivered: _redelivered,
    Duplicate: _duplicate,
    AttemptStarted: _started,
    AttemptFailed: _failed,
    AttemptReleased: _released,
    AttemptCrashed: _crashed,
    StepRecorded: _step,
    Completed: _completed,
    DeadLettered: _dead_lettered,
    Settled: _settled,
    SettleRefused: _refused,
    LeaseLapsed: _lapsed,
    OutgoingSent: _sent,
    OutgoingFailed: _unsendable,
    Forgotten: _forgotten,
    Deferred: _deferred,
    Redriven: _redriven,
    Redacted: _redacted,
    Overtaken: _overtaken,
    Adopted: _adopted,
    SessionParked: _parked,
    SessionResumed: _resumed,
    OperatorActed: _operator,
}
