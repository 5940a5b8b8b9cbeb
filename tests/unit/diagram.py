"""Draws the state diagram of the docs from the rows of the transition table: `python -m tests.unit.diagram`."""

from collections import defaultdict
from pathlib import Path

from queue_runtime.journal.state import Phase, fold
from tests.unit.builders import KEY
from tests.unit.rows import Row
from tests.unit.test_transitions import ROWS

PAGE = Path(__file__).parents[2] / "docs" / "_generated" / "states.md"


def _phase(message_events: tuple[object, ...]) -> str:
    message = fold(message_events).messages.get(KEY)  # type: ignore[arg-type]
    return "[*]" if message is None else message.phase.value.replace(" ", "_")


def _edge(row: Row) -> tuple[str, str]:
    return _phase(row.before), _phase((*row.before, *row.events))


def drawn() -> str:
    """The diagram: an arrow where a row of the table leads to another phase, with the events that do it."""
    labels: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in ROWS:
        if not row.events:
            continue
        before, after = _edge(row)
        if before != after:
            labels[before, after].add(" + ".join(dict.fromkeys(type(event).__name__ for event in row.events)))
    names = [phase.value for phase in Phase if " " in phase.value]
    lines = [f'    state "{name}" as {name.replace(" ", "_")}' for name in names]
    lines += [
        f"    {before} --> {after}: {', '.join(sorted(events))}" for (before, after), events in sorted(labels.items())
    ]
    return "\n".join(("```mermaid", "stateDiagram-v2", *lines, "```", ""))


if __name__ == "__main__":
    PAGE.write_text(drawn(), encoding="utf-8")
