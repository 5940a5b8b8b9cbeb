"""A disk whose syncs take longer: the same measurements in a process in which `strace` delays every fsync."""

import shutil
import subprocess

from tests.bench.child import Order, ask
from tests.bench.plan import Plan

_CALLS = "fsync,fdatasync"


def slow_disk(webhooks: str | None, plan: Plan) -> dict[str, dict[str, dict[str, float]]] | str:
    """Return figures by delay and concurrency - the delay 0 shows what tracing alone costs - or why there are none."""
    strace = shutil.which("strace")
    if strace is None:
        return "not measured: strace is not installed"
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for delay_us in plan.delays_us:
        inject = ("-e", f"inject={_CALLS}:delay_enter={delay_us}") if delay_us else ()
        under = (strace, "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={_CALLS}", *inject)
        row = figures.setdefault(f"{delay_us / 1_000:g} ms", {})
        for at_a_time, count in plan.slow_messages:
            order = Order("rates", webhooks, count, at_a_time, rounds=plan.latency_rounds)
            try:
                row[str(at_a_time)] = ask(order, under)
            except subprocess.CalledProcessError as error:
                return f"not measured: strace failed: {error.stderr.strip()[-200:]}"
    return figures
