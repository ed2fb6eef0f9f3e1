"""P1 at the very moment of a send: what a power cut right now would leave must show the command as on the wire."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from tests.lab.power.disk import Disk, Loss

_ON_WIRE = """
SELECT c.last_signed_ms FROM orders o JOIN commands c ON c.order_key = o.key
WHERE c.state = 'on_wire' AND (o.client_order_id = ? AND c.kind = 'create' OR o.order_id = ? AND c.kind <> 'create')
UNION ALL
SELECT last_signed_ms FROM actions WHERE state = 'on_wire' AND target = ?
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

    def sees(self, sent: Iterable[str], signed_ms: int) -> None:
        """These leave now: by client_order_id, order_id or an action's target. The time of their claim is signed."""
        self.sends += 1
        for loss in (Loss.ALL, _MIXED[self.sends % len(_MIXED)]):
            self.opened += 1
            with self._disk.opened(self._ledger, loss, seed=self.sends) as left:
                for name in sent:
                    found = _asked(left, name)
                    if found != signed_ms:
                        self.breaches.append(f"I1: {name}, claimed at {signed_ms}, was sent; {loss.value}: {found}")


def _asked(left: sqlite3.Connection, name: str) -> int | str | None:
    try:
        found = left.execute(_ON_WIRE, (name, name, name)).fetchone()
    except sqlite3.DatabaseError as exc:
        return str(exc)
    return None if found is None else int(found[0])
