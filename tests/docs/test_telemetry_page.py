"""The page on telemetry names every metric that there is, and no other."""

import re

from queue_runtime.providers.telemetry import names
from tests.docs.pages import page

_NO_METRICS = {
    names.ATTEMPT,
    names.BREAKER,
    names.DISPOSITIONS,
    names.ENGINE,
    names.KEY,
    names.OUTCOME,
    names.POSITION,
    names.REASON,
    names.ROUTE,
    names.RUN_ID,
    names.DELIVERY_COUNT,
    names.SESSION_ID,
}


def metric_names() -> set[str]:
    """Return the name of every metric: what is no attribute."""
    texts = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    ours = {text for text in texts if text.startswith("queue_runtime.")} - _NO_METRICS
    return ours | {names.OPERATION_DURATION, names.SENT, names.CONSUMED, names.PROCESS_DURATION}


def test_every_metric_is_in_a_table_of_the_page() -> None:
    """By its name in the first column."""
    listed = set(re.findall(r"^\| `([a-z_.]+)` \| (?:histogram|counter|gauge) ", page("telemetry.md"), re.MULTILINE))

    assert listed == metric_names()


def test_the_page_names_the_version_of_the_conventions() -> None:
    """The same as the schema that spans and metrics name."""
    version = names.SCHEMA_URL.rpartition("/")[2].removesuffix(".0")

    assert f"version {version}" in page("telemetry.md")
