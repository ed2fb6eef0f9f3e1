"""The process that lives are forked from: it has imported everything once and has no thread, engine or socket.

Run as a module; jobs come as JSON lines on standard input, answers go back as JSON lines on standard output. `live` runs
one command line of oms in a child with seams, and answers when it has ended; `serve` starts a sandbox exchange and
answers once it listens; `end` kills one that was started.
"""

import gc
import json
import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

# What a life would otherwise import by itself, each time anew.
EARLY = (
    *("oms.app", "oms.app.api", "oms.app.health", "oms.cli.entry", "oms.cli.columns", "oms.cli.submit"),
    *("oms.cli.reconcile", "oms.cli.cancel", "oms.cli.database", "oms.cli.orders", "oms.ledger.check"),
    *("oms.sandbox.server", "oms.sandbox.options", "uvicorn.loops.auto", "uvicorn.lifespan.off"),
    *("encodings.idna", "sqlalchemy.dialects.sqlite", "sqlite3", "tests.crash.seams"),
)


def main() -> None:
    """Serve jobs until standard input ends."""
    for name in EARLY:
        import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        answers.write(json.dumps(_do(job)) + "\n")
        answers.flush()


def _do(job: dict[str, Any]) -> dict[str, Any]:
    match job["do"]:
        case "live":
            return {"status": os.waitpid(_forked(job, _live), 0)[1]}
        case "serve":
            reader, writer = os.pipe()
            pid = _forked({**job, "pipe": writer}, _serve)
            os.close(writer)
            with os.fdopen(reader) as said:
                return {"pid": pid, "endpoint": said.readline()}
        case "end":
            os.kill(job["pid"], signal.SIGKILL)
            return {"status": os.waitpid(job["pid"], 0)[1]}
        case other:
            raise ValueError(other)


def _forked(job: dict[str, Any], run: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = run(job)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _live(job: dict[str, Any]) -> int:
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
    return run(job["argv"])


def _serve(job: dict[str, Any]) -> int:
    from oms.sandbox.options import read_arguments
    from oms.sandbox.server import serve

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(job["pipe"], 1)
    os.close(job["pipe"])
    return serve(read_arguments(job["arguments"]))


if __name__ == "__main__":
    main()
