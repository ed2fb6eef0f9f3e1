"""Rivals in turn, in one process of their own: the first to go changes every round, the first round is not counted.

A benchmark describes a setting as JSON; `rounds` starts its script again as a child with that setting (and, for a slow
disk, with another environment), and `play` in the child runs the rivals and prints one line of JSON a round.
"""

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exchange import forget
from figures import Asked, Told, options, run
from probes import probe

Round = dict[str, dict[str, float]]
# (scratch directory of its own, whether only to warm up): what it measured, "s" at least
Rival = Callable[[Path, bool], dict[str, float]]


def rounds(
    script: str, setting: Mapping[str, Any], directory: Path, environ: Mapping[str, str] | None = None
) -> list[Round]:
    """The rounds of a child process of `script`, which calls `play` when it is given --child."""
    command = [sys.executable, script, "--child", json.dumps(setting), "--dir", str(directory)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | dict(environ or {}), check=True
    ).stdout
    return [json.loads(line) for line in done.splitlines()]


def main(
    name: str, purpose: str, child: Callable[[dict[str, Any], Path], None], measure: Callable[[Asked, Told], None]
) -> None:
    """What a benchmark's script does: `measure`, or as a child of it, with a setting, `child`."""
    parser = options(purpose)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(json.loads(given.child), given.dir)
    else:
        run(name, parser, measure)


def play(rivals: Mapping[str, Rival], count: int, stub: str, directory: Path) -> None:
    """In the child: `count` rounds after one to warm up, one line of JSON each, with a probe of this very process."""
    gc.freeze()  # for all of them, as the command line does when it has imported everything
    names = list(rivals)
    for n in range(count + 1):
        taken: Round = {}
        for name in (*names[n % len(names) :], *names[: n % len(names)]):
            forget(stub)
            own = directory / f"{os.getpid()}-{n}-{name}"
            own.mkdir()
            taken[name] = rivals[name](own, n == 0)
            shutil.rmtree(own)
        if n:
            seen = probe(directory)
            taken["probe"] = {"fsync_us": seen.fsync_us, "spin_us": seen.spin_us}
            print(json.dumps(taken), flush=True)


def timed(work: Callable[[], object]) -> dict[str, float]:
    """How long it took, and the CPU of this process meanwhile."""
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    return {"s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}


def slow_disk(directory: Path, us: int) -> dict[str, str] | None:
    """The environment that makes every fsync take so much longer; None where it cannot be made."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = directory / "slowdisk.so"
    source = Path(__file__).with_name("slowdisk.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SLOWDISK_US": str(us)}


def rates(played: list[Round], counts: Mapping[str, int]) -> dict[str, float]:
    """Orders a second of each rival, medians."""
    return {name: count / statistics.median(r[name]["s"] for r in played) for name, count in counts.items()}


def fsyncs(played: list[Round]) -> str:
    """What a commit waited for in that process, for a note."""
    return f"fsync {statistics.median(r['probe']['fsync_us'] for r in played):,.0f} us"


def ratio(played: list[Round], rival: str, counts: Mapping[str, int]) -> list[float]:
    """How many times as fast as the rival oms was, in each round."""
    return [(counts["oms"] / r["oms"]["s"]) / (counts[rival] / r[rival]["s"]) for r in played]


NOT_SLOW = "a slow disk is made of Linux and a C compiler (gcc or cc), which are not here"
