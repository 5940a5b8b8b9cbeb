"""Rows of the transition table at work, up to an outcome: a past, what is seen, what follows, what is owed then."""

from dataclasses import dataclass, replace

from queue_runtime.engine.effects import Effect
from queue_runtime.engine.inputs import Input
from queue_runtime.engine.policy import Policy, SessionFailure
from queue_runtime.journal.events import (
    Disposition,
    Event,
    Forgotten,
    LapseReason,
    LeasesRenewed,
    SessionParked,
    StepRecorded,
)
from queue_runtime.journal.settled_keys import SettledKey
from queue_runtime.journal.state import Phase
from tests.unit import builders as b
from tests.unit.builders import KEY, LOCK, S

PAST: dict[Phase | None, tuple[Event, ...]] = {
    None: (),
    Phase.WAITING: (b.received(),),
    Phase.RUNNING: (b.received(), b.started()),
    Phase.ORPHANED: (b.received(), b.started(), b.lapsed()),
    Phase.BACKING_OFF: (b.received(), b.started(), b.failed(retry_at=10 * S)),
    Phase.LAPSED: (b.received(), b.lapsed()),
    Phase.SENDING: (b.received(), b.started(), b.completed(outgoing=2)),
    Phase.SETTLING: (b.received(), b.started(), b.completed()),
    Phase.UNSETTLED: (b.received(), b.started(), b.completed(), b.refused()),
    Phase.FORGOTTEN: (b.received(), b.started(), b.crashed(), b.lapsed(), Forgotten(KEY, 0, "")),
}
"""The shortest way into each phase."""


DEFAULT = Policy()


@dataclass(frozen=True)
class Row:
    """In `phase`, reached by `past` if not in the shortest way, `seen` is answered by `events`; then `owes` is due."""

    phase: Phase | None
    seen: Input
    events: tuple[Event, ...]
    owes: tuple[Effect, ...]
    past: tuple[Event, ...] | None = None
    policy: Policy = DEFAULT

    @property
    def before(self) -> tuple[Event, ...]:
        return PAST[self.phase] if self.past is None else self.past

    @property
    def name(self) -> str:
        types = ", ".join(type(event).__name__ for event in self.events)
        return f"{self.phase or 'unknown'}: {type(self.seen).__name__} -> {types}"


