"""What the crash tests send, and what each message does to its handler: its body says it, to any process."""

import random
from dataclasses import dataclass
from enum import StrEnum

from queue_runtime.providers.message import Message, QueueName

__all__ = ["EACH", "OUT", "QUEUE", "SESSIONS", "Deed", "Planned", "plan"]

QUEUE, OUT = QueueName("work"), QueueName("out")
SESSIONS, EACH = 20, 26  # 520 messages
DUPLICATES = 15


class Deed(StrEnum):
    """What a handler does with a message."""

    DO = "do"
    STEP = "step"  # journals a step, and sends a message
    SLOW = "slow"
    FAIL = "fail"  # in its first two attempts
    REFUSE = "refuse"  # with an error that no retry mends
    HANG = "hang"  # in its first attempt, until its time is up
    HANG_IN_THREAD = "hang in thread"  # longer than its time, and cannot be cancelled
    DIE_ONCE = "die once"  # takes its process with it in its first attempt
    DIE = "die"  # takes its process with it whenever it is run: the culprit


_OFTEN = (Deed.DO,) * 30 + (Deed.STEP,) * 12 + (Deed.SLOW,) * 5 + (Deed.FAIL,) * 4 + (Deed.REFUSE,)
_ONCE = (Deed.DIE, Deed.DIE_ONCE, *(Deed.HANG,) * 4, *(Deed.HANG_IN_THREAD,) * 4)


@dataclass(frozen=True)
class Planned:
    """One message: its session, its place in it, and what it does."""

    session: str
    number: int
    deed: Deed

    @property
    def id(self) -> str:
        return f"{self.session}-{self.number}"

    @property
    def key(self) -> str:
        return f"{QUEUE}/{self.id}"

    @property
    def message(self) -> Message:
        return Message(self.deed.value.encode(), message_id=self.id, session_id=self.session)


def plan(dice: random.Random) -> tuple[list[Planned], list[Planned]]:
    """Draw the messages of one run, in the order in which they are sent; and those that are sent a second time."""
    deeds = [*_ONCE, *dice.choices(_OFTEN, k=SESSIONS * EACH - len(_ONCE))]
    dice.shuffle(deeds)
    next_of = dict.fromkeys((f"s{session:02}" for session in range(SESSIONS)), 0)
    planned: list[Planned] = []
    for deed in deeds:
        session = dice.choice([name for name, number in next_of.items() if number < EACH])
        planned.append(Planned(session, next_of[session], deed))
        next_of[session] += 1
    # What was dead-lettered and is sent again is tried again: only what is completed has to stay so.
    return planned, dice.sample([one for one in planned if one.deed in {Deed.DO, Deed.STEP}], DUPLICATES)
