"""Instants, spans and names in words. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["counted", "span", "when"]

_S = 1_000_000


def when(at: int | None) -> str:
    """Return an instant in UTC, to the millisecond; `-` for none."""
    if at is None:
        return "-"
    return datetime.fromtimestamp(at / _S, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def span(microseconds: int | None) -> str:
    """Return a span in the two largest units that it has; `-` for none."""
    if microseconds is None:
        return "-"
    seconds = microseconds / _S
    if seconds < 1:
        return f"{microseconds / 1_000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, whole = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {whole} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
