"""What happened, given what is known: an input becomes the events that the journal will hold.

Rules:

1. Pure. The instant and the jitter come in with the input, patience comes in with the policy.
2. A late or repeated input decides nothing and answers an empty tuple: brokers repeat themselves, and so do we after a
   crash.
3. Nothing is done here. What is due follows from the state that the events fold into: see `effects.owed`.
4. The events of one answer belong together: the shell journals them in one piece.

`transitions.TRANSITIONS` says for every phase and input which events may follow; a test holds this file to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from queue_runtime.engine.decide_settle import send_confirmed, send_failed, settle_confirmed, settle_denied
from queue_runtime.engine.inputs import (
    Action,
    Delivered,
    Expired,
    HandBack,
    HandlerRaised,
    HandlerReleased,
    HandlerReturned,
    HandlerTimedOut,
    Input,
    LockLost,
    LockRenewed,
    OperatorAsked,
    Ready,
    Restarted,
    SendConfirmed,
    SendFailed,
    SettleConfirmed,
    SettleDenied,
    StepReturned,
    TimerFired,
)
from queue_runtime.engine.policy import DeadLetterReason, Policy, SessionFailure, us
from queue_runtime.journal.events import (
    AttemptCrashed,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    DeadLettered,
    Duplicate,
    Event,
    Forgotten,
    LapseReason,
    LeaseLapsed,
    LeasesRenewed,
    OperatorActed,
    Received,
    Redelivered,
    SessionParked,
    StepRecorded,
)
from queue_runtime.journal.state import Lease, MessageState, Phase

__all__ = ["dead", "decide", "handed_back"]


def decide(message: MessageState | None, given: Input, policy: Policy) -> tuple[Event, ...]:
    """Decide what `given` means for the message that it is about; `message` is None if nothing is known of it."""
    if message is None:
        return _first_delivered(given, policy) if isinstance(given, Delivered) else ()
    return _DECIDE[type(given)](message, given, policy)


# --- hand-overs and leases ---------------------------------------------------------------------------------------


def _first_delivered(given: Delivered, policy: Policy) -> tuple[Event, ...]:
    return _received(given, policy) if given.known is None else (_duplicate(given),)


def _received(given: Delivered, policy: Policy) -> tuple[Event, ...]:
    received = given.received
    if received.delivery_count > policy.poison.suspect_deliveries:
        return (replace(received, suspect_until=received.at + us(policy.poison.suspicion_s)),)
    return (received,)


def _delivered(message: MessageState, given: Delivered, policy: Policy) -> tuple[Event, ...]:
    if message.phase is Phase.FORGOTTEN:
        return _received(given, policy)
    received = given.received
    if message.copy(received.provider_id) is None:
        return (_duplicate(given),)
    again = Redelivered(
        key=message.key,
        at=received.at,
        provider_id=received.provider_id,
        delivery_count=received.delivery_count,
        locked_until=received.locked_until,
        receipt=received.receipt,
    )
    return (again,)


def _duplicate(given: Delivered) -> Duplicate:
    received = given.received
    return Duplicate(
        key=received.key,
        at=received.at,
        queue=received.queue,
        message_id=received.message_id,
        provider_id=received.provider_id,
        session_id=received.session_id,
        delivery_count=received.delivery_count,
        locked_until=received.locked_until,
        body_digest=received.body_digest,
        receipt=received.receipt,
    )


def _lock_renewed(message: MessageState, given: LockRenewed, policy: Policy) -> tuple[Event, ...]:
    del policy
    copy = message.copy(given.provider_id)
    if copy is None or copy.lease is not Lease.HELD or given.locked_until <= copy.locked_until:
        return ()
    return (LeasesRenewed(given.now, ((message.key, given.provider_id, given.locked_until),)),)


def _lock_lost(message: MessageState, given: LockLost, policy: Policy) -> tuple[Event, ...]:
    del policy
    copy = message.copy(given.provider_id)
    if copy is None or copy.lease is not Lease.HELD:
        return ()
    return (LeaseLapsed(message.key, given.now, given.provider_id, given.why, release=False, delay_us=0),)


def _hand_back(message: MessageState, given: HandBack, policy: Policy) -> tuple[Event, ...]:
    del policy
    if message.phase is not Phase.WAITING and message.phase is not Phase.BACKING_OFF:
        return ()
    return handed_back(message, given.now, given.why, given.delay_us)


def handed_back(message: MessageState, now: int, why: LapseReason, delay_us: int = 0) -> tuple[Event, ...]:
    """End every lease of a message by our own decision; the broker is told."""
    return tuple(
        LeaseLapsed(message.key, now, copy.provider_id, why, release=True, delay_us=delay_us)
        for copy in message.copies
        if copy.lease is Lease.HELD
    )


# --- attempts ----------------------------------------------------------------------------------------------------


def _ready(message: MessageState, given: Ready, policy: Policy) -> tuple[Event, ...]:
    due = message.phase is Phase.WAITING or (
        message.phase is Phase.BACKING_OFF and message.retry_at is not None and message.retry_at <= given.now
    )
    if not due:
        return ()
    if _is_past_its_life(message, given.now):
        return (_expiry(message, given.now, policy),)
    if _is_spent(message, policy):
        description = f"{message.failures + message.crashes} of {policy.max_attempts} attempts are spent"
        return _given_up(message, given.now, policy, DeadLetterReason.ATTEMPTS_EXHAUSTED, description)
    attempt = message.attempt + 1
    now, run_id, route, alone, trace = given
    return (AttemptStarted(message.key, now, attempt, run_id, route, alone, trace),)


def _is_spent(message: MessageState, policy: Policy) -> bool:
    if policy.session_failure is SessionFailure.BLOCK and _is_ordered(message):
        return False
    return message.failures + message.crashes >= policy.max_attempts


def _given_up(
    message: MessageState,
    now: int,
    policy: Policy,
    reason: DeadLetterReason,
    description: str,
    *,
    error_kind: str | None = None,
) -> tuple[Event, ...]:
    """No further attempt follows by itself: what the session's policy makes of that."""
    if policy.session_failure is SessionFailure.PARK and _is_ordered(message):
        return (_parked(message, now, policy),)
    return (dead(message, now, reason, description, error_kind=error_kind),)


