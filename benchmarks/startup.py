"""What starting the command line costs: `oms --help` and `oms orders` over importing what they rest on.

All are processes of the same interpreter, started in turn; wall time from fork to the end of the child. `oms orders`
runs on a terminal, over 1,000,000 orders (benchmarks/ledgers.py makes them once and keeps them), and shows the newest
hundred there.
"""

import os
import pty
import statistics
import subprocess
import sys
import time
from pathlib import Path

from figures import Asked, Figure, Told, options, run
from ledgers import cache_directory, settled_ledger

GOAL_MS = 60.0
PROCESSES = 9  # of each kind in a sample; --short: 5
ORDERS = "oms orders"
RIVALS = {
    "python, nothing": ["-c", ""],
    "import click": ["-c", "import click"],
    "oms --version": ["-m", "oms", "--version"],
    "oms --help": ["-m", "oms", "--help"],
    "import sqlalchemy": ["-c", "import sqlalchemy"],
    ORDERS: ["-m", "oms", "orders"],
}


def once(arguments: list[str]) -> float:
    """Milliseconds of one process on a terminal of its own, which is read to its end."""
    begun = time.perf_counter()
    ours, its = pty.openpty()
    child = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=its, stderr=its)
    os.close(its)
    lines = 0
    try:
        while shown := os.read(ours, 65_536):
            lines += shown.count(b"\n")
    except OSError:
        pass  # Linux says so when the child has closed the terminal
    assert child.wait() == 0, arguments
    taken = (time.perf_counter() - begun) * 1000
    os.close(ours)
    assert arguments != RIVALS[ORDERS] or lines >= 100, lines
    return taken


def sample(processes: int) -> dict[str, float]:
    """The median process of each kind, started in turn."""
    taken: dict[str, list[float]] = {name: [] for name in RIVALS}
    for _ in range(processes):
        for name, arguments in RIVALS.items():
            taken[name].append(once(arguments))
    return {name: statistics.median(times) for name, times in taken.items()}


def measure(asked: Asked, told: Told) -> None:
    count = 10_000 if asked.is_short else 1_000_000
    cache = asked.options.cache or (asked.directory if asked.is_short else cache_directory())
    os.environ["OMS_LEDGER__URL"] = f"sqlite:///{settled_ledger(count, cache)}"
    for arguments in RIVALS.values():
        once(arguments)  # compiles what has changed
    samples = [sample(5 if asked.is_short else PROCESSES) for _ in told.each_round()]
    for name in RIVALS:
        told.add(Figure(name, [one[name] for one in samples], "ms"))
    for name, claim, over in (
        ("oms --version", "", "import click"),
        ("oms --help", "startup-help", "import click"),
        (ORDERS, "startup-orders", "import sqlalchemy"),
    ):
        taken = [one[name] - one[over] for one in samples]
        if claim:
            told.claim(claim, taken, name=f"{name}, over {over}")
        else:
            told.add(Figure(f"{name}, over {over}", taken, "ms", at_most=GOAL_MS))


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="where large ledgers are kept")
    run("startup", parser, measure)
