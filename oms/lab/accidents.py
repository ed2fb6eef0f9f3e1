"""Accidents of machine and files: clocks that jump, a machine that sleeps, a ledger that is lost, copied or older."""

import shutil
from pathlib import Path

from oms.lab.running import Running
from oms.lab.scene import Scene


class Accidents:
    """Acts of bad luck."""

    def __init__(self, scene: Scene, running: Running) -> None:
        self._scene = scene
        self._running = running
        self._world = scene.world
        self._rng = scene.rng
        self._copies: list[Path] = []
        self._other = scene.world.ledger_path.parent.parent / "other"  # a copy of the ledger on another machine

    def set_clock(self) -> None:
        """The machine's wall clock is set, forward or back."""
        self._scene.harm += 1
        self._world.clock.wall_offset_us = self._rng.choice(
            (0, 900_000, -1_500_000, 4_000_000, -30_000_000, 3_600_000_000)
        )
        self._world.note("clock set", self._world.clock.wall_offset_us)

    def suspend(self) -> None:
        """The machine sleeps."""
        self._scene.harm += 1
        self._world.clock.suspend(self._rng.choice((1, 8, 3_600)) * 1_000_000)

    def copy(self) -> None:
        """Somebody keeps a copy of the ledger's files as they are."""
        if not self._scene.has_ledger:
            return
        copy = self._world.ledger_path.parent.parent / f"copy-{len(self._copies)}"
        if self._rng.random() < 0.5:
            copy.mkdir()
            if self._world.live("backup", copy / "oms.sqlite3").error is not None:
                return
        else:
            shutil.copytree(self._world.ledger_path.parent, copy)
        self._copies.append(copy)
        self._world.note("copied")

    def lose(self) -> None:
        """All files of the ledger are gone."""
        self._let_arrive()
        self._set_aside()
        self._world.note("lost")

    def set_back(self) -> None:
        """An older copy comes back, with the mark of its time or with the one of today."""
        if not self._copies:
            return
        self._let_arrive()
        if self._rng.random() < 0.3 and self._scene.has_ledger:
            self._scene.note_set_back()
            self._running.live("restore", self._rng.choice(self._copies) / "oms.sqlite3")
            return
        folder = self._world.ledger_path.parent
        mark = folder / "oms.sqlite3.mark"
        today = mark.read_bytes() if mark.exists() and self._rng.random() < 0.7 else None
        copy = self._rng.choice(self._copies)
        if today is None and self._rng.random() < 0.5:  # a snapshot of the whole disk: not even an inode differs
            self._empty(folder)
        else:
            self._set_aside()
        self._scene.note_set_back()
        for path in sorted(copy.iterdir()):
            if path.suffix != ".sqlite3-shm":
                (folder / path.name).write_bytes(path.read_bytes())
        if today is not None:
            mark.write_bytes(today)
        self._world.note("set back", today is not None)

    def swap(self) -> None:
        """Two machines go on from one ledger and its copy, each with its own marks, in turn."""
        if not self._scene.has_ledger:
            return
        self._let_arrive()
        self._scene.note_set_back()
        folder = self._world.ledger_path.parent
        if not self._other.exists():
            shutil.copytree(folder, self._other)
        away = folder.parent / "away"
        for source, target in ((folder, away), (self._other, folder), (away, self._other)):
            target.mkdir(exist_ok=True)
            for path in sorted(source.iterdir()):
                if path.is_file():
                    path.rename(target / path.name)
        self._world.note("swapped")

    def _let_arrive(self) -> None:
        """What was on its way when a ledger is lost only the exchange's own memory of ids covers (P2)."""
        if self._scene.options.dedupe != "forever":
            self._world.wait(2 * self._scene.options.horizon_s)

    def _set_aside(self) -> None:
        self._scene.note_set_back()
        for path in sorted(self._world.ledger_path.parent.iterdir()):
            if path.is_file():
                path.unlink()

    def _empty(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            if path.name.endswith(("-wal", "-shm")):
                path.unlink()
