"""Rows of the transition table at work, from an outcome on, and whenever time passes or somebody asks."""

from queue_runtime.engine.inputs import Action, Expired, Restarted, TimerFired
from queue_runtime.journal.events import Disposition, Event, Forgotten, LapseReason, OperatorActed, OutgoingFailed
from queue_runtime.journal.state import Phase
from tests.unit import builders as b
from tests.unit.builders import KEY, S
from tests.unit.rows import EXPIRED, PAST, SETTLE_COPY_9, Row

ABANDON, DEAD_LETTER = Disposition.ABANDON, Disposition.DEAD_LETTER
RESTART = LapseReason.RESTART
DAY = 24 * 3_600 * S

# The first copy was handed back, and the broker has not been told yet when a second one arrives.
GIVING_BACK = (b.received(), b.lapsed(release=True), b.duplicate())
BACK_OFF = b.failed(retry_at=10 * S)


def _acted(action: Action) -> OperatorActed:
    return OperatorActed(0, "ann", "it is stuck", action, KEY)


_GONE = b.lapsed(RESTART, at=59 * S)
_BY_OPERATOR = b.dead("OperatorRequest", kind=None, text="asked for by ann: it is stuck")
_OPERATOR_SETTLE = b.settle(DEAD_LETTER, reason="OperatorRequest", text="asked for by ann: it is stuck")
_THREE_CRASHES: tuple[Event, ...] = (
    b.received(),
    b.started(1, alone=True),
    b.crashed(1, alone=True),
    b.started(2, alone=True),
    b.crashed(2, alone=True),
    b.started(3, alone=True),
)
_POISON = b.dead(
    "PoisonMessage",
    at=59 * S,
    kind=None,
    text="the process died 3 times while this message was the only one in an attempt",
)

OUTBOX = [
    Row(Phase.SENDING, b.send_confirmed(), (b.sent(),), (b.send(1),)),
    Row(Phase.SENDING, b.send_confirmed(1), (b.sent(1),), (b.settle(),), (*PAST[Phase.SENDING], b.sent())),
    Row(Phase.SENDING, b.send_failed(), (OutgoingFailed(KEY, 0, 0, "TooLarge", "too large"),), (b.send(1),)),
    Row(
        Phase.SENDING,
        b.send_failed(1),
        (OutgoingFailed(KEY, 0, 1, "TooLarge", "too large"),),
        (b.settle(),),
        (*PAST[Phase.SENDING], b.sent()),
    ),
]

_DUE = b.duplicate(at=9 * S)
_COMPLETED_WHILE_GIVING_BACK = (*GIVING_BACK, b.started(), b.completed())
SETTLEMENTS = [
    Row(Phase.SETTLING, b.confirmed(), (b.settled(),), ()),
    Row(Phase.SETTLING, b.confirmed(), (b.settled(),), (SETTLE_COPY_9,), (*PAST[Phase.SETTLING], _DUE)),
    Row(
        Phase.SETTLING,
        b.confirmed(copy="b2"),
        (b.settled(copy="b2"),),
        (),
        (*PAST[Phase.UNSETTLED], _DUE),
    ),
    Row(Phase.SETTLING, b.denied(), (b.refused(),), ()),
    Row(Phase.SETTLING, b.denied(), (b.refused(),), (SETTLE_COPY_9,), (*PAST[Phase.SETTLING], _DUE)),
    Row(Phase.UNSETTLED, b.confirmed(), (b.settled(),), ()),
    Row(
        Phase.UNSETTLED,
        b.confirmed(),
        (b.settled(),),
        (),
        (*PAST[Phase.SETTLING], _DUE, b.refused(), b.refused(copy="b2")),
    ),
    # A copy that is handed back beside one that goes on.
    Row(Phase.WAITING, b.confirmed(ABANDON), (b.settled(ABANDON),), (), GIVING_BACK),
    Row(Phase.WAITING, b.denied(ABANDON), (b.refused(ABANDON),), (), GIVING_BACK),
    Row(Phase.RUNNING, b.confirmed(ABANDON), (b.settled(ABANDON),), (b.run(),), (*GIVING_BACK, b.started())),
    Row(Phase.RUNNING, b.denied(ABANDON), (b.refused(ABANDON),), (b.run(),), (*GIVING_BACK, b.started())),
    Row(
        Phase.ORPHANED,
        b.confirmed(ABANDON),
        (b.settled(ABANDON),),
        (b.run(),),
        (*GIVING_BACK, b.started(), b.lapsed(copy="b2")),
    ),
    Row(
        Phase.ORPHANED,
        b.denied(ABANDON),
        (b.refused(ABANDON),),
        (b.run(),),
        (*GIVING_BACK, b.started(), b.lapsed(copy="b2")),
    ),
    Row(
        Phase.BACKING_OFF,
        b.confirmed(ABANDON),
        (b.settled(ABANDON),),
        (b.wake(10 * S),),
        (*GIVING_BACK, b.started(), BACK_OFF),
    ),
    Row(
        Phase.BACKING_OFF,
        b.denied(ABANDON),
        (b.refused(ABANDON),),
        (b.wake(10 * S),),
        (*GIVING_BACK, b.started(), BACK_OFF),
    ),
    Row(Phase.LAPSED, b.confirmed(ABANDON), (b.settled(ABANDON),), (), GIVING_BACK[:2]),
    Row(Phase.LAPSED, b.denied(ABANDON), (b.refused(ABANDON),), (), GIVING_BACK[:2]),
    Row(
        Phase.SENDING,
        b.confirmed(ABANDON),
        (b.settled(ABANDON),),
        (b.send(),),
        (*GIVING_BACK, b.started(), b.completed(outgoing=1)),
    ),
    Row(
        Phase.SENDING,
        b.denied(ABANDON),
        (b.refused(ABANDON),),
        (b.send(),),
        (*GIVING_BACK, b.started(), b.completed(outgoing=1)),
    ),
    Row(
        Phase.SETTLING,
        b.denied(ABANDON),
        (b.refused(ABANDON),),
        (b.settle(), b.settle(copy="b2")),
        _COMPLETED_WHILE_GIVING_BACK,
    ),
    Row(
        Phase.UNSETTLED,
        b.confirmed(ABANDON),
        (b.settled(ABANDON),),
        (b.settle(),),
        (*_COMPLETED_WHILE_GIVING_BACK, b.settled(copy="b2")),
    ),
    Row(
        Phase.UNSETTLED,
        b.denied(ABANDON),
        (b.refused(ABANDON),),
        (b.settle(),),
        (*_COMPLETED_WHILE_GIVING_BACK, b.settled(copy="b2")),
    ),
    Row(
        Phase.UNSETTLED,
        b.denied(ABANDON),
        (b.refused(ABANDON),),
        (),
        (*GIVING_BACK, b.started(), b.lapsed(copy="b2"), b.released(), b.dead()),
    ),
]

