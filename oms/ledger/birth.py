"""Which file a file is, beyond its number: file systems give the inode of a deleted file to the next one that is made.

The birth of a file is kept by ext4, xfs, btrfs and tmpfs, and no copy can take it over. It is asked for by `statx`,
because opening the ledger's file except through SQLite would drop SQLite's locks on it.
"""

import ctypes
import os
import struct
from functools import cache
from pathlib import Path
from typing import Any

_AT_FDCWD = -100
_STATX_BTIME = 0x800
_SIZE = 256
# stx_mask at 0; stx_btime at 80: seconds (64 bits, signed), nanoseconds (32 bits).
_MASK_AT, _BTIME_AT = 0, 80


def identity(path: Path) -> str:
    """Inode number and birth of the file under the path, as text; "" when there is none. Does not open it."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_ino}.{_born_ns(path, found)}"


def _born_ns(path: Path, found: os.stat_result) -> int:
    """When the file was made, nanoseconds of UTC; 0 where the system does not tell."""
    told: float | None = getattr(found, "st_birthtime", None)
    if told is not None:
        return int(told * 1_000_000_000)
    statx = _statx()
    if statx is None:
        return 0
    buffer = ctypes.create_string_buffer(_SIZE)
    if statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer) != 0:
        return 0
    (mask,) = struct.unpack_from("=I", buffer, _MASK_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BTIME_AT)
    return int(seconds * 1_000_000_000 + nanoseconds) if mask & _STATX_BTIME else 0


@cache
def _statx() -> Any:
    """The C library's statx; None where it has none."""
    return getattr(ctypes.CDLL(None), "statx", None)
