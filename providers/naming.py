"""How queues are called: a bot's queues by convention, and what each provider allows in a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from queue_runtime.providers.errors import ValidationError
from queue_runtime.providers.message import QueueName

__all__ = ["BotQueues", "NamingError", "NamingProblem", "QueueRegistry", "check_queue_name"]

MAX_PART = 30  # a bot's name, so that prefix, environment and suffix fit beside it
FIFO_SUFFIX = ".fifo"
DEAD_LETTER_SUFFIX = "-dlq"
RETRY_SUFFIX = "-retry"
SQS = "aws"

_PART = re.compile(r"[a-z-]+")
_WORD = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a provider allows. `longest`: any name, as the broker has it. `longest_made`: one that is made here."""

    longest: int
    longest_made: int


_RULES = {
    # Source: SQS developer guide, "Queue names", read November 2026: 80 with the suffix; a FIFO queue's ends in it.
    SQS: _Rules(longest=80, longest_made=80),
    # Source: Service Bus quotas, read November 2026: 260. 50 is what fits Azure's other resources of the same name.
    "azure": _Rules(longest=260, longest_made=50),
    "memory": _Rules(longest=260, longest_made=100),
}
_ANY = _Rules(longest=260, longest_made=50)


class NamingProblem(StrEnum):
    """What is wrong with a name."""

    EMPTY = "empty"
    TOO_LONG = "too long"
    INVALID_CHARACTER = "invalid character"
    INVALID_FORMAT = "invalid format"
    BOT_NOT_FOUND = "bot not found"
    UNSUPPORTED_PROVIDER = "unsupported provider"
    DUPLICATE_NAME = "duplicate name"


class NamingError(ValidationError):
    """A name breaks a rule. The operator's fault; nothing was started. `problem` says which kind of rule."""

    def __init__(self, field: str, problem: NamingProblem, text: str) -> None:
        super().__init__(field, text)
        self.problem = problem


