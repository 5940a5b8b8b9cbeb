"""The core's two tables, written by hand: what may follow an input, and where an event leads.

`decide` is tested against `TRANSITIONS`, phase by phase and input by input, and `evolve` against `LEADS_TO`; the state
diagram in the docs is drawn from them. Nothing at run time reads them. An empty tuple means that the input decides
nothing there: it is late, or it is not for that phase.
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
    MessageEvent,
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

__all__ = ["LEADS_TO", "PHASES", "TRANSITIONS", "MayFollow"]

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
_ended = (AttemptCrashed, DeadLettered)
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
    Restarted:       (_,      _lapse,  _crash,  _ended, _lapse,  _,       _lapse,  _lapse,  _,       _),
    Expired:         (_,      _expire, _,       _,       _,       _,       _,       _,       _,       _),
    OperatorAsked:   (_,      _ask,    _,       _,       _ask,    _,       _,       _,       _,       _),
}
# fmt: on

TRANSITIONS: dict[tuple[Phase | None, type[Input]], MayFollow] = {
    (phase, given): row[place] for given, row in _TABLE.items() for place, phase in enumerate(PHASES)
}

_waits = (Phase.WAITING,)
_runs = (Phase.RUNNING,)
_backs_off = (Phase.BACKING_OFF,)
_lapses = (Phase.LAPSED,)
_is_settled = (Phase.SETTLING,)
_is_refused = (Phase.UNSETTLED,)
_succeeds = (Phase.SENDING, Phase.SETTLING)
_one_copy_less = (Phase.SETTLING, Phase.UNSETTLED)
_gone = (None,)

# What changes nothing but copies, steps or the outbox is left out where the phase stays as it is.
LEADS_TO: dict[tuple[Phase | None, type[MessageEvent]], tuple[Phase | None, ...]] = {
    (None, Received): _waits,
    (None, Duplicate): _is_settled,
    (Phase.WAITING, AttemptStarted): _runs,
    (Phase.WAITING, DeadLettered): _is_settled,
    (Phase.WAITING, LeaseLapsed): (Phase.WAITING, *_lapses),
    (Phase.RUNNING, Completed): _succeeds,
    (Phase.RUNNING, AttemptFailed): _backs_off,
    (Phase.RUNNING, AttemptReleased): _waits,
    (Phase.RUNNING, AttemptCrashed): _waits,
    (Phase.RUNNING, LeaseLapsed): (Phase.RUNNING, Phase.ORPHANED),
    (Phase.ORPHANED, Redelivered): _runs,
    (Phase.ORPHANED, Duplicate): _runs,
    (Phase.ORPHANED, Completed): _succeeds,
    (Phase.ORPHANED, AttemptReleased): _lapses,
    (Phase.ORPHANED, AttemptCrashed): _lapses,
    (Phase.BACKING_OFF, AttemptStarted): _runs,
    (Phase.BACKING_OFF, DeadLettered): _is_settled,
    (Phase.BACKING_OFF, LeaseLapsed): (Phase.BACKING_OFF, *_lapses),
    (Phase.LAPSED, Redelivered): (*_waits, *_backs_off),
    (Phase.LAPSED, Duplicate): (*_waits, *_backs_off),
    (Phase.LAPSED, DeadLettered): _is_refused,  # it is settled when the broker hands it over
    (Phase.LAPSED, Forgotten): (Phase.FORGOTTEN, *_gone),
    (Phase.SENDING, OutgoingSent): _succeeds,
    (Phase.SENDING, OutgoingFailed): _succeeds,
    (Phase.SETTLING, LeaseLapsed): _one_copy_less,
    (Phase.SETTLING, Settled): (*_one_copy_less, *_gone),
    (Phase.SETTLING, SettleRefused): _one_copy_less,
    (Phase.UNSETTLED, Redelivered): _is_settled,
    (Phase.UNSETTLED, Duplicate): _is_settled,
    (Phase.UNSETTLED, Settled): (*_one_copy_less, *_gone),
    (Phase.UNSETTLED, SettleRefused): _one_copy_less,
    (Phase.UNSETTLED, Forgotten): _gone,
    (Phase.FORGOTTEN, Received): _waits,
    (Phase.FORGOTTEN, DeadLettered): _is_refused,
    (Phase.FORGOTTEN, Forgotten): _gone,
}
"""Where an event leads from a phase; None before the message is known and after it is forgotten."""
