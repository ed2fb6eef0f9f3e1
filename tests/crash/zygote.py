"""The process that lives are forked from: it has imported everything once and has no thread, engine or socket.

Run as a module; jobs come as JSON lines on standard input, answers go back as JSON lines on standard output, each with
the number of its job and in any order. `live` runs one command line of oms in a child with seams: its pid is told at
once, its end when it has ended; `serve` starts a sandbox exchange and tells when it listens, and when it has ended.
"""

import gc
import json
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Job = dict[str, Any]
# In the place of a command's name: not a command line but a program, which places a file's rows over a line.
LINE = "place-over-a-line"

# What a life would otherwise import by itself, each time anew.
EARLY = (
    *("oms.app", "oms.app.api", "oms.app.health", "oms.app.line", "oms.cli.entry", "oms.cli.columns", "oms.cli.submit"),
    *("oms.cli.reconcile", "oms.cli.cancel", "oms.cli.database", "oms.cli.orders", "oms.ledger.check"),
    *("oms.sandbox.server", "oms.sandbox.options", "uvicorn.loops.auto", "uvicorn.lifespan.off"),
    *("encodings.idna", "sqlalchemy.dialects.sqlite", "sqlite3", "tests.crash.seams"),
)


def main() -> None:
    """Serve jobs until standard input ends."""
    for name in EARLY:
        import_module(name)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    gc.freeze()
    bell, ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(ring)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}
    waiting = b""
    while True:
        ready, _, _ = select.select([0, bell], [], [])
        if bell in ready:
            os.read(bell, 4096)
        for number, status in _ended(children):
            answers.write(json.dumps({"job": number, "status": status}) + "\n")
        if 0 not in ready:
            continue
        said = os.read(0, 1 << 20)
        if not said:
            return
        *lines, waiting = (waiting + said).split(b"\n")
        for job in map(json.loads, lines):
            pid, told = _begun(job)
            children[pid] = job["job"]
            answers.write(json.dumps({"job": job["job"], "pid": pid, **told}) + "\n")


def _ended(children: dict[int, int]) -> list[tuple[int, int]]:
    found = []
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            break
        found.append((children.pop(pid), status))
    return found


def _begun(job: Job) -> tuple[int, Job]:
    if job["do"] == "live":
        return _forked(job, _live), {}
    reader, writer = os.pipe()
    pid = _forked({**job, "pipe": writer}, _serve)
    os.close(writer)
    with os.fdopen(reader) as said:
        return pid, {"endpoint": said.readline()}


def _forked(job: Job, run: Callable[[Job], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        code = run(job)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def place_over_a_line(file: Path) -> int:
    """A bot: settle what an earlier life has left, then place one row after the other, and tell of each on return."""
    from oms import Oms

    with Oms.open() as oms:
        oms.drain()
        with oms.line() as line:
            for row in map(json.loads, file.read_text().splitlines()):
                print(*line.place(row), flush=True)
            return line.close().exit_code


def _live(job: Job) -> int:
    from oms.cli.entry import run
    from tests.crash.seams import Plan, install

    directory = Path(job["dir"])
    for number, name in ((0, os.devnull), (1, directory / "stdout"), (2, directory / "stderr")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(directory)
    trace = os.open(directory / "trace", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    install(Plan(job["nth"], job["at"], trace))
    if job.get("largest_file"):
        # Python ignores SIGXFSZ: a write beyond the limit fails, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest_file"],) * 2)
    if job["argv"][0] == LINE:
        return place_over_a_line(Path(job["argv"][1]))
    return run(job["argv"])


def _serve(job: Job) -> int:
    from oms.sandbox.options import read_arguments
    from oms.sandbox.server import serve

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(job["pipe"], 1)
    os.close(job["pipe"])
    return serve(read_arguments(job["arguments"]))


if __name__ == "__main__":
    main()
