"""A process that has imported everything once, from which command lines and exchanges are forked: 50 ms, not a second.

`python -m tests.contract.forge SOCKET` listens there. Each connection brings one job as a JSON line and is told two
lines: the pid of the process that does it, and its wait status once it has ended. The process has an environment, a
working directory and standard streams of its own; nothing of this one but what is imported.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from importlib import import_module
from typing import Any

EARLY = (
    *("oms.app", "oms.app.health", "oms.cli.entry", "oms.cli.columns", "oms.cli.submit", "oms.cli.reconcile"),
    *("oms.cli.cancel", "oms.cli.database", "oms.cli.orders", "oms.cli.configuration", "oms.cli.status"),
    *("oms.sandbox.server", "oms.sandbox.options", "uvicorn.loops.auto", "uvicorn.lifespan.off"),
    *("encodings.idna", "sqlalchemy.dialects.sqlite", "sqlite3"),
)

Job = dict[str, Any]


def main(address: str) -> None:
    """Serve jobs until the process is ended, or the one that began it is gone."""
    for name in EARLY:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are not waited for
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        listener.settimeout(2)
        tests = os.getppid()
        while os.getppid() == tests:  # else they were killed, and nobody ends this process
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                _keep(connection)
            connection.close()


def _keep(connection: socket.socket) -> None:
    """In a process of its own for each job: begin it, wait for its end, tell both."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    job: Job = json.loads(connection.makefile().readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _do(job)
    with contextlib.suppress(OSError):
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{status}\n".encode())
    os._exit(0)


def _do(job: Job) -> None:
    code = 70
    try:
        os.setsid()
        for number, (path, flags) in enumerate(
            [(job["stdin"], os.O_RDONLY), *[(job[name], os.O_WRONLY | os.O_CREAT) for name in ("stdout", "stderr")]]
        ):
            os.dup2(os.open(path, flags, 0o600), number)
        os.environ.clear()
        os.environ.update(job["env"])
        os.chdir(job["dir"])
        code = _serve(job["argv"]) if job["do"] == "serve" else _oms(job["argv"])
    except BaseException as exc:
        sys.stderr.write(f"the forge: {exc!r}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _oms(argv: list[str]) -> int:
    from oms.cli.entry import run

    return run(argv)


def _serve(argv: list[str]) -> int:
    from oms.sandbox.options import read_arguments
    from oms.sandbox.server import serve

    return serve(read_arguments(argv))


if __name__ == "__main__":
    main(sys.argv[1])
