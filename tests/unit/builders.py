"""Events and inputs about one message, with the values that a test does not care for filled in."""

from dataclasses import replace

from queue_runtime.engine.effects import Effect, ReleaseLease, RunHandler, Send, Settle, WakeAt, owed
from queue_runtime.engine.inputs import (
    Action,
    Delivered,
    Expired,
    HandBack,
    HandlerRaised,
    HandlerReleased,
    HandlerReturned,
    HandlerTimedOut,
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
)
from queue_runtime.engine.policy import Backoff, Policy
from queue_runtime.journal.events import (
    AttemptCrashed,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    Completed,
    DeadLettered,
    Disposition,
    Duplicate,
    Forgotten,
    LapseReason,
    LeaseLapsed,
    Outgoing,
    OutgoingSent,
    Received,
    Redelivered,
    Settled,
    SettleRefused,
)
from queue_runtime.journal.settled_keys import SettledKey
from queue_runtime.journal.state import EngineState

S = 1_000_000
"""A second."""
KEY = "pulls:m1"
LOCK = 60 * S
"""How long a lock lasts in these tests: from 0, unless a test says otherwise."""


# --- events ------------------------------------------------------------------------------------------------------


def received(
    key: str = KEY,
    *,
    at: int = 0,
    copy: str = "b1",
    session: str | None = None,
    sequence: int | None = None,
    count: int = 1,
    expires_at: int | None = None,
    locked_until: int | None = None,
    suspect_until: int = 0,
    body: bytes = b"body",
    digest: bytes = b"digest of body",
    stamp: tuple[str, int, int] = ("", 0, 0),
) -> Received:
    return Received(
        key=key,
        at=at,
        queue="pulls",
        message_id=key.partition(":")[2],
        provider_id=copy,
        session_id=session,
        sequence=sequence,
        delivery_count=count,
        enqueued_at=None,
        expires_at=expires_at,
        correlation_id=None,
        content_type=None,
        attributes={},
        locked_until=at + LOCK if locked_until is None else locked_until,
        suspect_until=suspect_until,
        body_digest=digest,
        receipt=f"receipt of {copy} at {at}",
        body=body,
        sender=stamp[0] or None,
        sender_epoch=stamp[1],
        sender_number=stamp[2],
    )


def with_receipt(event: Received, receipt: str) -> Received:
    return replace(event, receipt=receipt)


def redelivered(key: str = KEY, *, at: int = 0, copy: str = "b1", count: int = 2) -> Redelivered:
    return Redelivered(key, at, copy, count, at + LOCK, f"receipt of {copy} at {at}")


def duplicate(key: str = KEY, *, at: int = 0, copy: str = "b2", session: str | None = None) -> Duplicate:
    message_id = key.partition(":")[2]
    receipt = f"receipt of {copy} at {at}"
    return Duplicate(key, at, "pulls", message_id, copy, session, 1, at + LOCK, b"digest of body", receipt)


def started(attempt: int = 1, key: str = KEY, *, at: int = 0, alone: bool = False, run: str = "r1") -> AttemptStarted:
    return AttemptStarted(key, at, attempt, run, "route", alone)


def failed(
    attempt: int = 1, key: str = KEY, *, at: int = 0, retry_at: int | None = None, transient: bool = True
) -> AttemptFailed:
    return AttemptFailed(key, at, attempt, "Oops", "it broke", (), transient, retry_at)


def released(attempt: int = 1, key: str = KEY, *, at: int = 0, why: str = "drain") -> AttemptReleased:
    return AttemptReleased(key, at, attempt, why)


def crashed(attempt: int = 1, key: str = KEY, *, at: int = 0, alone: bool = False) -> AttemptCrashed:
    return AttemptCrashed(key, at, attempt, alone, at + 600 * S)


def completed(attempt: int = 1, key: str = KEY, *, at: int = 0, outgoing: int = 0) -> Completed:
    return Completed(key, at, attempt, None, tuple(message(n) for n in range(outgoing)))


def dead(
    reason: str = "PermanentError",
    key: str = KEY,
    *,
    at: int = 0,
    kind: str | None = "Oops",
    text: str = "",
    dropped: bool = False,
) -> DeadLettered:
    return DeadLettered(key, at, reason, kind, text, dropped)


def lapsed(
    why: LapseReason = LapseReason.LOCK_LOST,
    key: str = KEY,
    *,
    at: int = 0,
    copy: str = "b1",
    release: bool = False,
    delay_us: int = 0,
) -> LeaseLapsed:
    return LeaseLapsed(key, at, copy, why, release, delay_us)


def sent(index: int = 0, key: str = KEY, *, at: int = 0) -> OutgoingSent:
    return OutgoingSent(key, at, index, "out")


