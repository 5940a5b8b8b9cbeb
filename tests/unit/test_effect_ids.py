"""The ids by which the shell knows what it is performing already."""

from queue_runtime.engine.effects import Effect, ReleaseLease, RunHandler, Send, Settle, WakeAt
from queue_runtime.journal.events import Disposition, Outgoing
from queue_runtime.journal.state import Copy

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


def test_neither_an_effect_nor_a_copy_shows_its_receipt() -> None:
    """A receipt settles a message, so it is kept out of whatever is printed; what names the effect is there."""
    shown = [*map(repr, _effects("q/a", "secret", 1)), repr(Copy("p1", "secret", 5, 1))]

    assert not [text for text in shown if "secret" in text]
    assert all("q/a" in text for text in shown[:-1])
    assert "p1" in shown[-1]
