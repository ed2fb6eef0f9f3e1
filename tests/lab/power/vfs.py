"""SQLite on a simulated disk: a VFS over SQLite's own, registered with the very library that `sqlite3` uses.

Reading, locking and shared memory stay SQLite's own code. What changes a file or makes it durable (open with creation,
write, truncate, sync, delete) passes through the `Disk`, which may refuse it or be off. The library is reached by
ctypes through the interpreter's `_sqlite3` module, so it is always the same copy, and needs no package. While a disk is
mounted its VFS is SQLite's default: the code under test opens its files as ever.

The directory is synced as os_unix does it: at the first sync of a journal or WAL that was opened with creation, and at
a delete that asks for it. Nothing is really synced; the folder may lie in memory.
"""

import _sqlite3
import ctypes
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.power.disk import Disk, Inode

# -- SQLite's structures (sqlite3.h), as long as every version since 3.7.6 has them -----------------------------------

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong


class _Methods(ctypes.Structure):
    _fields_ = [
        ("iVersion", _I),
        *[(name, _P) for name in ("xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock")],
        *[(name, _P) for name in ("xCheckReservedLock", "xFileControl", "xSectorSize", "xDeviceCharacteristics")],
        *[(name, _P) for name in ("xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap", "xFetch", "xUnfetch")],
    ]


