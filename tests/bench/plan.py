"""How much is measured: enough to trust by default, a bound for a smoke test, or everything."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of everything. `messages`: by concurrency, how many one round takes. After `limit_s` nothing is begun."""

    limit_s: float
    rounds: int
    messages: tuple[tuple[int, int], ...]
    latency_rounds: int
    latency_s: float
    consumers: tuple[int, ...]
    held: int
    histories: tuple[int, ...]
    history_messages: int
    delays_us: tuple[int, ...]
    slow_messages: tuple[tuple[int, int], ...]

    @property
    def most(self) -> int:
        """The messages of the largest round."""
        return max(count for _, count in self.messages)


DEFAULT = Plan(
    limit_s=690.0,
    rounds=5,
    messages=((1, 300), (10, 1_500), (100, 4_000)),
    latency_rounds=3,
    latency_s=4.0,
    consumers=(10, 100, 1_000),
    held=5_000,
    histories=(10_000, 100_000, 1_000_000),
    history_messages=1_000,
    delays_us=(0, 1_000, 5_000),
    slow_messages=((10, 300), (100, 3_000)),
)

QUICK = Plan(
    limit_s=240.0,
    rounds=1,
    messages=((1, 20), (10, 50), (100, 200)),
    latency_rounds=1,
    latency_s=1.0,
    consumers=(10, 100),
    held=200,
    histories=(1_000, 4_000),
    history_messages=50,
    delays_us=(0, 1_000),
    slow_messages=((10, 50),),
)

FULL = Plan(
    limit_s=7_200.0,
    rounds=9,
    messages=((1, 600), (10, 3_000), (100, 8_000)),
    latency_rounds=5,
    latency_s=8.0,
    consumers=(10, 30, 100, 300, 1_000),
    held=5_000,
    histories=(10_000, 100_000, 1_000_000, 10_000_000),
    history_messages=1_000,
    delays_us=(0, 1_000, 5_000),
    slow_messages=((10, 600), (100, 6_000)),
)
