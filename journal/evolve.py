"""What the events of one message mean: its state, and how each event changes it.

Rules:

1. `evolve` is total and pure. It reads no clock and raises on nothing that `engine.decide` can emit.
2. A message *is held* while one of its broker copies is: `LeaseLapsed` ends a lease, only a new hand-over restores it.
3. An outcome, `Completed` or `DeadLettered`, is final. What is left to do after it follows from copies and outbox.

A message lives in these phases; `LAPSED` and `ORPHANED` are what `WAITING` and `RUNNING` become without a lease:

    Received --> WAITING --AttemptStarted--> RUNNING --AttemptFailed--> BACKING_OFF --AttemptStarted--> RUNNING
                                             |--Completed--> SENDING --OutgoingSent--> SETTLING --Settled--> gone
                                             |--DeadLettered---------------------->    '--SettleRefused--> UNSETTLED
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    LeaseLapsed,
    MessageEvent,
    OutgoingFailed,
    OutgoingSent,
    Overtaken,
    Received,
    Redacted,
    Redelivered,
    Redriven,
    Settled,
    SettleRefused,
    StepRecorded,
)
from queue_runtime.journal.message_state import AttemptRecord, Copy, Lease, MessageState, Outcome, Phase

__all__ = ["MESSAGE_EVENTS", "evolve", "renewed", "resumed"]

MAX_ATTEMPT_RECORDS = 16
"""A blocked session retries without end, so only the latest attempts are kept in live state; the journal has all."""


def evolve(message: MessageState | None, event: MessageEvent, position: int) -> MessageState | None:
    """Apply one event, which the journal holds at `position`, to the message that it is about.

    Returns:
        The new state, or None when nothing about the message is left to remember.
    """
    if message is None:
        match event:
            case Received():
                return _received(event, position)
            case Duplicate():
                return _duplicate_of_settled(event, position)
            case _:
                return None
    return _EVOLVE[type(event)](message, event)


def _received(event: Received, position: int) -> MessageState:
    return MessageState(
        origin=event,
        order=position if event.sequence is None else event.sequence,
        phase=Phase.WAITING,
        copies=(_copy(event),),
        suspect_until=event.suspect_until,
        since=event.at,
    )


def _duplicate_of_settled(event: Duplicate, position: int) -> MessageState:
    """A copy of a message that was completed and settled: only its own settlement is due."""
    return MessageState(
        origin=event,
        order=position,
        phase=Phase.SETTLING,
        copies=(_copy(event),),
        outcome=Outcome.COMPLETED,
        since=event.at,
    )


def _received_again(message: MessageState, event: Received) -> MessageState:
    """A forgotten message is back: its attempts still count."""
    order = message.order if event.sequence is None else event.sequence
    return message._replace(
        origin=event,
        order=order,
        phase=Phase.WAITING,
        copies=(_copy(event),),
        suspect_until=max(message.suspect_until, event.suspect_until),
        since=event.at,
    )


def _handed_over(message: MessageState, event: Redelivered | Duplicate) -> MessageState:
    others = tuple(copy for copy in message.copies if copy.provider_id != event.provider_id)
    return message._replace(copies=(*others, _copy(event)), phase=_held_again(message), since=event.at)


def _held_again(message: MessageState) -> Phase:
    match message.phase:
        case Phase.ORPHANED:
            return Phase.RUNNING
        case Phase.LAPSED:
            return Phase.WAITING if message.retry_at is None else Phase.BACKING_OFF
        case Phase.UNSETTLED:
            return Phase.SETTLING
        case phase:
            return phase


def _attempt_started(message: MessageState, event: AttemptStarted) -> MessageState:
    return message._replace(
        phase=Phase.RUNNING,
        attempt=event.attempt,
        started_at=event.at,
        route=event.route,
        alone=event.alone,
        retry_at=None,
        trace_parent=event.trace_parent,
    )


def _attempt_failed(message: MessageState, event: AttemptFailed) -> MessageState:
    return message._replace(
        phase=Phase.BACKING_OFF if message.is_held else Phase.LAPSED,
        failures=message.failures + 1,
        retry_at=event.retry_at,
        suspect_until=0 if message.alone else message.suspect_until,
        history=_recorded(message, event.at, "failed", event.error_kind, event.error_text),
        since=event.at,
    )


def _attempt_released(message: MessageState, event: AttemptReleased) -> MessageState:
    return message._replace(
        phase=Phase.WAITING if message.is_held else Phase.LAPSED,
        history=_recorded(message, event.at, "released", "", event.why),
        since=event.at,
    )


def _attempt_crashed(message: MessageState, event: AttemptCrashed) -> MessageState:
    return message._replace(
        phase=Phase.WAITING if message.is_held else Phase.LAPSED,
        crashes=message.crashes + (1 if event.alone else 0),
        suspect_until=event.suspect_until,
        history=_recorded(message, event.at, "crashed", "", "alone" if event.alone else "in company"),
        since=event.at,
    )


def _recorded(message: MessageState, at: int, how: str, kind: str, text: str) -> tuple[AttemptRecord, ...]:
    record = AttemptRecord(message.attempt, message.started_at, at, how, kind, text)
    return (*message.history[1 - MAX_ATTEMPT_RECORDS :], record)


def _completed(message: MessageState, event: Completed) -> MessageState:
    return message._replace(
        phase=Phase.SENDING if event.outgoing else Phase.SETTLING,
        outcome=Outcome.COMPLETED,
        outgoing=event.outgoing,
        retry_at=None,
        steps={},
        since=event.at,
    )


def _dead_lettered(message: MessageState, event: DeadLettered) -> MessageState:
    return _settling(
        message._replace(
            outcome=Outcome.DROPPED if event.dropped else Outcome.DEAD_LETTERED,
            reason=event.reason,
            description=event.description,
            retry_at=None,
            steps={},
            since=event.at,
        )
    )


def _settled(message: MessageState, event: Settled) -> MessageState | None:
    if event.disposition is Disposition.ABANDON:
        return _released(message, event.provider_id)
    if len(message.copies) == 1 and message.copies[0].provider_id == event.provider_id:
        return None
    settled = _with_lease(message, event.provider_id, Lease.SETTLED)
    if all(copy.lease is Lease.SETTLED for copy in settled.copies):
        return None
    return _settling(settled._replace(since=event.at))


def _settle_refused(message: MessageState, event: SettleRefused) -> MessageState:
    if event.disposition is Disposition.ABANDON:
        return _released(message, event.provider_id)
    return _settling(_with_lease(message, event.provider_id, Lease.REFUSED)._replace(since=event.at))


def _released(message: MessageState, provider_id: str) -> MessageState:
    """The broker was told that a copy is handed back, or that copy had been lost before."""
    lapsed = _with_lease(message, provider_id, Lease.LAPSED)
    return lapsed if lapsed.outcome is None else _settling(lapsed)


def _settling(message: MessageState) -> MessageState:
    """Phase after an outcome: is there a copy that the broker may still be asked to settle?

    A completed message may wait for days to be handed over again: it needs its body no more, a dead letter does.
    """
    if message.phase is Phase.SENDING:
        return message
    if message.to_settle:
        return message._replace(phase=Phase.SETTLING)
    needs_body = message.outcome is Outcome.DEAD_LETTERED
    return message._replace(
        phase=Phase.UNSETTLED, origin=message.origin if needs_body else _without_body(message.origin)
    )


def _lease_lapsed(message: MessageState, event: LeaseLapsed) -> MessageState:
    lease = Lease.RELEASING if event.release else Lease.LAPSED
    lapsed = _with_lease(message, event.provider_id, lease, event.delay_us)
    if lapsed.is_held:
        return lapsed
    match lapsed.phase:
        case Phase.WAITING | Phase.BACKING_OFF:
            return lapsed._replace(phase=Phase.LAPSED, since=event.at)
        case Phase.RUNNING:
            return lapsed._replace(phase=Phase.ORPHANED)
        case Phase.SETTLING:
            return _settling(lapsed)
        case _:
            return lapsed


def _step_recorded(message: MessageState, event: StepRecorded) -> MessageState:
    return message._replace(steps={**message.steps, event.name: event.result})


def _outgoing_done(message: MessageState, event: OutgoingSent | OutgoingFailed) -> MessageState:
    sent = event.index + 1
    if sent < len(message.outgoing):
        return message._replace(sent=sent)
    return _settling(message._replace(sent=sent, phase=Phase.SETTLING))


def _forgotten(message: MessageState, event: Forgotten) -> MessageState | None:
    """Forget in two steps: first the body and the copies, later the attempts, if there were any."""
    if message.phase is not Phase.LAPSED or not message.attempt:
        return None
    return message._replace(phase=Phase.FORGOTTEN, origin=_without_body(message.origin), copies=(), since=event.at)


def _redacted(message: MessageState, event: Redacted) -> MessageState:
    del event
    return message._replace(origin=_without_body(message.origin))


def _adopted(message: MessageState, event: Adopted) -> MessageState:
    """What was just received goes on where another journal had got to; one that was known before stays as it is."""
    if message.attempt or message.outcome is not None:
        return message
    return _settling(
        message._replace(
            phase=Phase.SENDING if event.sent < len(event.outgoing) else Phase.SETTLING,
            copies=event.copies,
            attempt=event.attempt,
            route=event.route,
            history=event.history,
            outcome=event.outcome,
            reason=event.reason,
            description=event.description,
            outgoing=event.outgoing,
            sent=event.sent,
            since=event.at,
        )
    )


def _unchanged(message: MessageState, event: MessageEvent) -> MessageState:
    del event
    return message


def _gone(message: MessageState, event: MessageEvent) -> None:
    del message, event


def _without_body(origin: Received | Duplicate) -> Received | Duplicate:
    return replace(origin, body=b"", receipt="") if isinstance(origin, Received) else origin


def renewed(message: MessageState, provider_id: str, locked_until: int) -> MessageState:
    """Move the end of one copy's lock, unless the lease has lapsed meanwhile."""
    copies = tuple(
        copy._replace(locked_until=locked_until)
        if copy.provider_id == provider_id and copy.lease is Lease.HELD
        else copy
        for copy in message.copies
    )
    return message._replace(copies=copies)


