"""The command line. Errors are one line and an exit code other than 0; `--debug` shows where they come from."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from queue_runtime.tools.control_commands import control_app
from queue_runtime.tools.emulator_commands import emulator_app
from queue_runtime.tools.journal_commands import journal_app
from queue_runtime.tools.replay.commands import replay_app

__all__ = ["app", "main"]

DEBUG = "--debug"
Config = Annotated[Path | None, typer.Option(help="A file of settings, instead of QUEUE_CONFIG.")]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(journal_app, name="journal")
app.add_typer(replay_app, name="replay")
app.add_typer(control_app, name="control")
app.add_typer(emulator_app, name="emulator")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,  # noqa: FBT002
) -> None:
    """Process events from a queue reliably, over a journal of everything that happened."""
    del debug  # `main` looks for it itself: it has to know before a command is parsed


@app.command()
def demo(
    webhooks: Annotated[Path | None, typer.Option(help='A file of {"event", "payload"} lines to use.')] = None,
    crash: Annotated[bool, typer.Option("--crash", help="Kill the engine three times.")] = False,  # noqa: FBT002
    provider: Annotated[str, typer.Option(help="Whose broker: memory, or sqs on a local server.")] = "memory",
    events: Annotated[int, typer.Option(min=10, help="How many events to generate.")] = 1_000,
    journal: Annotated[Path | None, typer.Option(help="An empty folder for journal and log.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Run the main job on a broker that runs as long as it does, and account for every event."""
    from queue_runtime.tools.demo.events import generated, recorded  # noqa: PLC0415 - keeps `version` quick
    from queue_runtime.tools.demo.show import run_demo, show_report  # noqa: PLC0415

    to_send = recorded(webhooks) if webhooks is not None else generated(events)
    folder = _empty(journal) if journal is not None else Path(tempfile.mkdtemp(prefix="queue-runtime-demo-"))
    report = asyncio.run(run_demo(to_send, folder, Console(stderr=as_json), crash=crash, provider=provider))
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    else:
        show_report(report, Console())
    raise typer.Exit(1 if report.problems else 0)


def _empty(folder: Path) -> Path:
    from queue_runtime.providers.errors import ConfigurationError  # noqa: PLC0415

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} is not an empty folder: a demo accounts for its own events alone; name a new one"
        raise ConfigurationError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@app.command()
def run(
    plugin: Annotated[list[str] | None, typer.Option(help="Import path of a plugin; repeatable.")] = None,
    queue: Annotated[list[str] | None, typer.Option(help="A queue to receive from; repeatable.")] = None,
    provider: Annotated[str | None, typer.Option(help="The provider, instead of QUEUE_PROVIDER.")] = None,
    journal: Annotated[Path | None, typer.Option(help="Folder of the journal.")] = None,
    config: Config = None,
) -> None:
    """Run an engine until SIGTERM or Ctrl-C; a second one stops at once."""
    from queue_runtime.tools.run_command import run_engine  # noqa: PLC0415

    run_engine(plugins=plugin or [], queues=queue or [], provider=provider, journal=journal, config=config)


@app.command()
def send(
    files: Annotated[list[str], typer.Argument(help='Files of {"event", "payload"} lines; - is standard input.')],
    queue: Annotated[str | None, typer.Option(help="The queue, instead of QUEUE_NAME.")] = None,
    provider: Annotated[str | None, typer.Option(help="The provider, instead of QUEUE_PROVIDER.")] = None,
    event: Annotated[str | None, typer.Option(help="Each file is one body, of this event.")] = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Send webhooks to a queue, as a webhook receiver would."""
    from queue_runtime.tools.send_command import send_files  # noqa: PLC0415

    send_files(files, queue=queue, provider=provider, event=event, config=config, as_json=as_json)


@app.command(name="config")
def config_command(
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Print the settings in force, and where each comes from."""
    from queue_runtime.tools.config_command import show_settings  # noqa: PLC0415

    show_settings(config=config, as_json=as_json)


@app.command()
def doctor(
    queue: Annotated[list[str] | None, typer.Option(help="A queue to look at; repeatable.")] = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Ask the broker whether an engine of these settings can work; exit with 1 if it cannot."""
    from queue_runtime.tools.doctor_command import examine  # noqa: PLC0415

    if not examine(queues=tuple(queue or ()), config=config, as_json=as_json):
        raise typer.Exit(1)


@app.command(name="queues")
def queues_command(
    queue: Annotated[list[str] | None, typer.Option(help="A queue to count; repeatable.")] = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Print how many messages each queue holds."""
    from queue_runtime.tools.queues_command import show_counts  # noqa: PLC0415

    show_counts(queues=tuple(queue or ()), config=config, as_json=as_json)


@app.command()
def version(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Print the version."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    text = installed("queue-runtime")
    print(json.dumps({"version": text}) if as_json else text)


def main() -> None:
    """Run the command line; the entry point of `queue-runtime`."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a bot's modules lie where it is started
    try:
        app()
    except Exception as error:
        if DEBUG in sys.argv:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(1)


def _one_line(error: Exception) -> str:
    """Return what to tell the user. Our own texts speak for themselves; others' need their kind beside them."""
    text = " ".join(str(error).split())
    return text if type(error).__module__.startswith("queue_runtime.") and text else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    main()