class _File(ctypes.Structure):
    _fields_ = [("pMethods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    _fields_ = [
        *[(name, _I) for name in ("iVersion", "szOsFile", "mxPathname")],
        *[("pNext", _P), ("zName", ctypes.c_char_p), ("pAppData", _P)],
        *[(name, _P) for name in ("xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym")],
        *[(name, _P) for name in ("xDlClose", "xRandomness", "xSleep", "xCurrentTime", "xGetLastError")],
        *[(name, _P) for name in ("xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall", "xNextSystemCall")],
    ]


_OPEN = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_DELETE = ctypes.CFUNCTYPE(_I, _P, _P, _I)
_SLEEP = ctypes.CFUNCTYPE(_I, _P, _I)
_CLOSE = ctypes.CFUNCTYPE(_I, _P)
_MOVE = ctypes.CFUNCTYPE(_I, _P, _P, _I, _L)  # xRead, xWrite
_TRUNCATE = ctypes.CFUNCTYPE(_I, _P, _L)
_ONE = ctypes.CFUNCTYPE(_I, _P, _I)  # xSync, xLock
_SHM_LOCK = ctypes.CFUNCTYPE(_I, _P, _I, _I, _I)
_SHM_MAP = ctypes.CFUNCTYPE(_I, _P, _I, _I, _I, _P)

_OK, _BUSY, _IOERR, _FULL, _CANTOPEN = 0, 5, 10, 13, 14
_CREATE, _WAL = 0x4, 0x80000
_NEW_JOURNAL = 0x800 | 0x4000 | _WAL  # main journal, super journal, WAL: their folder is synced with them
_EXTENDED = {"read": 1, "write": 3, "sync": 4, "sync folder": 5, "truncate": 6, "delete": 10, "map": 21, "lock": 15}


def library() -> ctypes.CDLL | None:
    """The SQLite that this interpreter's `sqlite3` uses; None where it is not a library that can be reached."""
    try:
        found = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        found.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        number: int = found.sqlite3_libversion_number()
    except (OSError, AttributeError):
        return None
    major, minor, patch = sqlite3.sqlite_version_info
    return found if number == major * 1_000_000 + minor * 1_000 + patch else None


@dataclass(slots=True)
class _Open:
    """A file that SQLite has open on the disk."""

    disk: Disk
    path: str
    inode: Inode
    syncs_folder: bool


class PowerVfs:
    """The VFS. One for the life of the process: SQLite keeps its address."""

    def __init__(self, found: ctypes.CDLL) -> None:
        self._library = found
        self._under = found.sqlite3_vfs_find(None)
        self._disks: list[Disk] = []
        self._files: dict[int, _Open] = {}
        self._tables: dict[tuple[int, bool], _Methods] = {}
        self._kept: list[Any] = []  # callbacks live as long as SQLite may call them
        self._vfs = _Vfs.from_buffer_copy(self._under.contents)
        self._vfs.zName = b"oms-power"
        self._vfs.pNext = None
        below = self._under.contents
        self._real_open = _OPEN(below.xOpen)
        self._real_delete = _DELETE(below.xDelete)
        self._vfs.xOpen = self._callback(_OPEN, self._open)
        self._vfs.xDelete = self._callback(_DELETE, self._delete)
        self._vfs.xSleep = self._callback(_SLEEP, lambda vfs, us: us)  # waiting for a lock takes no time

    def _callback(self, kind: Any, function: Callable[..., int]) -> Any:
        made = kind(function)
        self._kept.append(made)
        return ctypes.cast(made, _P).value

    @contextmanager
    def mounted(self, disk: Disk) -> Iterator[None]:
        """Every file that SQLite opens in the disk's folder is on that disk; other files are not touched."""
        self._disks.append(disk)
        if len(self._disks) == 1:
            self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        try:
            yield
        finally:
            self._disks.remove(disk)
            if not self._disks:
                self._library.sqlite3_vfs_register(self._under, 1)  # the default again

    # -- the file system ------------------------------------------------------------------------------------------

    def _disk_of(self, path: str) -> Disk | None:
        return next((disk for disk in self._disks if disk.has(path)), None)

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        code: int
        path = "" if not name else os.fsdecode(ctypes.string_at(name))
        disk = self._disk_of(path) if path else None
        if disk is None:
            return int(self._real_open(ctypes.addressof(self._under.contents), name, file, flags, out))
        is_new = bool(flags & _CREATE) and not os.path.exists(path)
        code = _asked(disk, "create" if is_new else "open", path) if is_new or disk.off is not None else _OK
        if code:
            ctypes.cast(file, ctypes.POINTER(_File)).contents.pMethods = None
            return _CANTOPEN
        code = self._real_open(ctypes.addressof(self._under.contents), name, file, flags, out)
        if code == _OK:
            inode = disk.created(path) if is_new else disk.inode(path)
            self._files[file] = _Open(disk, path, inode, bool(flags & _CREATE and flags & _NEW_JOURNAL))
            disk.open_files += 1
            held = ctypes.cast(file, ctypes.POINTER(_File)).contents
            held.pMethods = ctypes.pointer(self._table(held.pMethods, disk.watches_all))
        return code

    def _delete(self, vfs: int, name: int, syncs_folder: int) -> int:
        path = os.fsdecode(ctypes.string_at(name))
        disk = self._disk_of(path)
        if disk is None:
            return int(self._real_delete(ctypes.addressof(self._under.contents), name, syncs_folder))
        code: int = _asked(disk, "delete", path) if disk.off is not None or os.path.exists(path) else _OK
        code = code or self._real_delete(ctypes.addressof(self._under.contents), name, 0)
        if code == _OK:
            disk.unlinked(path)
            if syncs_folder & 1:
                code = _sync_folder(disk, path)
        return code

    # -- one file -------------------------------------------------------------------------------------------------

    def _table(self, real: Any, watches_all: bool) -> _Methods:
        """SQLite's own methods for a file, with ours in the place of those that change it."""
        key = (ctypes.addressof(real.contents), watches_all)
        if key not in self._tables:
            own = _Methods.from_buffer_copy(real.contents)
            below = real.contents
            own.xClose = self._callback(_CLOSE, self._closing(_CLOSE(below.xClose)))
            own.xWrite = self._callback(_MOVE, self._writing(_MOVE(below.xWrite)))
            own.xTruncate = self._callback(_TRUNCATE, self._truncating(_TRUNCATE(below.xTruncate)))
            own.xSync = self._callback(_ONE, self._sync)
            if watches_all and below.xShmMap:  # a database; journals have neither locks nor memory
                own.xRead = self._callback(_MOVE, self._asking("read", _MOVE(below.xRead)))
                own.xLock = self._callback(_ONE, self._asking("lock", _ONE(below.xLock)))
                own.xShmLock = self._callback(_SHM_LOCK, self._shm_locking(_SHM_LOCK(below.xShmLock)))
                own.xShmMap = self._callback(_SHM_MAP, self._asking("map", _SHM_MAP(below.xShmMap)))
            self._tables[key] = own
        return self._tables[key]

    def _closing(self, real: Any) -> Callable[..., int]:
        def close(file: int) -> int:
            self._files.pop(file).disk.open_files -= 1
            return int(real(file))

        return close

    def _asking(self, deed: str, real: Any) -> Callable[..., int]:
        def ask(file: int, *arguments: Any) -> int:
            held = self._files[file]
            return _asked(held.disk, deed, held.path) or int(real(file, *arguments))

        return ask

    def _shm_locking(self, real: Any) -> Callable[..., int]:
        def lock(file: int, offset: int, count: int, flags: int) -> int:
            held = self._files[file]
            code = _asked(held.disk, "lock", held.path) if flags & 2 else _OK  # unlocking never fails
            return code or int(real(file, offset, count, flags))

        return lock

    def _writing(self, real: Any) -> Callable[..., int]:
        def write(file: int, data: int, size: int, offset: int) -> int:
            held = self._files[file]
            code = _asked(held.disk, "write", held.path) or int(real(file, data, size, offset))
            if code == _OK:
                held.disk.wrote(held.inode, offset, ctypes.string_at(data, size))
            return code

        return write

    def _truncating(self, real: Any) -> Callable[..., int]:
        def truncate(file: int, size: int) -> int:
            held = self._files[file]
            code = _asked(held.disk, "truncate", held.path) or int(real(file, size))
            if code == _OK:
                held.disk.truncated(held.inode, size)
            return code

        return truncate

    def _sync(self, file: int, flags: int) -> int:
        held = self._files[file]
        code = _asked(held.disk, "sync", held.path)
        if code:
            if held.disk.off is None:
                held.disk.sync_failed(held.inode)
            return code
        held.disk.synced(held.inode)
        if held.syncs_folder:
            held.syncs_folder = False
            return _sync_folder(held.disk, held.path)
        return _OK


def _sync_folder(disk: Disk, path: str) -> int:
    code = _asked(disk, "sync folder", path)
    if code == _OK:
        disk.synced_folder(os.path.dirname(path))
    return code


def _asked(disk: Disk, deed: str, path: str) -> int:
    """The disk's word in SQLite's: 0, or the code of the fault; nothing may be raised through C."""
    try:
        disk.ask(deed, path)
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            return _BUSY
        return _FULL if exc.errno == errno.ENOSPC else _IOERR | _EXTENDED.get(deed, 0) << 8
    except BaseException as exc:
        exc.__traceback__ = None  # its frames would keep the cursors of the dead process, and so its files, open
        return _IOERR | _EXTENDED.get(deed, 0) << 8
    return _OK