def resumed(message: MessageState, at: int) -> MessageState:
    """The head of a parked session is tried afresh; one that has an outcome by now is left alone."""
    if message.outcome is not None:
        return message
    return message._replace(failures=0, crashes=0, retry_at=at, suspect_until=0)


def _copy(event: Received | Redelivered | Duplicate) -> Copy:
    return Copy(event.provider_id, event.receipt, event.locked_until, event.delivery_count)


def _with_lease(message: MessageState, provider_id: str, lease: Lease, delay_us: int = 0) -> MessageState:
    copies = tuple(
        copy._replace(lease=lease, release_delay_us=delay_us) if copy.provider_id == provider_id else copy
        for copy in message.copies
    )
    return message._replace(copies=copies)


# One row an event, so that a missing one is seen. A second `Received` means that the message had been forgotten.
_EVOLVE: dict[type, Callable[[MessageState, Any], MessageState | None]] = {
    Received: _received_again,
    Redelivered: _handed_over,
    Duplicate: _handed_over,
    AttemptStarted: _attempt_started,
    AttemptFailed: _attempt_failed,
    AttemptReleased: _attempt_released,
    AttemptCrashed: _attempt_crashed,
    Completed: _completed,
    DeadLettered: _dead_lettered,
    Settled: _settled,
    SettleRefused: _settle_refused,
    LeaseLapsed: _lease_lapsed,
    StepRecorded: _step_recorded,
    OutgoingSent: _outgoing_done,
    OutgoingFailed: _outgoing_done,
    Forgotten: _forgotten,
    Deferred: _gone,
    Redriven: _unchanged,
    Redacted: _redacted,
    Overtaken: _unchanged,
    Adopted: _adopted,
}

MESSAGE_EVENTS = frozenset(_EVOLVE)
"""The types of `MessageEvent`."""
