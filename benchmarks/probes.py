"""What this machine is doing right now: printed beside every figure, because absolute numbers here drift twofold.

Two probes: the mean time of one `pwrite` of 4 KB with its `fdatasync` (what a commit waits for), and the time of a
fixed piece of interpreter work. Only ratios taken within one run can be compared; the probes say how far the rest can.
"""

import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_SYNCS = 40
_SPINS = 200_000


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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