def _handler_returned(message: MessageState, given: HandlerReturned, policy: Policy) -> tuple[Event, ...]:
    del policy
    if not message.is_running or message.attempt != given.attempt:
        return ()
    return (Completed(message.key, given.now, given.attempt, given.result_digest, given.outgoing),)


def _handler_raised(message: MessageState, given: HandlerRaised, policy: Policy) -> tuple[Event, ...]:
    if not message.is_running or message.attempt != given.attempt:
        return ()
    if message.phase is Phase.ORPHANED:  # whatever it says, another consumer may be at work: not charged
        return (AttemptReleased(message.key, given.now, given.attempt, f"lock lost; then {given.error_kind}"),)
    failures = message.failures + 1
    spent = failures + message.crashes >= policy.max_attempts
    if (given.transient and not spent) or (_is_ordered(message) and policy.session_failure is SessionFailure.BLOCK):
        delay_us = policy.backoff.delay_us(failures, given.draw, given.retry_after_s)
        failed = _failed(message, given, given.now + delay_us)
        return (failed, *_handed_back_for(message, given.now, delay_us, policy))
    reason = DeadLetterReason.ATTEMPTS_EXHAUSTED if given.transient else DeadLetterReason.PERMANENT_ERROR
    text = f"attempt {given.attempt} ({failures + message.crashes} of {policy.max_attempts} charged)"
    description = f"{text}: {given.error_kind}: {given.error_text}"
    given_up = _given_up(message, given.now, policy, reason, description, error_kind=given.error_kind)
    return (_failed(message, given, None), *given_up)


def _is_ordered(message: MessageState) -> bool:
    return message.lane is not None


def _failed(message: MessageState, given: HandlerRaised, retry_at: int | None) -> AttemptFailed:
    return AttemptFailed(
        key=message.key,
        at=given.now,
        attempt=given.attempt,
        error_kind=given.error_kind,
        error_text=given.error_text,
        frames=given.frames,
        transient=given.transient,
        retry_at=retry_at,
    )


def _handed_back_for(message: MessageState, now: int, delay_us: int, policy: Policy) -> tuple[Event, ...]:
    """Give the lock up when the back-off is too long to keep it."""
    if delay_us <= us(policy.hold_s):
        return ()
    return handed_back(message, now, LapseReason.BACK_OFF, delay_us)


def _parked(message: MessageState, now: int, policy: Policy) -> SessionParked:
    queue, session_id = message.origin.queue, message.origin.session_id or ""
    return SessionParked(queue, session_id, now, message.key, now + us(policy.park_s))


def dead(
    message: MessageState, now: int, reason: DeadLetterReason, description: str, *, error_kind: str | None = None
) -> DeadLettered:
    """Decide that no further attempt is made."""
    return DeadLettered(message.key, now, reason.value, error_kind, description, dropped=False)


def _handler_timed_out(message: MessageState, given: HandlerTimedOut, policy: Policy) -> tuple[Event, ...]:
    raised = HandlerRaised(
        now=given.now,
        attempt=given.attempt,
        error_kind="HandlerTimeout",
        error_text=f"the handler did not return within {given.timeout_s:g} s",
        frames=(),
        transient=True,
        retry_after_s=None,
        draw=given.draw,
    )
    return _handler_raised(message, raised, policy)


