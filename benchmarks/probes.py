"""What this machine is and what it is doing right now: printed beside every figure, because absolute numbers drift.

Two probes: the mean time of one `pwrite` of 4 KB with its `fdatasync` (what a commit waits for), and the time of a
fixed piece of interpreter work. Only ratios taken within one run can be compared; the probes say how far the rest can.
"""

import os
import platform
import sqlite3
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_SYNCS = 40
_SPINS = 200_000
_LIBRARIES = (
    *("requests", "urllib3", "cryptography", "msgspec", "sqlalchemy", "alembic", "click", "rich"),
    *("starlette", "uvicorn", "httptools", "uvloop", "dbos", "psycopg"),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One look at the machine."""

    fsync_us: int  # mean of one pwrite of 4 KB + fdatasync
    spin_us: int  # a fixed loop

    def __str__(self) -> str:
        return f"fsync {self.fsync_us} us, spin {self.spin_us / 1000:.1f} ms"


def probe(directory: Path) -> Probe:
    """Both probes, the file in `directory`; takes a few milliseconds on a fast disk."""
    return Probe(_fsync_us(directory), _spin_us())


def _fsync_us(directory: Path) -> int:
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        block = b"\0" * 4096
        file.write(block)
        os.fsync(file.fileno())
        begun = time.perf_counter_ns()
        for _ in range(_SYNCS):
            os.pwrite(file.fileno(), block, 0)
            os.fdatasync(file.fileno())
        return (time.perf_counter_ns() - begun) // _SYNCS // 1000


def _spin_us() -> int:
    begun = time.perf_counter_ns()
    total = 0
    for n in range(_SPINS):
        total += n & 7
    assert total
    return (time.perf_counter_ns() - begun) // 1000


def machine() -> str:
    """The machine in one line."""
    return f"{_cores()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def facts() -> dict[str, Any]:
    """The machine and what runs on it, for the record of a run."""
    return {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": dict(_versions()),
    }


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
