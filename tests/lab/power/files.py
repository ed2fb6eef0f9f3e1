"""The files that oms changes without SQLite (the mark, the empty new ledger, drafts and renames), on the same disk.

The modules of the ledger get an `os` of their own whose few calls that change files pass through the `Disk`; all other
names are the real ones. The lock files (`.lock`, `.gate`, `.recording`) are not covered: they are empty, only an OS
lock on them means anything, and no lock outlives a reboot. `-shm` is not either: SQLite makes it anew.
"""

import os
import pathlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from oms.ledger import backup, engine, ledger, lock, restore
from tests.lab.power.disk import Disk

# pathlib for Path.unlink.
_MODULES = (backup, engine, ledger, lock, restore, pathlib)
# What no model lets survive a power cut: nothing rests on these.
GONE = (".lock", ".gate", ".recording", "-shm")


class _Os:
    """The module `os`, on a disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        name = os.path.realpath(path)
        if not self._disk.has(name):
            return os.open(path, flags, mode)
        is_new = bool(flags & os.O_CREAT) and not os.path.exists(name)
        if is_new or self._disk.off is not None:
            self._disk.ask("create", name)
        fd = os.open(path, flags, mode)
        if is_new:
            self._disk.created(name)
        self._paths[fd] = name
        return fd

    def close(self, fd: int) -> None:
        self._paths.pop(fd, None)
        os.close(fd)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        name = self._paths.get(fd)
        if name is None:
            return os.pwrite(fd, data, offset)
        self._disk.ask("write", name)
        written = os.pwrite(fd, data, offset)
        self._disk.wrote(self._disk.inode(name), offset, data[:written])
        return written

    def fsync(self, fd: int) -> None:
        name = self._paths.get(fd)
        if name is None:
            os.fsync(fd)
        elif os.path.isdir(name):
            self._disk.ask("sync folder", name)
            self._disk.synced_folder(name)
        else:
            self._sync(name)

    def _sync(self, name: str) -> None:
        held = self._disk.inode(name)
        try:
            self._disk.ask("sync", name)
        except OSError:
            self._disk.sync_failed(held)
            raise
        self._disk.synced(held)

    def unlink(self, path: Any) -> None:
        name = os.path.realpath(path)
        if self._disk.has(name) and os.path.exists(name):
            self._disk.ask("delete", name)
            self._disk.unlinked(name)
        os.unlink(path)

    def link(self, path: Any, to: Any) -> None:
        name, other = os.path.realpath(path), os.path.realpath(to)
        if self._disk.has(name):
            self._disk.ask("link", name)
        os.link(path, to)
        if self._disk.has(name):
            self._disk.linked(name, other)

    def rename(self, path: Any, to: Any) -> None:
        if not os.path.exists(path):
            raise FileNotFoundError(path)
        self.replace(path, to)

    def replace(self, path: Any, to: Any) -> None:
        name, other = os.path.realpath(path), os.path.realpath(to)
        if self._disk.has(name):
            self._disk.ask("rename", name)
            self._disk.inode(name)
        os.replace(path, to)
        if self._disk.has(name):
            self._disk.renamed(name, other)


@contextmanager
def covered(disk: Disk) -> Iterator[None]:
    """While it lasts, what the ledger's own modules do to files in the disk's folder passes through the disk."""
    own = _Os(disk)
    with ExitStack() as stack:
        for module in _MODULES:
            stack.enter_context(patch.object(module, "os", own))
        yield
