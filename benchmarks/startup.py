"""What starting the command line costs: `oms --version` and `oms --help` over importing click, in fresh processes.

Both sides are processes of the same interpreter, started in turn; wall time from fork to the end of the child.
"""

import statistics
import subprocess
import sys
import time

from figures import Asked, Figure, Told, options, run

GOAL_MS = 60.0
PROCESSES = 9  # of each kind in a sample; --short: 5
RIVALS = {
    "python, nothing": ["-c", ""],
    "import click": ["-c", "import click"],
    "oms --version": ["-m", "oms", "--version"],
    "oms --help": ["-m", "oms", "--help"],
}


def once(arguments: list[str]) -> float:
    """Milliseconds of one process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1000


def sample(processes: int) -> dict[str, float]:
    """The median process of each kind, started in turn."""
    taken: dict[str, list[float]] = {name: [] for name in RIVALS}
    for _ in range(processes):
        for name, arguments in RIVALS.items():
            taken[name].append(once(arguments))
    return {name: statistics.median(times) for name, times in taken.items()}


def measure(asked: Asked, told: Told) -> None:
    for arguments in RIVALS.values():
        once(arguments)  # compiles what has changed
    samples = [sample(5 if asked.is_short else PROCESSES) for _ in range(asked.rounds)]
    for name in RIVALS:
        told.add(Figure(name, [one[name] for one in samples], "ms"))
    for name, goal in (("oms --version", GOAL_MS), ("oms --help", None)):
        over = [one[name] - one["import click"] for one in samples]
        told.add(Figure(f"{name}, over import click", over, "ms", at_most=goal))


if __name__ == "__main__":
    run("startup", options(__doc__ or ""), measure)
