"""What holds for every test: nothing of ours blocks the event loop; Hypothesis tries as much as there is time for."""

import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("heavy", parent=settings.get_profile("quick"), max_examples=1_000)
settings.load_profile("quick")

# A shell's background job is started with SIGINT ignored, and so would be every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SCANNED = ["queue_runtime.engine", "queue_runtime.journal", "queue_runtime.plugins", "queue_runtime.providers"]
# Looking a file up is microseconds at start-up, and a lock that a thread holds for a moment would fail tests by chance.
ALLOWED = ("os.", "threading.")
NEVER_ALLOWED = ("os.read", "os.write")


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which our code waits for a disk, a socket or a timer on the event loop itself."""
    if request.node.get_closest_marker("blocks_loop"):
        yield
        return
    detector = BlockBuster(SCANNED)
    # The version of the distribution, which every start journals once: a small file.
    detector.functions["io.TextIOWrapper.read"].can_block_in("importlib/metadata/__init__.py", "read_text")
    watched = [
        function
        for name, function in detector.functions.items()
        if name in NEVER_ALLOWED or not name.startswith(ALLOWED)
    ]
    for function in watched:
        function.activate()
    yield
    for function in watched:
        function.deactivate()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what the tests have counted: messages, kills, steps, faults."""
    counted: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            counted.update({name: value for name, value in report.user_properties if isinstance(value, int)})
    if counted:
        terminalreporter.write_line("crash tests: " + ", ".join(f"{count:,} {name}" for name, count in counted.items()))
