"""The ids by which the shell knows what it is performing already."""

from queue_runtime.engine.effects import Effect, ReleaseLease, RunHandler, Send, Settle, WakeAt
from queue_runtime.journal.events import Disposition, Outgoing

OUTGOING = Outgoing("id", "queue", None, None, None, {}, None, None, b"")


def _effects(key: str, receipt: str, number: int) -> list[Effect]:
    return [
        RunHandler(key, number),
        Send(key, number, OUTGOING),
        Settle(key, key, Disposition.COMPLETE, "", "", receipt),
        ReleaseLease(key, key, 0, receipt),
        WakeAt(key, number),
    ]


def test_an_effect_has_the_same_id_every_time() -> None:
    """Asking twice what is owed performs nothing twice."""
    first, second = _effects("q/a", "r1", 1), _effects("q/a", "r1", 1)

    assert [effect.id for effect in first] == [effect.id for effect in second]


def test_effects_that_differ_have_different_ids() -> None:
    """Another message, attempt or receipt is another effect, and no two sorts of effect share an id."""
    effects = [*_effects("q/a", "r1", 1), *_effects("q/b", "r2", 1), *_effects("q/a", "r3", 2)]

    assert len({effect.id for effect in effects}) == len(effects)
