"""A broker that outlives every engine: locks, redelivery, sessions, duplicates and lost answers, in a few lines."""

from dataclasses import dataclass, field

from tests.unit.builders import LOCK


@dataclass
class Stored:
    """One broker message. It is available once its lock has ended; only the newest receipt counts."""

    provider_id: str
    key: str
    session: str | None
    sequence: int
    locked_until: int = 0
    count: int = 0

    @property
    def receipt(self) -> str:
        return f"{self.provider_id}/{self.count}"


@dataclass
class Broker:
    """A queue. A FIFO one hands nothing of a session over while an earlier message of it is locked."""

    is_fifo: bool
    stored: dict[str, Stored] = field(default_factory=dict[str, Stored])
    completed: list[str] = field(default_factory=list[str])
    dead: list[str] = field(default_factory=list[str])
    stolen: list[str] = field(default_factory=list[str])
    sent: list[str] = field(default_factory=list[str])
    _count: int = 0

    def send(self, key: str, session: str | None) -> None:
        """Store a message under a broker id of its own, whatever its key."""
        self._count += 1
        self.stored[f"b{self._count}"] = Stored(f"b{self._count}", key, session, self._count)

    def receive(self, now: int, at_most: int) -> list[Stored]:
        """Lock and hand over what is available, oldest first."""
        locked = {stored.session for stored in self.stored.values() if stored.locked_until > now}
        found = [
            stored
            for stored in self.stored.values()
            if stored.locked_until <= now
            and not (self.is_fifo and stored.session is not None and stored.session in locked)
        ][:at_most]
        for stored in found:
            stored.count += 1
            stored.locked_until = now + LOCK
        return found

    def is_locked(self, provider_id: str, receipt: str, now: int) -> bool:
        """Whether a receipt still stands for a lock."""
        stored = self.stored.get(provider_id)
        return stored is not None and stored.receipt == receipt and stored.locked_until > now

    def complete(self, provider_id: str, receipt: str, now: int) -> bool:
        return self._take(provider_id, receipt, now, self.completed)

    def dead_letter(self, provider_id: str, receipt: str, now: int) -> bool:
        return self._take(provider_id, receipt, now, self.dead)

    def _take(self, provider_id: str, receipt: str, now: int, to: list[str]) -> bool:
        if not self.is_locked(provider_id, receipt, now):
            return False
        to.append(self.stored.pop(provider_id).key)
        return True

    def abandon(self, provider_id: str, receipt: str, now: int, delay_us: int) -> bool:
        if not self.is_locked(provider_id, receipt, now):
            return False
        self.stored[provider_id].locked_until = now + delay_us
        return True

    def renew(self, provider_id: str, receipt: str, now: int) -> int | None:
        """Extend a lock; None if it is lost."""
        if not self.is_locked(provider_id, receipt, now):
            return None
        self.stored[provider_id].locked_until = now + LOCK
        return now + LOCK

    def lose_lock(self, provider_id: str, now: int) -> None:
        """A lock ends early: the broker failed over, or a consumer was too slow."""
        if provider_id in self.stored:
            self.stored[provider_id].locked_until = now

    def forget_receipts(self) -> None:
        """The link that they belonged to is gone: locks stand until their time, nobody can use them."""
        for stored in self.stored.values():
            stored.count += 1

    def steal(self, now: int) -> None:
        """Another consumer takes the oldest available message and completes it."""
        for stored in self.receive(now, 1):
            self.stolen.append(self.stored.pop(stored.provider_id).key)
