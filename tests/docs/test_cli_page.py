"""The page on the command line has every command with its options, and none that does not exist."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast

import pytest
import typer
from typer.main import get_command

from tests.docs.pages import page, rows, sections

PROGRAM = "queue-runtime"


class Parameter(Protocol):
    """What of an option or argument matters here; typer brings click along, or has it inside, by its version."""

    param_type_name: str
    opts: Sequence[str]


class Command(Protocol):
    """A command, or a group of them, which has `commands`."""

    hidden: bool
    params: Sequence[Parameter]


def _commands(command: Command, name: str) -> Iterator[tuple[str, Command]]:
    """Yield every command that does something, with what a user types to call it."""
    below = cast("Mapping[str, Command] | None", getattr(command, "commands", None))
    if below is not None:
        for word, inner in below.items():
            yield from _commands(inner, f"{name} {word}")
    elif not command.hidden:
        yield name, command


def _real() -> dict[str, Command]:
    app = cast("typer.Typer", importlib.import_module("queue_runtime.tools.cli").app)
    return dict(_commands(cast("Command", get_command(app)), PROGRAM))


def _options(command: Command) -> set[str]:
    """Return the long names of a command's own options."""
    return {max(option.opts, key=len) for option in command.params if option.param_type_name == "option"}


def test_every_command_has_a_section() -> None:
    """Each command is a heading, and each heading is a command."""
    assert dict(sections(page("cli.md"), 2)).keys() == _real().keys()


@pytest.mark.parametrize("heading", dict(sections(page("cli.md"), 2)))
def test_every_option_of_a_command_is_a_row(heading: str) -> None:
    """Each option of a command has a row, and each row is an option."""
    assert rows(dict(sections(page("cli.md"), 2))[heading]) == _options(_real()[heading])
