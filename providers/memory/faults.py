"""Faults on order: what a broker, or the network before it, does wrong at the next calls.

Everything is counted and nothing is random, so a test that plans a fault sees it at the same call every time. A plan is
used up by the calls that it hits, oldest plan first, and hits every queue unless it names one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from queue_runtime.providers.errors import QueueError, ServiceThrottled

__all__ = ["FaultKind", "Faults", "Operation"]


class Operation(StrEnum):
    """What can be asked of the broker."""

    SEND = "send"
    CANCEL = "cancel"
    RECEIVE = "receive"
    SETTLE = "settle"
    RENEW = "renew"
    PEEK = "peek"
    ACCEPT = "accept session"
    RENEW_SESSION = "renew session"
    SESSION_STATE = "session state"


class FaultKind(Enum):
    """What goes wrong."""

    REFUSE = auto()
    DELAY = auto()
    DUPLICATE = auto()
    LOSE_LOCK = auto()
    LOSE_ANSWER = auto()


@dataclass(slots=True)
class _Plan:
    kind: FaultKind
    operation: Operation
    queue: str | None
    left: int
    error: QueueError | None = None
    delay_s: float = 0.0


class Faults:
    """The faults that a broker still has to commit. May be planned from any thread, while the broker works."""

    def __init__(self) -> None:
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()

    def refuse(self, operation: Operation, error: QueueError, *, times: int = 1, queue: str | None = None) -> None:
        """Do not carry out the operation; raise `error`.

        Where the port answers item by item (send, cancel, settle, renew), `times` counts items; the others succeed.
        """
        self._add(_Plan(FaultKind.REFUSE, operation, queue, times, error))

    def throttle(self, operation: Operation, retry_after_s: float, *, times: int = 1, queue: str | None = None) -> None:
        """Refuse with `ServiceThrottled`."""
        self.refuse(operation, ServiceThrottled(retry_after_s), times=times, queue=queue)

    def delay(self, operation: Operation, delay_s: float, *, times: int = 1, queue: str | None = None) -> None:
        """Wait `delay_s` by the broker's clock before carrying out a call."""
        self._add(_Plan(FaultKind.DELAY, operation, queue, times, delay_s=delay_s))

    def duplicate(self, *, times: int = 1, queue: str | None = None) -> None:
        """Deliver the next messages twice: a copy under another provider id follows, as after a repeated send."""
        self._add(_Plan(FaultKind.DUPLICATE, Operation.RECEIVE, queue, times))

    def lose_lock(self, *, times: int = 1, queue: str | None = None) -> None:
        """End the lock of the next delivered messages at once, though their receipts promise more."""
        self._add(_Plan(FaultKind.LOSE_LOCK, Operation.RECEIVE, queue, times))

    def lose_answer(self, operation: Operation, *, times: int = 1, queue: str | None = None) -> None:
        """Carry out the next items, of a send or a settlement, and answer `ConnectionFailed`.

        `refuse` with a `ConnectionFailed` is the other half: the same answer, and nothing was carried out.
        """
        self._add(_Plan(FaultKind.LOSE_ANSWER, operation, queue, times))

    def clear(self) -> None:
        """Drop every plan."""
        with self._lock:
            self._plans.clear()

    def next_refusal(self, operation: Operation, queue: str) -> QueueError | None:
        """Use up one refusal. For the broker."""
        plan = self._next(FaultKind.REFUSE, operation, queue)
        return None if plan is None else plan.error

    def next_delay_s(self, operation: Operation, queue: str) -> float:
        """Use up one delay. For the broker."""
        plan = self._next(FaultKind.DELAY, operation, queue)
        return 0.0 if plan is None else plan.delay_s

    def hits(self, kind: FaultKind, operation: Operation, queue: str) -> bool:
        """Use up one fault of a kind that needs no more than a yes. For the broker."""
        return self._next(kind, operation, queue) is not None

    @property
    def are_planned(self) -> bool:
        """True while any plan is left."""
        return bool(self._plans)

    def _add(self, plan: _Plan) -> None:
        with self._lock:
            self._plans.append(plan)

    def _next(self, kind: FaultKind, operation: Operation, queue: str) -> _Plan | None:
        if not self._plans:
            return None
        with self._lock:
            for plan in self._plans:
                if plan.kind is kind and plan.operation is operation and plan.queue in (None, queue):
                    plan.left -= 1
                    if plan.left == 0:
                        self._plans.remove(plan)
                    return plan
        return None