def settled(how: Disposition = Disposition.COMPLETE, key: str = KEY, *, at: int = 0, copy: str = "b1") -> Settled:
    return Settled(key, at, copy, how)


def refused(how: Disposition = Disposition.COMPLETE, key: str = KEY, *, at: int = 0, copy: str = "b1") -> SettleRefused:
    return SettleRefused(key, at, copy, how, "lock lost")


def message(index: int = 0) -> Outgoing:
    """Return what a handler sends."""
    return Outgoing(f"out-{index}", "labels", None, None, None, {}, None, None, b"out")


def forgotten(key: str = KEY, *, at: int = 0) -> Forgotten:
    return Forgotten(key, at, "not handed over again")


# --- inputs ------------------------------------------------------------------------------------------------------


def delivered(known: SettledKey | None = None, **given: object) -> Delivered:
    return Delivered(received(**given), known)  # pyright: ignore[reportArgumentType]: as `received` takes them


def ready(now: int = 0, *, alone: bool = False) -> Ready:
    return Ready(now, "r1", "route", alone)


def returned(attempt: int = 1, now: int = 0, *, outgoing: int = 0) -> HandlerReturned:
    return HandlerReturned(now, attempt, None, tuple(message(n) for n in range(outgoing)))


def raised(
    attempt: int = 1, now: int = 0, *, transient: bool = True, retry_after_s: float | None = None, draw: float = 0.0
) -> HandlerRaised:
    return HandlerRaised(now, attempt, "Oops", "it broke", (), transient, retry_after_s, draw)


def timed_out(attempt: int = 1, now: int = 0) -> HandlerTimedOut:
    return HandlerTimedOut(now, attempt, 30.0, 0.0)


def drained(attempt: int = 1, now: int = 0) -> HandlerReleased:
    return HandlerReleased(now, attempt, "drain")


def step(name: str = "classify", attempt: int = 1, now: int = 0) -> StepReturned:
    return StepReturned(now, attempt, name, b"result")


def renewed(until: int = 2 * LOCK, now: int = 0, *, copy: str = "b1") -> LockRenewed:
    return LockRenewed(now, copy, until)


def lost(now: int = 0, *, copy: str = "b1") -> LockLost:
    return LockLost(now, copy, LapseReason.LOCK_LOST)


def hand_back(now: int = 0, delay_us: int = 0) -> HandBack:
    return HandBack(now, LapseReason.BACK_PRESSURE, delay_us)


def confirmed(how: Disposition = Disposition.COMPLETE, now: int = 0, *, copy: str = "b1") -> SettleConfirmed:
    return SettleConfirmed(now, copy, how)


def denied(how: Disposition = Disposition.COMPLETE, now: int = 0, *, copy: str = "b1") -> SettleDenied:
    return SettleDenied(now, copy, how, "lock lost")


def send_confirmed(index: int = 0, now: int = 0) -> SendConfirmed:
    return SendConfirmed(now, index, "out")


def send_failed(index: int = 0, now: int = 0, *, transient: bool = False) -> SendFailed:
    return SendFailed(now, index, "TooLarge", "too large", transient)


def restarted(now: int = 0, *, receipts_survive: bool = True) -> Restarted:
    return Restarted(now, receipts_survive)


def expired(now: int = 0) -> Expired:
    return Expired(now)


def patient(retry_after_s: float) -> Policy:
    """Return a policy that lets a service ask for that much time."""
    return Policy(backoff=Backoff(max_retry_after_s=retry_after_s))


def asked(action: Action, now: int = 0) -> OperatorAsked:
    return OperatorAsked(now, "ann", "it is stuck", action)


# --- effects -----------------------------------------------------------------------------------------------------


def run(attempt: int = 1, key: str = KEY) -> RunHandler:
    return RunHandler(key, attempt)


def send(index: int = 0, key: str = KEY) -> Send:
    return Send(key, index, message(index))


def settle(
    how: Disposition = Disposition.COMPLETE,
    key: str = KEY,
    *,
    copy: str = "b1",
    at: int = 0,
    reason: str = "",
    text: str = "",
) -> Settle:
    return Settle(key, copy, how, reason, text, f"receipt of {copy} at {at}")


def release(key: str = KEY, *, copy: str = "b1", at: int = 0, delay_us: int = 0) -> ReleaseLease:
    return ReleaseLease(key, copy, delay_us, f"receipt of {copy} at {at}")


def wake(at: int, key: str = KEY) -> WakeAt:
    return WakeAt(key, at)


def owes(state: EngineState, key: str = KEY) -> tuple[Effect, ...]:
    """Return what is owed for one of its messages."""
    return owed(state.messages[key])