class BotQueues(BaseModel):
    """What one bot's queues are to be like. Times in seconds.

    `sessions`: its messages have an order that must be kept. `dead_letter`: it has a queue for dead letters.
    `retry_queue`: it has one for delayed retries. `fifo`: it is an SQS FIFO queue. `max_delivery_count`: deliveries
    after which the broker is to dead-letter; at least the engine's attempts. `message_ttl_s`: how long a message is
    worth keeping.

    Raises:
        pydantic.ValidationError: a value is out of its range, or the bot's name breaks the rule of bots' names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_PART)]
    sessions: bool = True
    dead_letter: bool = True
    retry_queue: bool = False
    fifo: bool = False
    max_delivery_count: Annotated[int, Field(ge=1)] = 10
    message_ttl_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 24 * 3_600.0


@dataclass(frozen=True, slots=True)
class QueueRegistry:
    """Maps bots to queues, by one convention: `[prefix-]environment-bot[-suffix]`, in lower case.

    Args:
        provider: whose rules hold: `aws`, `azure`, `memory`, or another's name.
        environment: the second part of each name, such as `production`.
        bots: the bots; each name once.
        prefix: goes before everything, such as the organisation's name.

    Raises:
        NamingError: a part breaks a rule, a name that would follow is too long, or two bots have one name.
    """

    provider: str
    environment: str
    bots: Sequence[BotQueues]
    prefix: str | None = None

    def __post_init__(self) -> None:
        """Make every name once, so that a bad one is refused before anything connects."""
        if not self.bots:
            return  # no name is made
        for field, part in (("environment", self.environment), ("queue_prefix", self.prefix)):
            if part is not None:
                _check_part(field, part, _WORD, "lower-case letters, digits and single hyphens")
        seen: set[str] = set()
        for bot in self.bots:
            _check_part("bots", bot.name, _PART, "lower-case letters and single hyphens")
            if bot.fifo and self.provider != SQS:
                text = f"bot {bot.name!r} asks for a FIFO queue, which provider {self.provider!r} has not: unset fifo"
                raise NamingError(field="bots", problem=NamingProblem.UNSUPPORTED_PROVIDER, text=text)
            for name in self._of(bot):
                if name in seen:
                    text = f"queue {str(name)!r} would belong to two bots: rename bot {bot.name!r}"
                    raise NamingError(field="bots", problem=NamingProblem.DUPLICATE_NAME, text=text)
                seen.add(name)

    def bot(self, name: str) -> BotQueues:
        """Return what is known of a bot.

        Raises:
            NamingError: there is none of that name.
        """
        for bot in self.bots:
            if bot.name == name:
                return bot
        known = ", ".join(bot.name for bot in self.bots) or "there are none"
        raise NamingError(
            field="bot", problem=NamingProblem.BOT_NOT_FOUND, text=f"{name!r} is none of the bots: {known}"
        )

    def main(self, name: str) -> QueueName:
        """Return the queue that a bot receives from.

        Raises:
            NamingError: there is no such bot.
        """
        return self._made(self.bot(name), "")

    def dead_letters(self, name: str) -> QueueName | None:
        """Return the queue that takes a bot's dead letters; None where it has none, or the broker keeps them itself."""
        bot = self.bot(name)
        return self._made(bot, DEAD_LETTER_SUFFIX) if bot.dead_letter and self.provider == SQS else None

    def retry(self, name: str) -> QueueName | None:
        """Return the queue of a bot's delayed retries, if it has one."""
        bot = self.bot(name)
        return self._made(bot, RETRY_SUFFIX) if bot.retry_queue else None

    def strategy(self, name: str, strategy: str) -> QueueName:
        """Return a bot's queue for one session strategy: `...-merge-warden-branch`.

        Raises:
            NamingError: there is no such bot, or the strategy's name breaks a rule.
        """
        _check_part("strategy", strategy, _WORD, "lower-case letters, digits and single hyphens")
        return self._made(self.bot(name), f"-{strategy}")

    def names(self) -> tuple[QueueName, ...]:
        """Return every queue of every bot, a bot's own after each other."""
        return tuple(name for bot in self.bots for name in self._of(bot))

    def _of(self, bot: BotQueues) -> Iterable[QueueName]:
        yield self._made(bot, "")
        if bot.dead_letter and self.provider == SQS:
            yield self._made(bot, DEAD_LETTER_SUFFIX)
        if bot.retry_queue:
            yield self._made(bot, RETRY_SUFFIX)

    def _made(self, bot: BotQueues, suffix: str) -> QueueName:
        front = (self.prefix, self.environment, bot.name)
        name = "-".join(part for part in front if part is not None) + suffix + (FIFO_SUFFIX if bot.fifo else "")
        longest = _RULES.get(self.provider, _ANY).longest_made
        if len(name) > longest:
            text = f"queue {name!r} of bot {bot.name!r} would have {len(name)} characters, above {longest}: shorten it"
            raise NamingError(field="bots", problem=NamingProblem.TOO_LONG, text=text)
        return QueueName(name)


def _check_part(field: str, part: str, allowed: re.Pattern[str], rule: str) -> None:
    if not part:
        raise NamingError(field, problem=NamingProblem.EMPTY, text="must not be empty")
    if len(part) > MAX_PART:
        text = f"{part[:MAX_PART]!r}... has {len(part)} characters: use at most {MAX_PART}"
        raise NamingError(field, problem=NamingProblem.TOO_LONG, text=text)
    wrong = next((character for character in part if not allowed.fullmatch(character)), None)
    if wrong is not None:
        raise NamingError(field, problem=NamingProblem.INVALID_CHARACTER, text=f"{part!r} holds {wrong!r}: use {rule}")
    if part[0] == "-" or part[-1] == "-" or "--" in part:
        text = f"{part!r} has a hyphen at an edge, or two in a row: use {rule}"
        raise NamingError(field, problem=NamingProblem.INVALID_FORMAT, text=text)


def check_queue_name(provider: str, name: QueueName) -> QueueName:
    """Return `name` if `provider` can have a queue of it; `QueueName` has checked what holds everywhere.

    Raises:
        NamingError: it is longer than the broker allows.
    """
    longest = _RULES.get(provider, _ANY).longest
    if len(name) > longest:
        text = (
            f"{str(name)[:40]!r}... has {len(name)} characters, and provider {provider!r} allows {longest}: shorten it"
        )
        raise NamingError(field="queue_name", problem=NamingProblem.TOO_LONG, text=text)
    return name