_FINISHED = SettledKey.of(0, b"digest of body")
_NEXT = b.redelivered(at=9 * S)
_AGAIN = b.delivered(at=9 * S, count=2)
_OTHER_COPY = b.delivered(at=9 * S, copy="b2")
_OTHER = b.duplicate(at=9 * S)
_RENEWED = (LeasesRenewed(0, ((KEY, "b1", 2 * LOCK),)),)
EXPIRED = b.dead("TTLExpired", at=5 * S, kind=None, text="its time to live passed before an attempt")
_FAILED_TEXT = "attempt 1 (1 of 5 charged): Oops: it broke"
_PERMANENT = b.dead(text=_FAILED_TEXT)
PARK = Policy(session_failure=SessionFailure.PARK)
ONE_PARKED = replace(PARK, max_attempts=1)  # settings were changed while it backed off
NO_HOLD = Policy(hold_s=0.0)
_IN_SESSION = (b.received(session="s"), b.started())
_SPENT = (
    b.received(session="s"),
    *[e for n in range(1, 6) for e in (b.started(n, alone=True), b.crashed(n, alone=True))],
)
_PARKED = SessionParked("pulls", "s", 0, KEY, 43_200 * S)
_PARKED_LATER = replace(_PARKED, at=10 * S, until=43_210 * S)
_AGO = b.failed(retry_at=10 * S)
_SPENT_LATER = b.dead("MaxAttemptsExceeded", at=10 * S, kind=None, text="1 of 1 attempts are spent")
_SPENT_SETTLE = b.settle(Disposition.DEAD_LETTER, reason=_SPENT_LATER.reason, text=_SPENT_LATER.description)
_BACK_OFF = b.lapsed(LapseReason.BACK_OFF, release=True, delay_us=S)
_TIME_OUT = "the handler did not return within 30 s"
_LATER = replace(b.failed(retry_at=S), error_kind="HandlerTimeout", error_text=_TIME_OUT)
_TIMED_OUT = replace(_LATER, retry_at=None)
_TOO_OFTEN = b.dead(
    "MaxAttemptsExceeded",
    kind="HandlerTimeout",
    text=f"attempt 1 (1 of 1 charged): HandlerTimeout: {_TIME_OUT}",
)
_TOO_OFTEN_SETTLE = b.settle(Disposition.DEAD_LETTER, reason=_TOO_OFTEN.reason, text=_TOO_OFTEN.description)
_SETTLE_9 = b.settle(at=9 * S)
SETTLE_COPY_9 = b.settle(at=9 * S, copy="b2")
HAND_OVERS = [
    Row(None, b.delivered(), (b.received(),), ()),
    Row(None, b.delivered(_FINISHED, copy="b2"), (b.duplicate(),), (b.settle(copy="b2"),)),
    Row(Phase.WAITING, _AGAIN, (_NEXT,), ()),
    Row(Phase.WAITING, _OTHER_COPY, (_OTHER,), ()),
    Row(Phase.RUNNING, _AGAIN, (_NEXT,), (b.run(),)),
    Row(Phase.RUNNING, _OTHER_COPY, (_OTHER,), (b.run(),)),
    Row(Phase.ORPHANED, _AGAIN, (_NEXT,), (b.run(),)),
    Row(Phase.ORPHANED, _OTHER_COPY, (_OTHER,), (b.run(),)),
    Row(Phase.BACKING_OFF, _AGAIN, (_NEXT,), (b.wake(10 * S),)),
    Row(Phase.BACKING_OFF, _OTHER_COPY, (_OTHER,), (b.wake(10 * S),)),
    Row(Phase.LAPSED, _AGAIN, (_NEXT,), ()),
    Row(Phase.LAPSED, _AGAIN, (_NEXT,), (b.wake(10 * S),), (*PAST[Phase.BACKING_OFF], b.lapsed())),
    Row(Phase.LAPSED, _OTHER_COPY, (_OTHER,), ()),
    Row(Phase.LAPSED, _OTHER_COPY, (_OTHER,), (b.wake(10 * S),), (*PAST[Phase.BACKING_OFF], b.lapsed())),
    Row(Phase.SENDING, _AGAIN, (_NEXT,), (b.send(0),)),
    Row(Phase.SENDING, _OTHER_COPY, (_OTHER,), (b.send(0),)),
    Row(Phase.SETTLING, _AGAIN, (_NEXT,), (_SETTLE_9,)),
    Row(Phase.SETTLING, _OTHER_COPY, (_OTHER,), (b.settle(), SETTLE_COPY_9)),
    Row(Phase.UNSETTLED, _AGAIN, (_NEXT,), (_SETTLE_9,)),
    Row(Phase.UNSETTLED, _OTHER_COPY, (_OTHER,), (SETTLE_COPY_9,)),
    Row(Phase.FORGOTTEN, b.delivered(at=9 * S), (b.received(at=9 * S),), ()),
]

LEASES = [
    Row(Phase.WAITING, b.renewed(), _RENEWED, ()),
    Row(Phase.RUNNING, b.renewed(), _RENEWED, (b.run(),)),
    Row(Phase.BACKING_OFF, b.renewed(), _RENEWED, (b.wake(10 * S),)),
    Row(Phase.SENDING, b.renewed(), _RENEWED, (b.send(0),)),
    Row(Phase.SETTLING, b.renewed(), _RENEWED, (b.settle(),)),
    Row(Phase.WAITING, b.lost(), (b.lapsed(),), ()),
    Row(Phase.WAITING, b.lost(), (b.lapsed(),), (), (b.received(), b.duplicate())),
    Row(Phase.RUNNING, b.lost(), (b.lapsed(),), (b.run(),)),
    Row(Phase.RUNNING, b.lost(), (b.lapsed(),), (b.run(),), (b.received(), b.duplicate(), b.started())),
    Row(Phase.BACKING_OFF, b.lost(), (b.lapsed(),), ()),
    Row(Phase.BACKING_OFF, b.lost(), (b.lapsed(),), (b.wake(10 * S),), (*PAST[Phase.BACKING_OFF], b.duplicate())),
    Row(Phase.SENDING, b.lost(), (b.lapsed(),), (b.send(0),)),
    Row(Phase.SETTLING, b.lost(), (b.lapsed(),), (b.settle(),)),
    Row(Phase.SETTLING, b.lost(), (b.lapsed(),), (), (b.received(), b.dead())),
    Row(
        Phase.WAITING,
        b.hand_back(),
        (b.lapsed(LapseReason.BACK_PRESSURE, release=True),),
        (b.release(),),
    ),
    Row(
        Phase.BACKING_OFF,
        b.hand_back(0, 5 * S),
        (b.lapsed(LapseReason.BACK_PRESSURE, release=True, delay_us=5 * S),),
        (b.release(delay_us=5 * S),),
    ),
]

