"""P1 at the very moment of a send: what a power cut right now would leave must show the command as on the wire."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from tests.lab.power.disk import Disk, Loss

_CREATE = """
SELECT c.state, c.attempts FROM commands c JOIN orders o ON o.key = c.order_key
WHERE c.kind = 'create' AND o.client_order_id = ?
"""
_CANCEL = """
SELECT c.state, c.attempts FROM commands c JOIN orders o ON o.key = c.order_key
WHERE c.kind = 'cancel' AND o.order_id = ? ORDER BY c.key DESC LIMIT 1
"""
# The worst of all, and by turns one that mixes: a random survivor could be harder to read than none.
_MIXED = (Loss.PREFIX, Loss.SUBSET, Loss.TORN)


class Witness:
    """Opens the surviving disk at each send and keeps what was wrong."""

    def __init__(self, disk: Disk, ledger: Path) -> None:
        self._disk = disk
        self._ledger = ledger
        self.sends = 0
        self.opened = 0
        self.breaches: list[str] = []

    def creates(self, sent: Iterable[tuple[str, int | None]]) -> None:
        """A create of each client_order_id leaves now, at least for the so-manieth time (None: once)."""
        self._look(_CREATE, list(sent))

    def cancel(self, order_id: str) -> None:
        """A cancel of that order leaves now."""
        self._look(_CANCEL, [(order_id, None)])

    def _look(self, query: str, sent: list[tuple[str, int | None]]) -> None:
        self.sends += 1
        for loss in (Loss.ALL, _MIXED[self.sends % len(_MIXED)]):
            self.opened += 1
            with self._disk.opened(self._ledger, loss, seed=self.sends) as left:
                for name, attempt in sent:
                    found = _asked(left, query, name)
                    if found is None or found[0] != "on_wire" or found[1] < (attempt or 1):
                        self.breaches.append(f"I1: {name} attempt {attempt} was sent; {loss.value}: {found}")


def _asked(left: sqlite3.Connection, query: str, name: str) -> tuple[str, int] | None:
    try:
        found: tuple[str, int] | None = left.execute(query, (name,)).fetchone()
    except sqlite3.DatabaseError as exc:
        return (str(exc), 0)
    return found
