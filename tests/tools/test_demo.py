"""The demo: its events, the run over them, and the account that it gives."""

import io
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from queue_runtime.journal import SqliteJournal
from queue_runtime.journal.events import AttemptStarted, Completed, Received
from queue_runtime.providers.errors import ConfigurationError
from queue_runtime.providers.message import Message
from queue_runtime.providers.port import QueueCounts
from queue_runtime.tools.demo import DemoEvent, generated, local_sqs, recorded, report_on
from queue_runtime.tools.demo.seen import Seen, order_violations
from queue_runtime.tools.demo.show import DemoError, run_demo, show_report

pytestmark = pytest.mark.blocks_loop  # the tests read journals themselves

NOTHING_LEFT = QueueCounts(active=0, in_flight=0, scheduled=0, dead_letters=2)


def _console() -> Console:
    return Console(file=io.StringIO(), width=120)


def test_generated_events_are_the_same_every_time() -> None:
    """Two runs of the demo do the same work."""
    assert generated(200) == generated(200)


def test_generated_events_have_what_the_demo_promises() -> None:
    """1,000 events over 50 pull requests; 20 of them twice; two dead letters."""
    events = generated(1_000)

    assert len({event.message.message_id for event in events}) == 1_000
    assert len({event.message.session_id for event in events if event.message.session_id}) == 50
    assert Counter(event.is_again for event in events)[True] == pytest.approx(20, abs=2)
    assert len({event.message.message_id for event in events if event.is_dead_letter}) == 2
    bodies = [event.message.body for event in events]
    assert sum(b'"demo_behaviour":"fails once"' in event.message.body for event in events if not event.is_again) == 20
    assert max(map(len, bodies)) < 13_000
    assert sum(len(body) < 2_000 for body in bodies) <= 1  # the broken one is half of itself


def test_what_is_sent_twice_comes_again_at_once_or_late() -> None:
    """Duplicates of what is still at work, and of what is long done, after their first copy both."""
    sent: dict[str | None, int] = {}
    distances: list[int] = []
    for place, event in enumerate(generated(1_000)):
        if event.is_again:
            distances.append(place - sent[event.message.message_id])
        sent[event.message.message_id] = place

    assert 1 in distances
    assert max(distances) > 100


async def test_a_demo_accounts_for_every_event(tmp_path: Path) -> None:
    """Every event is completed once, suppressed as a duplicate, or dead-lettered as planned; in order."""
    events = generated(100)

    report = await run_demo(events, tmp_path, _console(), crash=False)

    assert report.problems == []
    assert report.sent == len(events) == report.received
    assert report.completed == 98
    assert report.dead_lettered == 2
    assert report.duplicates_suppressed == sum(event.is_again for event in events)
    assert report.order_violations == 0
    assert report.retried >= 4  # the one that always fails is tried five times


async def test_the_account_fails_if_anything_is_missing(tmp_path: Path) -> None:
    """An event never sent, a dead letter that was not planned, a message left behind: each is a problem."""
    events = generated(40)
    sound = await run_demo(events, tmp_path, _console(), crash=False)
    never_sent = DemoEvent(Message(b"{}", message_id="never-sent"))
    wrongly_planned = [replace(event, is_dead_letter=False) for event in events]
    left = replace(NOTHING_LEFT, active=1)
    journal = Path(sound.journal)

    assert sound.problems == []
    assert "never completed" in report_on([*events, never_sent], journal, "webhooks", NOTHING_LEFT).problems[0]
    assert report_on(wrongly_planned, journal, "webhooks", NOTHING_LEFT).problems
    assert report_on(events, journal, "webhooks", left).problems == ["the broker still has 1 messages"]
    assert report_on(events, journal, "webhooks", NOTHING_LEFT, crashes=1).problems == ["0 runs crashed, not 1"]


async def test_completions_out_of_order_are_counted(tmp_path: Path) -> None:
    """Order is measured against the order of sends: the same journal against the reverse is full of violations."""
    events = generated(60)
    report = await run_demo(events, tmp_path, _console(), crash=False)

    reversed_report = report_on(events[::-1], Path(report.journal), "webhooks", NOTHING_LEFT)

    assert report.order_violations == 0
    assert reversed_report.order_violations > 0
    assert any("out of order" in problem for problem in reversed_report.problems)


def test_an_attempt_beside_an_earlier_message_breaks_the_order() -> None:
    """Starting before what was sent earlier is completed is a violation, even if it ends in order."""
    in_order = Seen(starts={"a": [1], "b": [3]}, completed={"a": 2, "b": 4})
    beside = Seen(starts={"a": [1], "b": [2]}, completed={"a": 3, "b": 4})
    after_a_dead_letter = Seen(starts={"a": [1, 5], "b": [2]}, completed={"b": 3}, dead={"a"})

    assert order_violations(["a", "b"], in_order) == 0
    assert order_violations(["a", "b"], beside) == 1
    assert order_violations(["a", "b"], after_a_dead_letter) == 0