ATTEMPTS = [
    Row(Phase.WAITING, b.ready(), (b.started(),), (b.run(),)),
    Row(Phase.BACKING_OFF, b.ready(10 * S), (b.started(2, at=10 * S),), (b.run(2),)),
    Row(
        Phase.WAITING,
        b.ready(5 * S),
        (EXPIRED,),
        (b.settle(Disposition.DEAD_LETTER, reason="TTLExpired", text=EXPIRED.description),),
        (b.received(expires_at=5 * S),),
    ),
    Row(Phase.RUNNING, b.returned(), (b.completed(),), (b.settle(),)),
    Row(Phase.RUNNING, b.returned(outgoing=2), (b.completed(outgoing=2),), (b.send(0),)),
    Row(Phase.ORPHANED, b.returned(), (b.completed(),), (b.settle(),)),
    Row(Phase.ORPHANED, b.returned(outgoing=1), (b.completed(outgoing=1),), (b.send(0),)),
    Row(Phase.RUNNING, b.raised(), (b.failed(retry_at=S),), (b.wake(S),)),
    Row(
        Phase.RUNNING,
        b.raised(transient=False),
        (b.failed(transient=False), _PERMANENT),
        (b.settle(Disposition.DEAD_LETTER, reason="PermanentError", text=_FAILED_TEXT),),
    ),
    # What a session's policy, or a long back-off, makes of a failure.
    Row(Phase.WAITING, b.ready(), (_PARKED,), (), _SPENT, PARK),
    Row(Phase.BACKING_OFF, b.ready(10 * S), (_PARKED_LATER,), (b.wake(10 * S),), (*_IN_SESSION, _AGO), ONE_PARKED),
    Row(Phase.BACKING_OFF, b.ready(10 * S), (_SPENT_LATER,), (_SPENT_SETTLE,), None, Policy(max_attempts=1)),
    Row(Phase.RUNNING, b.raised(transient=False), (b.failed(transient=False), _PARKED), (), _IN_SESSION, PARK),
    Row(Phase.RUNNING, b.timed_out(), (_TIMED_OUT, _PARKED), (), _IN_SESSION, ONE_PARKED),
    Row(Phase.RUNNING, b.raised(), (b.failed(retry_at=S), _BACK_OFF), (b.release(delay_us=S),), None, NO_HOLD),
    Row(Phase.RUNNING, b.timed_out(), (_LATER, _BACK_OFF), (b.release(delay_us=S),), None, NO_HOLD),
    Row(Phase.RUNNING, b.timed_out(), (_LATER,), (b.wake(S),)),
    Row(Phase.RUNNING, b.timed_out(), (_TIMED_OUT, _TOO_OFTEN), (_TOO_OFTEN_SETTLE,), None, Policy(max_attempts=1)),
    Row(Phase.ORPHANED, b.raised(), (b.released(why="lock lost; then Oops"),), ()),
    Row(Phase.ORPHANED, b.timed_out(), (b.released(why="lock lost; then HandlerTimeout"),), ()),
    Row(
        Phase.RUNNING,
        b.drained(),
        (b.released(), b.lapsed(LapseReason.DRAIN, release=True)),
        (b.release(),),
    ),
    Row(Phase.ORPHANED, b.drained(), (b.released(),), ()),
    Row(Phase.RUNNING, b.step(), (StepRecorded(KEY, 0, 1, "classify", b"result"),), (b.run(),)),
    Row(Phase.ORPHANED, b.step(), (StepRecorded(KEY, 0, 1, "classify", b"result"),), (b.run(),)),
]
