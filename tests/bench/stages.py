"""Where the CPU goes: the parts of the loop's work on a message that can be called alone, in microseconds."""

import hashlib
import time
from collections.abc import Callable, Sequence

from queue_runtime.journal.bodies import body_digest, pack_body
from queue_runtime.journal.chain import link
from queue_runtime.journal.codec import CODEC
from queue_runtime.journal.state import EngineState
from tests.bench.bodies import life, prepared
from tests.bench.figures import spread

_TIMES = 5


def stages(bodies: Sequence[bytes], count: int) -> dict[str, float]:
    """Return microseconds a message by part; the least of several passes, because nothing waits here."""
    work = prepared(bodies, count)
    packed = [pack_body(one.body)[1] for one in work]
    lives = [life(number, one.body) for number, one in enumerate(work)]

    def fold() -> None:
        state = EngineState()
        for events in lives:
            for event in events:
                state.apply(event)

    parts: dict[str, Callable[[], object]] = {
        "compress the body": lambda: [pack_body(one.body) for one in work],
        "digest of the stored body": lambda: [body_digest(body) for body in packed],
        "encode Received, both of these included": lambda: [CODEC.encode(events[0]) for events in lives],
        "encode the other three events": lambda: [CODEC.encode(event) for events in lives for event in events[1:]],
        "chain, a link a message": lambda: [link(bytes(32), 1, one.records) for one in work],
        "fold the four events": fold,
        "digest of the body as it came": lambda: [hashlib.sha256(one.body).digest() for one in work],
    }
    return {name: spread([_us(part, count) for _ in range(_TIMES)]).least for name, part in parts.items()}


def _us(part: Callable[[], object], count: int) -> float:
    began = time.thread_time()
    part()
    return (time.thread_time() - began) / count * 1e6