async def test_an_attempt_after_a_completion_is_a_problem(tmp_path: Path) -> None:
    """A journal in which something finished was run again is not accounted for."""
    events = [DemoEvent(Message(b"{}", message_id="a"))]
    journal = await SqliteJournal.open(tmp_path)
    try:
        received = Received(
            key="webhooks/a",
            at=1,
            queue="webhooks",
            message_id="a",
            provider_id="m1",
            session_id=None,
            sequence=1,
            delivery_count=1,
            enqueued_at=1,
            expires_at=None,
            correlation_id=None,
            content_type=None,
            attributes={},
            locked_until=2,
            suspect_until=0,
            body_digest=b"d",
            receipt="r",
            body=b"{}",
        )
        attempts = [AttemptStarted("webhooks/a", 2, number, "run", "route", alone=False) for number in (1, 2)]
        done = Completed("webhooks/a", 3, 1, None, ())
        await journal.wait(journal.append([received, attempts[0], done, attempts[1]]))
    finally:
        await journal.close()

    problems = report_on(events, tmp_path, "webhooks", replace(NOTHING_LEFT, dead_letters=0)).problems

    assert problems == [
        "1 attempts started after their message was completed, such as webhooks/a",
        "position 4 of the journal breaks a rule: attempt 2 of message webhooks/a starts after its outcome",
    ]


async def test_dead_letters_of_broker_and_journal_are_compared(tmp_path: Path) -> None:
    """The right number of dead letters is not enough: they are to be the same messages."""
    events = generated(20)
    report = await run_demo(events, tmp_path, _console(), crash=False)

    others = report_on(events, Path(report.journal), "webhooks", NOTHING_LEFT, dead_letters=["x", "y"]).problems

    assert len(others) == 1
    assert "dead letters" in others[0]


async def test_an_engine_that_ends_by_itself_ends_the_demo(tmp_path: Path) -> None:
    """A child that cannot start is noticed at once, and the log to look at is named."""
    (tmp_path / "journal").write_text("no folder")

    with pytest.raises(DemoError, match=r"ended by itself.*engine\.log"):
        await run_demo(generated(10), tmp_path, _console(), crash=True)


async def test_three_killed_engines_lose_nothing(tmp_path: Path) -> None:
    """SIGKILL in the middle of the work, three times: every event is accounted for, in order."""
    report = await run_demo(generated(60), tmp_path, _console(), crash=True)

    assert report.problems == []
    assert report.crashes_survived == 3


async def test_a_crash_demo_of_few_events_has_its_kills(tmp_path: Path) -> None:
    """Four events are enough for three kills, fewer are refused; webhooks without a repository do as well."""
    (tmp_path / "few").mkdir()
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"event": "installation", "payload": {"action": "created"}}\n' * 4)
    few = recorded(lines)

    report = await run_demo(few, tmp_path / "few", _console(), crash=True)

    assert report.problems == []
    with pytest.raises(DemoError, match="4 or more"):
        await run_demo(few[:3], tmp_path, _console(), crash=True)


async def test_the_report_names_what_to_try_next(tmp_path: Path) -> None:
    """The table is followed by commands on the journal, with a message that is worth a look."""
    report = await run_demo(generated(20), tmp_path, _console(), crash=False)
    console = Console(file=io.StringIO(), width=200)

    show_report(report, console)

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Every event is accounted for." in text
    assert report.look_at in report.dead_lettered_ids
    assert f"journal show {report.look_at} {report.journal}" in text


def test_a_line_that_is_no_webhook_is_named(tmp_path: Path) -> None:
    """A file of webhooks with a broken line is refused before anything runs, by its line; an empty one as well."""
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    path = tmp_path / "webhooks.jsonl"
    path.write_text('{"event": "push", "payload": {}}\n{"event": "push"}\n')

    with pytest.raises(ConfigurationError, match="line 2"):
        recorded(path)
    with pytest.raises(ConfigurationError, match="no webhook"):
        recorded(empty)


@pytest.mark.timeout(180)
async def test_the_demo_runs_on_a_local_sqs_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same events through a FIFO queue: the same account, and the environment is as it was before."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    before = dict(os.environ)

    report = await run_demo(generated(60), tmp_path, _console(), crash=False, provider="sqs")

    assert report.problems == []
    assert (report.completed, report.dead_lettered, report.order_violations) == (58, 2, 0)
    assert report.duplicates_suppressed > 0
    assert dict(os.environ) == before


async def test_the_demo_on_sqs_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server is not installed the error names the extra that brings it."""

    def nothing(name: str) -> None:
        del name

    monkeypatch.setattr(local_sqs, "find_spec", nothing)

    with pytest.raises(ConfigurationError, match=r"pip install 'queue-runtime\[demo-sqs\]'"):
        await run_demo(generated(10), tmp_path, _console(), crash=False, provider="sqs")
    with pytest.raises(ConfigurationError, match="use memory or sqs"):
        await run_demo(generated(10), tmp_path, _console(), crash=False, provider="carrier-pigeon")
