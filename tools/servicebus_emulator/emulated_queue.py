"""What a queue of the emulator is like."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["MAX_MESSAGE_BYTES", "EmulatedQueue", "parse_queue"]

MAX_MESSAGE_BYTES = 262_144
"""The largest message or batch of the Standard tier. Source: Service Bus, "Azure Service Bus quotas"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedQueue:
    """What a queue does; the defaults are those of a queue made in the portal, without its time to live of 14 days.

    Source: Service Bus, "Create a queue" and "Azure Service Bus quotas".

    Args:
        name: 1 to 260 letters, digits, dots, dashes, underscores and slashes.
        sessions: every message belongs to a session, and is received through it.
        lock_s: how long a message or a session is locked, in seconds; the service allows 300 at the most.
        max_delivery_count: failed deliveries after which a message is dead-lettered.
        ttl_s: the longest time to live, in seconds; None for as long as the emulator runs.
        dead_letter_expired: what expires is dead-lettered rather than dropped.
        duplicate_window_s: how long a message id is remembered, in seconds; None for no duplicate detection.
        forward_to: the queue that everything is moved to as soon as it is enqueued.
        max_message_bytes: the largest message or batch.
        max_bytes: how much the queue holds, in bytes, before it refuses more.
    """

    name: str
    sessions: bool = False
    lock_s: float = 60.0
    max_delivery_count: int = 10
    ttl_s: float | None = None
    dead_letter_expired: bool = False
    duplicate_window_s: float | None = None
    forward_to: str | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        letters = self.name.translate(str.maketrans("._/~-", "a" * 5))
        if not (letters.isascii() and letters.isalnum() and self.name[0].isalnum() and len(letters) <= 260):
            msg = f"a queue cannot be called {self.name!r}: use letters, digits, dots, dashes, underscores and slashes"
            raise ValueError(msg)
        for limit in ("lock_s", "max_delivery_count", "max_message_bytes", "max_bytes", "ttl_s", "duplicate_window_s"):
            value = getattr(self, limit)
            if value is not None and value <= 0:
                msg = f"{limit} of queue {self.name} is {value}: it must be more than 0"
                raise ValueError(msg)


_SHORT = {
    "lock": "lock_s",
    "deliveries": "max_delivery_count",
    "ttl": "ttl_s",
    "duplicates": "duplicate_window_s",
    "dead-letter-expired": "dead_letter_expired",
    "forward": "forward_to",
    "max-message": "max_message_bytes",
    "max-bytes": "max_bytes",
}


def parse_queue(text: str) -> EmulatedQueue:
    """Return the queue that `name,option,option=value` describes: `pulls,sessions,lock=30`.

    Options: `sessions`, `dead-letter-expired`, `lock=S`, `deliveries=N`, `ttl=S`, `duplicates=S`, `forward=QUEUE`,
    `max-message=BYTES`, `max-bytes=BYTES`.

    Raises:
        ValueError: there is no such option, or its value does not fit; the text says which.
    """
    name, *options = text.split(",")
    kinds = {field.name: str(field.type) for field in fields(EmulatedQueue)}
    given: dict[str, object] = {}
    for option in options:
        word, has_value, value = option.partition("=")
        setting = _SHORT.get(word, word)
        kind = kinds.get(setting, "")
        if setting not in {"sessions", *_SHORT.values()} or (kind == "bool") == bool(has_value):
            known = ", ".join(["sessions", *_SHORT])
            msg = f"queue {name} has no option {option!r}: there are {known}; those with a value are written lock=30"
            raise ValueError(msg)
        given[setting] = True if kind == "bool" else _value(name, word, value, kind)
    return EmulatedQueue(name=name, **given)  # pyright: ignore[reportArgumentType] - each value is of its field's kind


def _value(name: str, word: str, value: str, kind: str) -> object:
    try:
        return int(value) if kind == "int" else value if kind.startswith("str") else float(value)
    except ValueError:
        msg = f"{word} of queue {name} is {value!r}: it must be a number"
        raise ValueError(msg) from None
