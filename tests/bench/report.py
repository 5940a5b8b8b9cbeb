"""Tables for people."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Spread, Summary
from tests.bench.history import History
from tests.bench.latency import AtRate


def ranged(value: Spread | None, digits: int = 0) -> str:
    """Write a median and its range."""
    if value is None:
        return ""
    return f"{value.median:,.{digits}f} ({value.least:,.{digits}f}-{value.most:,.{digits}f})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def show_speed(console: Console, title: str, figures: Mapping[str, Summary]) -> None:
    """Print one row a variant."""
    has_limit = any(one.of_limit for one in figures.values())
    table = _table(title, "", "messages/s", *["of the limit"] * has_limit, "p50/p95/p99 ms", "CPU us", "of it the loop")
    for name, one in figures.items():
        shares = [ranged(one.of_limit, 2)] * has_limit
        times = f"{one.p50_ms:.1f}/{one.p95_ms:.1f}/{one.p99_ms:.1f}" if one.p99_ms else ""
        table.add_row(name, ranged(one.msgs_per_s), *shares, times, f"{one.cpu_us:.0f}", f"{one.loop_cpu_us:.0f}")
    console.print(table)


def show_latency(console: Console, figures: Mapping[str, AtRate]) -> None:
    """Print one row a set-up."""
    rate = next(iter(figures.values())).offered_per_s
    title = f"From delivery to settlement, {rate:,.0f} messages/s offered"
    table = _table(title, "", "settled/s", "p50 ms", "p95 ms", "p99 ms", "most ms", "not settled")
    for name, one in figures.items():
        row = f"{one.settled_per_s:,.0f}", f"{one.p50_ms:.1f}", ranged(one.p95_ms, 1), f"{one.p99_ms:.1f}"
        table.add_row(name, *row, f"{one.most_ms:.0f}", f"{one.unsettled}")
    console.print(table)


def show_history(console: Console, figures: list[History]) -> None:
    """Print one row a length."""
    columns = "start without a snapshot s", "with one s", "after it", "CPU us a message on top", "messages/s on top"
    table = _table("A long history", "events", *columns)
    for one in figures:
        starts = f"{one.start_without_snapshot_s:.2f}", f"{one.start_with_snapshot_s:.2f}", f"{one.tail_events:,}"
        table.add_row(f"{one.events:,}", *starts, f"{one.on_top.cpu_us:.0f}", ranged(one.on_top.msgs_per_s))
    console.print(table)


def show_values(console: Console, title: str, figures: Mapping[str, object]) -> None:
    """Print names and values."""
    table = _table(title, "", "")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else str(value))
    console.print(table)


def show_slow_disk(console: Console, figures: Mapping[str, Mapping[str, Mapping[str, float]]] | str) -> None:
    """Print one row a delay and concurrency, or why there are none."""
    if isinstance(figures, str):
        console.print(f"A slow disk: {figures}")
        return
    columns = "at a time", "limit/s", "journal/s", "engine/s", "journal of the limit", "engine of the limit"
    table = _table("Every sync delayed", "by", *columns)
    for delay, row in figures.items():
        for at_a_time, one in row.items():
            rates = (f"{one[f'{name}_msgs_per_s']:,.0f}" for name in ("limit", "journal", "engine"))
            shares = (f"{one[f'{name}_over_limit']:.2f}" for name in ("journal", "engine"))
            table.add_row(delay, at_a_time, *rates, *shares)
    console.print(table)