_RESTART = Restarted(59 * S, receipts_survive=True)  # a second before the locks end: not enough to rely on
_CRASHED = b.crashed(at=59 * S)
LATER = [
    Row(Phase.LAPSED, TimerFired(900 * S), (Forgotten(KEY, 900 * S, "not handed over again"),), ()),
    Row(
        Phase.LAPSED,
        TimerFired(900 * S),
        (Forgotten(KEY, 900 * S, "not handed over again"),),
        (),
        (*PAST[Phase.BACKING_OFF], b.lapsed()),
    ),
    Row(
        Phase.UNSETTLED,
        TimerFired(14 * DAY),
        (Forgotten(KEY, 14 * DAY, "beyond the broker's retention"),),
        (),
    ),
    Row(Phase.FORGOTTEN, TimerFired(DAY), (Forgotten(KEY, DAY, "its attempts are too old to count"),), ()),
    Row(Phase.WAITING, _RESTART, (_GONE,), ()),
    Row(Phase.RUNNING, _RESTART, (_CRASHED, _GONE), ()),
    Row(Phase.RUNNING, _RESTART, (b.crashed(3, at=59 * S, alone=True), _GONE, _POISON), (), _THREE_CRASHES),
    Row(Phase.ORPHANED, _RESTART, (_CRASHED,), ()),
    Row(
        Phase.ORPHANED,
        _RESTART,
        (b.crashed(3, at=59 * S, alone=True), _POISON),
        (),
        (*_THREE_CRASHES, b.lapsed()),
    ),
    Row(Phase.BACKING_OFF, _RESTART, (_GONE,), ()),
    Row(Phase.SENDING, _RESTART, (_GONE,), (b.send(),)),
    Row(Phase.SETTLING, _RESTART, (_GONE,), (b.settle(),)),
    Row(
        Phase.WAITING,
        Expired(5 * S),
        (EXPIRED,),
        (b.settle(DEAD_LETTER, reason="TTLExpired", text=EXPIRED.description),),
        (b.received(expires_at=5 * S),),
    ),
    Row(
        Phase.WAITING,
        b.asked(Action.DEAD_LETTER),
        (_acted(Action.DEAD_LETTER), _BY_OPERATOR),
        (_OPERATOR_SETTLE,),
    ),
    Row(
        Phase.WAITING,
        b.asked(Action.RELEASE),
        (_acted(Action.RELEASE), b.lapsed(LapseReason.OPERATOR, release=True)),
        (b.release(),),
    ),
    Row(
        Phase.BACKING_OFF,
        b.asked(Action.DEAD_LETTER),
        (_acted(Action.DEAD_LETTER), _BY_OPERATOR),
        (_OPERATOR_SETTLE,),
    ),
    Row(
        Phase.BACKING_OFF,
        b.asked(Action.RELEASE),
        (_acted(Action.RELEASE), b.lapsed(LapseReason.OPERATOR, release=True)),
        (b.release(),),
    ),
]
