"""Faults to plant, each a small change of one real part: `QUEUE_RUNTIME_TEST_FAULT=NAME pytest -p tests.crash.faults`.

A test that passes in spite of the fault that it is there for does not test what it says. `test_faults.py` tries them.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from queue_runtime.engine import core, decide, decide_session
from queue_runtime.engine.inputs import HandlerRaised, HandlerReleased, Restarted
from queue_runtime.engine.lanes import Lanes
from queue_runtime.engine.leases import Leases
from queue_runtime.engine.outage import Outage
from queue_runtime.engine.settler import Settler
from queue_runtime.journal import evolve
from queue_runtime.journal.events import AttemptStarted, Completed, DeadLettered, Event, OutgoingSent, Redelivered
from queue_runtime.journal.message_state import MessageState
from queue_runtime.journal.state import EngineState, SettledKeys

__all__ = ["FAULTS", "VARIABLE", "pytest_configure"]

VARIABLE = "QUEUE_RUNTIME_TEST_FAULT"

FAULTS: dict[str, Callable[[], None]] = {}
"""By name: plants the fault in this process, for good."""

_Anything = Callable[..., Any]
_Change = Callable[[_Anything], Any]


def pytest_configure() -> None:
    """Plant the fault that the environment names."""
    name = os.environ.get(VARIABLE)
    if name is not None:
        FAULTS[name]()


def _in(*owners: object, name: str) -> Callable[[_Change], _Change]:
    """Register a fault that replaces the attribute `name` of each owner by what the fault makes of it."""

    def register(change: _Change) -> _Change:
        def plant() -> None:
            for owner in owners:
                setattr(owner, name, change(getattr(owner, name)))

        FAULTS[change.__name__.replace("_", " ")] = plant
        return change

    return register


def _row(module: object, table: str, row: type) -> Callable[[_Change], _Change]:
    """Register a fault that replaces one row of a table of a module."""

    def register(change: _Change) -> _Change:
        def plant() -> None:
            rows: dict[type, _Anything] = getattr(module, table)
            rows[row] = change(rows[row])

        FAULTS[change.__name__.replace("_", " ")] = plant
        return change

    return register


def _nothing(*_: object, **__: object) -> tuple[()]:
    return ()


# --- the shell acts too early, or not at all -------------------------------------------------------------------------


def _performing_at_once(changed: _Anything, kinds: tuple[type[Event], ...]) -> _Anything:
    def performed(self: Any, event: Event, *others: object) -> None:
        changed(self, event, *others)
        if isinstance(event, kinds):
            key = getattr(event, "key", "")
            getattr(self, "_last").pop(key, None)  # noqa: B009 - a private name, on purpose
            self.perform(key)

    return performed


@_in(core.Core, name="_message_changed")
def settle_before_commit(changed: _Anything) -> _Anything:
    return _performing_at_once(changed, (Completed, DeadLettered, OutgoingSent))


@_in(core.Core, name="_message_changed")
def run_before_commit(changed: _Anything) -> _Anything:
    return _performing_at_once(changed, (AttemptStarted,))


@_in(Settler, name="_answered")
def confirm_a_refused_settlement(answered: _Anything) -> _Anything:
    def deaf(self: object, effect: object, answer: object, now: object) -> None:
        del answer
        answered(self, effect, None, now)

    return deaf


@_in(Leases, name="renew_due")
def renew_nothing(renew_due: _Anything) -> _Anything:
    del renew_due

    async def idle(self: object) -> float:
        del self
        return 0.1

    return idle


@_in(Outage, name="keep")
def forget_what_an_outage_saw(keep: _Anything) -> _Anything:
    del keep
    return _nothing


# --- restarts --------------------------------------------------------------------------------------------------------


@_row(decide, "_DECIDE", Restarted)
def forget_restarted(restarted: _Anything) -> _Anything:
    del restarted
    return _nothing


@_row(decide, "_DECIDE", Restarted)
def charge_a_crash_in_company(restarted: _Anything) -> _Anything:
    def strict(message: MessageState, given: object, policy: object) -> object:
        return restarted(message._replace(alone=True), given, policy)

    return strict


@_in(Lanes, name="next_ready")
def run_suspects_together(next_ready: _Anything) -> _Anything:
    def crowded(self: Any, now: int) -> object:
        running, self.running, alone = self.running, 0, "_alone"
        setattr(self, alone, None)
        found = next_ready(self, now)
        self.running = running
        return found

    return crowded


@_row(decide, "_DECIDE", HandlerReleased)
def charge_a_drain(released: _Anything) -> _Anything:
    def charged(message: MessageState, given: HandlerReleased, policy: Any) -> object:
        raised = HandlerRaised(
            given.now, given.attempt, "Drained", "", (), transient=True, retry_after_s=None, draw=0.0
        )
        return (*decide.decide(message, raised, policy), *released(message, given, policy)[1:])

    return charged


@_in(core.Core, name="adopt")
def forget_the_window(adopt: _Anything) -> _Anything:
    def forgetful(self: object, state: EngineState) -> None:
        state.settled = SettledKeys()
        adopt(self, state)

    return forgetful


# --- sessions and leases ---------------------------------------------------------------------------------------------


@_in(decide_session, core, name="cascade")
def keep_a_lane_after_a_lapse(cascade: _Anything) -> _Anything:
    del cascade
    return _nothing


@_in(decide_session, core, name="cascade")
def release_head_before_tail(cascade: _Anything) -> _Anything:
    def turned(lane: object, order: int, now: int) -> object:
        return tuple(reversed(cascade(lane, order, now)))

    return turned


@_row(evolve, "_EVOLVE", Redelivered)
def ignore_the_newer_receipt(handed_over: _Anything) -> _Anything:
    def stubborn(message: MessageState, event: Redelivered) -> object:
        known = message.copy(event.provider_id)
        return handed_over(message, event if known is None else replace(event, receipt=known.receipt))

    return stubborn


# --- outcomes --------------------------------------------------------------------------------------------------------


@_row(evolve, "_EVOLVE", Completed)
def drop_the_outbox(completed: _Anything) -> _Anything:
    def silent(message: MessageState, event: Completed) -> object:
        return completed(message, replace(event, outgoing=()))

    return silent


@_in(decide, name="_first_delivered")
def run_a_completed_key_again(first_delivered: _Anything) -> _Anything:
    def forgetful(given: Any, policy: object) -> object:
        return first_delivered(replace(given, known=None), policy)

    return forgetful
