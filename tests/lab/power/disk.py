"""What a disk holds when the power goes: the bytes and names that were synced, and as much of the rest as one likes.

The files themselves are the page cache: they always show what was written. Beside them a `Disk` keeps, for each inode,
what a sync has made durable, and in order everything since: writes, truncations, and the names given and taken away in
the folder. A kill loses nothing of that. A power cut loses all of it but what the model lets survive.
"""

import gc
import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from pathlib import Path
from random import Random

SECTOR = 512  # written whole or not at all
PAGE = 4096  # of the kernel's cache


class Loss(Enum):
    """What becomes of everything that was not synced."""

    NOTHING = "kill"  # the process dies, the machine does not
    ALL = "all lost"
    PREFIX = "a prefix survives"
    SUBSET = "any subset survives"
    TORN = "any subset of sectors survives"


POWER = (Loss.ALL, Loss.PREFIX, Loss.SUBSET, Loss.TORN)


class Off(BaseException):
    """The machine is off, or the process is dead: nothing can be done any more."""


@dataclass(eq=False, slots=True)
class Inode:
    """One file, whatever it is called; `durable` is what every power cut leaves of it."""

    durable: bytearray = field(default_factory=bytearray)


@dataclass(eq=False, frozen=True, slots=True)
class Write:
    """Bytes written and not synced; `data` None cuts the file off at `offset`, or fills it up to there."""

    inode: Inode
    offset: int
    data: bytes | None

    def pieces(self, size: int) -> "list[Write]":
        """The same, cut at every multiple of `size` bytes of the file."""
        if self.data is None:
            return [self]
        end = self.offset + len(self.data)
        edges = [self.offset, *range(self.offset - self.offset % size + size, end, size), end]
        start = self.offset
        return [Write(self.inode, a, self.data[a - start : b - start]) for a, b in pairwise(edges)]

    def pages(self) -> set[int]:
        """The pages of the file that it touches."""
        return set(range(self.offset // PAGE, (self.offset + len(self.data or b"") - 1) // PAGE + 1))


@dataclass(eq=False, frozen=True, slots=True)
class Name:
    """A name given (`inode`) or taken away (None) in its folder, which was not synced since."""

    path: str
    inode: Inode | None
    was: str | None = None  # a rename: the name it had before, which goes in the same instant


Change = Write | Name


@dataclass(frozen=True, slots=True)
class Memory:
    """A moment of a disk: what the files show, and what of it is durable."""

    files: dict[str, bytes]
    state: tuple[dict[str, Inode], dict[str, Inode], list[Change], set[Change]]


class Disk:
    """One folder on one disk. `before` is asked about every change and every sync, and may raise instead."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self.before: Callable[[str, str], None] = lambda deed, name: None
        self.off: BaseException | None = None  # set: nothing can be done any more
        self.watches_all = False  # ask before reads and locks too
        self.lies = False  # a disk that says it has synced and has not
        self.open_files = 0
        self.version = 0  # of what is durable
        self.names: dict[str, Inode] = {}  # as the processes see them
        self._durable_names: dict[str, Inode] = {}
        self._unsynced: list[Change] = []
        self._stuck: set[Change] = set()  # changes whose sync has failed: no later sync writes them (fsyncgate)

    def has(self, path: str) -> bool:
        """Whether the path lies in the folder of this disk."""
        return path.startswith(self.folder) and path[len(self.folder) : len(self.folder) + 1] in ("", "/")

    # -- deeds ----------------------------------------------------------------------------------------------------

    def ask(self, deed: str, path: str) -> None:
        """Before anything is done. Raises OSError for a fault, Off (or what `before` raised) for the end."""
        if self.off is not None:
            raise self.off
        try:
            self.before(deed, os.path.basename(path))
        except OSError:
            raise
        except BaseException as exc:
            self.off = exc
            raise

    def inode(self, path: str) -> Inode:
        """The file under a name; one that nobody has seen yet was there before, and is durable."""
        if path not in self.names:
            self.names[path] = self._durable_names[path] = Inode(bytearray(Path(path).read_bytes()))
        return self.names[path]

    def created(self, path: str) -> Inode:
        """A new, empty file."""
        made = Inode()
        self.names[path] = made
        self._unsynced.append(Name(path, made))
        return made

    def unlinked(self, path: str) -> None:
        self.names.pop(path, None)
        self._unsynced.append(Name(path, None))

    def linked(self, path: str, to: str) -> None:
        self.names[to] = self.inode(path)
        self._unsynced.append(Name(to, self.names[to]))

    def renamed(self, path: str, to: str) -> None:
        moved = self.names.pop(path)
        self.names[to] = moved
        self._unsynced.append(Name(to, moved, was=path))

    def wrote(self, inode: Inode, offset: int, data: bytes) -> None:
        self._unsynced.append(Write(inode, offset, data))

    def truncated(self, inode: Inode, size: int) -> None:
        self._unsynced.append(Write(inode, size, None))

    def synced(self, inode: Inode) -> None:
        """All of the file is durable; not its name."""
        self._settle(lambda change: isinstance(change, Write) and change.inode is inode)

    def synced_folder(self, folder: str) -> None:
        """All names in the folder are durable."""
        self._settle(lambda change: isinstance(change, Name) and os.path.dirname(change.path) == folder)

    def sync_failed(self, inode: Inode) -> None:
        """The kernel has marked the pages clean all the same: a later sync writes only those that changed again."""
        changes, self._unsynced = self._unsynced, []
        for change in changes:
            if isinstance(change, Write) and change.inode is inode and change.data is not None:
                pieces = change.pieces(PAGE)
                self._stuck.update(pieces)
                self._unsynced += pieces
            else:
                self._unsynced.append(change)

    def _settle(self, is_synced: Callable[[Change], bool]) -> None:
        if self.lies:
            return
        synced = [change for change in self._unsynced if is_synced(change)]
        again = {
            page
            for change in synced
            if isinstance(change, Write) and change not in self._stuck
            for page in change.pages()
        }
        done = [change for change in synced if change not in self._stuck or _touches(change, again)]
        for change in done:
            _apply(change, self._durable_names)
        self.version += len(done)
        self._stuck.difference_update(done)
        settled = set(done)
        self._unsynced = [change for change in self._unsynced if change not in settled]

    # -- what is left -----------------------------------------------------------------------------------------------

    def survivors(self, loss: Loss, seed: int = 0) -> dict[str, bytes]:
        """The files after a power cut right now, by path."""
        chosen = _chosen(self._unsynced, loss, Random(seed))
        copies = {id(inode): Inode(bytearray(inode.durable)) for inode in self._inodes()}
        names = {path: copies[id(inode)] for path, inode in self._durable_names.items()}
        for change in chosen:
            _apply(_on(copies, change), names)
        return {path: bytes(inode.durable) for path, inode in names.items()}

    def _inodes(self) -> Iterable[Inode]:
        yield from self._durable_names.values()
        for change in self._unsynced:
            if change.inode is not None:
                yield change.inode

    @contextmanager
    def opened(self, path: Path, loss: Loss, seed: int = 0) -> Iterator[sqlite3.Connection]:
        """A copy of a database as a power cut right now would leave it, opened by SQLite itself."""
        name = os.path.realpath(path)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(self.folder), prefix="oms-left-") as made:
            for found, data in self.survivors(loss, seed).items():
                if found.startswith(name):
                    Path(made, os.path.basename(found)).write_bytes(data)
            with closing(sqlite3.connect(Path(made, os.path.basename(name)), isolation_level=None)) as left:
                yield left

    def restart(self, loss: Loss, seed: int = 0, gone: Collection[str] = ()) -> None:
        """The next life: after a kill with everything, after a power cut with the survivors written into the folder.

        No file of the disk may be open. Files that nobody tracks (`gone`: by the ends of their names) do not survive.
        """
        self._check_closed()
        self.off = None
        if loss is Loss.NOTHING:
            return
        left = self.survivors(loss, seed)
        self._show(left, gone)
        self.names = {path: Inode(bytearray(data)) for path, data in left.items()}
        self._durable_names = dict(self.names)
        self._unsynced, self._stuck = [], set()
        self.version += 1

    def remembered(self) -> "Memory":
        """Everything as it is now, to come back to. No file of the disk may be open."""
        self._check_closed()
        files = {path: Path(path).read_bytes() for path in self.names if os.path.exists(path)}
        return Memory(files, deepcopy((self.names, self._durable_names, self._unsynced, self._stuck)))

    def recall(self, memory: "Memory", gone: Collection[str] = ()) -> None:
        """As it was then, after the death of whatever ran."""
        self._check_closed()
        self._show(memory.files, gone)
        self.off = None
        self.names, self._durable_names, self._unsynced, self._stuck = deepcopy(memory.state)
        self.version += 1

    def _check_closed(self) -> None:
        if self.open_files:
            gc.collect()  # an exception that ended a life may hold its last connection
        assert self.open_files == 0, f"{self.open_files} files of the dead process are still open"

    def _show(self, files: dict[str, bytes], gone: Collection[str]) -> None:
        """Write files into the folder, in place: the ledger's mark knows the number of its inode."""
        for path in self._present():
            if path not in files and (path in self.names or path.endswith(tuple(gone))):
                os.unlink(path)
        for path, data in files.items():
            _write_in_place(path, data)

    def _present(self) -> list[str]:
        return [entry.path for entry in os.scandir(self.folder) if entry.is_file()]


def _write_in_place(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)


def _chosen(changes: list[Change], loss: Loss, random: Random) -> list[Change]:
    match loss:
        case Loss.NOTHING:
            return changes
        case Loss.ALL:
            return []
        case Loss.PREFIX:
            return changes[: random.randint(0, len(changes))]
        case Loss.SUBSET:
            return [change for change in changes if random.random() < 0.5]
        case Loss.TORN:
            pieces = [piece for change in changes for piece in _pieces(change)]
            return [piece for piece in pieces if random.random() < 0.7]


def _pieces(change: Change) -> list[Change]:
    return [*change.pieces(SECTOR)] if isinstance(change, Write) else [change]


def _touches(change: Change, pages: set[int]) -> bool:
    return isinstance(change, Write) and not change.pages().isdisjoint(pages)


def _on(copies: dict[int, Inode], change: Change) -> Change:
    if isinstance(change, Write):
        return Write(copies[id(change.inode)], change.offset, change.data)
    return Name(change.path, None if change.inode is None else copies[id(change.inode)], change.was)


def _apply(change: Change, names: dict[str, Inode]) -> None:
    if isinstance(change, Name):
        if change.was is not None:
            names.pop(change.was, None)
        if change.inode is None:
            names.pop(change.path, None)
        else:
            names[change.path] = change.inode
        return
    held, end = change.inode.durable, change.offset + len(change.data or b"")
    if len(held) < end:
        held.extend(bytes(end - len(held)))
    if change.data is None:
        del held[change.offset :]
    else:
        held[change.offset : end] = change.data
