"""Runs somebody else's SQS server in this process: `python local_server.py moto|ministack`, for `servers.LocalServer`.

It listens on a free port of 127.0.0.1 and prints its URL. Every line that it reads is a number of seconds by which its
clock is set forward, answered by an empty line. It ends with its input.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# The servers bring few types.

import asyncio
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable

PAUSE_S = 0.02
added_s = 0.0


def shifted() -> float:
    """Return the hour, with what was added to it."""
    return time.time() + added_s


def set_in(module: types.ModuleType, name: str, value: object) -> None:
    """Give a server's module our clock."""
    setattr(module, name, value)


def run_moto() -> str:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - one of the two is wanted
    from moto.sqs import models  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    set_in(models, "unix_time", shifted)
    set_in(models, "unix_time_millis", lambda: shifted() * 1_000)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def run_ministack() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    os.environ |= {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "sqs",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "ERROR",
        "TMPDIR": tempfile.mkdtemp(),
    }
    from hypercorn.asyncio import serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415 - it reads its settings when it is imported
    from ministack.services import sqs  # noqa: PLC0415

    set_in(sqs, "time", types.SimpleNamespace(time=shifted))
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.loglevel = "ERROR"
    threading.Thread(target=lambda: asyncio.run(serve(app, config, shutdown_trigger=_never)), daemon=True).start()
    while True:
        with socket.socket() as there:
            if there.connect_ex(("127.0.0.1", port)) == 0:
                return f"http://127.0.0.1:{port}"
        time.sleep(PAUSE_S)


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


SERVERS: dict[str, Callable[[], str]] = {"moto": run_moto, "ministack": run_ministack}


def main() -> None:
    """Serve until the input ends."""
    global added_s  # noqa: PLW0603 - the clock of a process
    print(SERVERS[sys.argv[1]](), flush=True)
    for line in sys.stdin:
        added_s += float(line)
        print(flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
