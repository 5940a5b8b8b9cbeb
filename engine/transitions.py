"""Which events may follow which input, for every phase: the decider's table, written by hand.

`decide` is tested against it, input by input, and the state diagram in the docs is drawn from it. Nothing at run time
reads it. An empty tuple means that the input decides nothing there: it is late, or it is not for that phase.
"""

from __future__ import annotations

from typing import TypeAlias

from queue_runtime.engine.inputs import (
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
    LeaseLapsed,
    LeasesRenewed,
    OperatorActed,
    OutgoingFailed,
    OutgoingSent,
    Received,
    Redelivered,
    SessionParked,
    Settled,
    SettleRefused,
    StepRecorded,
)
from queue_runtime.journal.state import Phase

__all__ = ["PHASES", "TRANSITIONS", "MayFollow"]

MayFollow: TypeAlias = tuple[type[Event], ...]

PHASES: tuple[Phase | None, ...] = (
    None,  # nothing is known of the message
    Phase.WAITING,
    Phase.RUNNING,
    Phase.ORPHANED,
    Phase.BACKING_OFF,
    Phase.LAPSED,
    Phase.SENDING,
    Phase.SETTLING,
    Phase.UNSETTLED,
    Phase.FORGOTTEN,
)

_ = ()
_new = (Received, Duplicate)
_back = (Received,)
_again = (Redelivered, Duplicate)
_failed = (AttemptFailed, DeadLettered, SessionParked, LeaseLapsed)
_renew = (LeasesRenewed,)
_lapse = (LeaseLapsed,)
_start = (AttemptStarted, DeadLettered, SessionParked)
_done = (Completed,)
_release = (AttemptReleased,)
_drain = (AttemptReleased, LeaseLapsed)
_step = (StepRecorded,)
_sent = (OutgoingSent,)
_unsent = (OutgoingFailed,)
_settle = (Settled,)
_refuse = (SettleRefused,)
_forget = (Forgotten,)
_expire = (DeadLettered,)
_crash = (AttemptCrashed, LeaseLapsed, DeadLettered)
_ask = (OperatorActed, DeadLettered, LeaseLapsed)

# fmt: off
_TABLE: dict[type[Input], tuple[MayFollow, ...]] = {
    #                 unknown waiting  running  orphaned backing  lapsed   sending  settling unsettl. forgotten
    Delivered:       (_new,   _again,  _again,  _again,  _again,  _again,  _again,  _again,  _again,  _back),
    Ready:           (_,      _start,  _,       _,       _start,  _,       _,       _,       _,       _),
    HandlerReturned: (_,      _,       _done,   _done,   _,       _,       _,       _,       _,       _),
    HandlerRaised:   (_,      _,       _failed, _release, _,      _,       _,       _,       _,       _),
    HandlerTimedOut: (_,      _,       _failed, _release, _,      _,       _,       _,       _,       _),
    HandlerReleased: (_,      _,       _drain,  _release, _,      _,       _,       _,       _,       _),
    StepReturned:    (_,      _,       _step,   _step,   _,       _,       _,       _,       _,       _),
    LockRenewed:     (_,      _renew,  _renew,  _,       _renew,  _,       _renew,  _renew,  _,       _),
    LockLost:        (_,      _lapse,  _lapse,  _,       _lapse,  _,       _lapse,  _lapse,  _,       _),
    HandBack:        (_,      _lapse,  _,       _,       _lapse,  _,       _,       _,       _,       _),
    SettleConfirmed: (_,      _settle, _settle, _settle, _settle, _settle, _settle, _settle, _settle, _),
    SettleDenied:    (_,      _refuse, _refuse, _refuse, _refuse, _refuse, _refuse, _refuse, _refuse, _),
    SendConfirmed:   (_,      _,       _,       _,       _,       _,       _sent,   _,       _,       _),
    SendFailed:      (_,      _,       _,       _,       _,       _,       _unsent, _,       _,       _),
    TimerFired:      (_,      _,       _,       _,       _,       _forget, _,       _,       _forget, _forget),
    Restarted:       (_,      _lapse,  _crash,  _crash,  _lapse,  _,       _lapse,  _lapse,  _,       _),
    Expired:         (_,      _expire, _,       _,       _,       _,       _,       _,       _,       _),
    OperatorAsked:   (_,      _ask,    _,       _,       _ask,    _,       _,       _,       _,       _),
}
# fmt: on

TRANSITIONS: dict[tuple[Phase | None, type[Input]], MayFollow] = {
    (phase, given): row[place] for given, row in _TABLE.items() for place, phase in enumerate(PHASES)
}