def _handler_released(message: MessageState, given: HandlerReleased, policy: Policy) -> tuple[Event, ...]:
    del policy
    if not message.is_running or message.attempt != given.attempt:
        return ()
    released = AttemptReleased(message.key, given.now, given.attempt, given.why)
    return (released, *handed_back(message, given.now, LapseReason.DRAIN))


def _step_returned(message: MessageState, given: StepReturned, policy: Policy) -> tuple[Event, ...]:
    del policy
    if not message.is_running or message.attempt != given.attempt or given.name in message.steps:
        return ()
    return (StepRecorded(message.key, given.now, given.attempt, given.name, given.result),)


# --- time, restarts, operators -----------------------------------------------------------------------------------


def _timer_fired(message: MessageState, given: TimerFired, policy: Policy) -> tuple[Event, ...]:
    match message.phase:
        case Phase.LAPSED if given.pressed:
            return (Forgotten(message.key, given.now, "too many wait to be handed over again"),)
        case Phase.LAPSED:
            after_s, why = policy.forget_lapsed_s, "not handed over again"
        case Phase.FORGOTTEN:
            after_s, why = policy.remember_attempts_s, "its attempts are too old to count"
        case Phase.UNSETTLED:
            after_s, why = policy.forget_unsettled_s, "beyond the broker's retention"
        case _:
            return ()
    return (Forgotten(message.key, given.now, why),) if message.since + us(after_s) <= given.now else ()


def _restarted(message: MessageState, given: Restarted, policy: Policy) -> tuple[Event, ...]:
    """The process died. An attempt that ran is suspect or charged; a lease that cannot be proven has lapsed."""
    events: list[Event] = []
    if message.is_running:
        until = given.now + us(policy.poison.suspicion_s)
        events.append(AttemptCrashed(message.key, given.now, message.attempt, message.alone, until))
    provable_from = given.now + us(policy.lock_margin_s)
    events += [
        LeaseLapsed(message.key, given.now, copy.provider_id, LapseReason.RESTART, release=False, delay_us=0)
        for copy in message.copies
        if copy.lease is Lease.HELD and (copy.locked_until <= provable_from or not given.receipts_survive)
    ]
    crashes = message.crashes + 1
    if message.is_running and message.alone and crashes >= policy.poison.max_crashes:
        description = f"the process died {crashes} times while this message was the only one in an attempt"
        events.append(dead(message, given.now, DeadLetterReason.POISON, description))
    return tuple(events)


def _expired(message: MessageState, given: Expired, policy: Policy) -> tuple[Event, ...]:
    if message.phase is not Phase.WAITING or not _is_past_its_life(message, given.now):
        return ()
    return (_expiry(message, given.now, policy),)


def _is_past_its_life(message: MessageState, now: int) -> bool:
    """Only a message that was never tried expires: once tried, its life is the engine's to end."""
    origin = message.origin
    return (
        not message.attempt
        and isinstance(origin, Received)
        and origin.expires_at is not None
        and origin.expires_at <= now
    )


def _expiry(message: MessageState, now: int, policy: Policy) -> DeadLettered:
    expired = dead(message, now, DeadLetterReason.EXPIRED, "its time to live passed before an attempt")
    return replace(expired, dropped=policy.drop_expired)


def _operator_asked(message: MessageState, given: OperatorAsked, policy: Policy) -> tuple[Event, ...]:
    del policy
    acted = OperatorActed(given.now, given.who, given.why, given.action.value, message.key)
    match given.action:
        case Action.DEAD_LETTER if message.is_open and not message.is_running:
            description = f"asked for by {given.who}: {given.why}"
            return (acted, dead(message, given.now, DeadLetterReason.OPERATOR, description))
        case Action.RELEASE if message.is_open and not message.is_running:
            return (acted, *handed_back(message, given.now, LapseReason.OPERATOR))
        case _:
            return ()


# One row an input, so that a missing one is seen.
_DECIDE: dict[type, Callable[[MessageState, Any, Policy], tuple[Event, ...]]] = {
    Delivered: _delivered,
    Ready: _ready,
    HandlerReturned: _handler_returned,
    HandlerRaised: _handler_raised,
    HandlerTimedOut: _handler_timed_out,
    HandlerReleased: _handler_released,
    StepReturned: _step_returned,
    LockRenewed: _lock_renewed,
    LockLost: _lock_lost,
    HandBack: _hand_back,
    SettleConfirmed: settle_confirmed,
    SettleDenied: settle_denied,
    SendConfirmed: send_confirmed,
    SendFailed: send_failed,
    TimerFired: _timer_fired,
    Restarted: _restarted,
    Expired: _expired,
    OperatorAsked: _operator_asked,
}
