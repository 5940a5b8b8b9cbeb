"""The diagram in the docs is the transition table's."""

from tests.unit.diagram import PAGE, drawn


def test_the_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    """A change of the table that is not drawn anew fails; `python -m tests.unit.diagram` draws it."""
    assert PAGE.read_text(encoding="utf-8") == drawn()
