"""What an engine's settings say of its journal reaches the journal."""

from dataclasses import fields
from pathlib import Path

from queue_runtime.engine import EngineSettings


def test_every_setting_of_the_journal_is_handed_on() -> None:
    """Each `journal_` setting changes one setting of the journal, and `synchronous` does."""
    given: dict[str, object] = {
        "synchronous": "NORMAL",
        "journal_segment_bytes": 1_000_001,
        "journal_segment_age_s": 61.0,
        "journal_retention_s": 62.0,
        "journal_retention_bytes": 2_000_002,
        "journal_archive": Path("archive"),
        "journal_keep_bodies": False,
        "journal_yield_to_writer": True,
        "journal_head_key": "a secret of sixteen",
    }
    assert set(given) == {name for name in EngineSettings.model_fields if name.startswith(("journal_", "sync"))}

    before = EngineSettings().journal_settings()
    after = EngineSettings.model_validate(given).journal_settings()

    changed = [
        getattr(after, field.name)
        for field in fields(after)
        if getattr(after, field.name) != getattr(before, field.name)
    ]
    given["journal_head_key"] = b"a secret of sixteen"
    assert sorted(map(str, changed)) == sorted(map(str, given.values()))
