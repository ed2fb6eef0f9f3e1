"""`Oms`: every verb of the service, for programs and for the command line alike.

Each verb that sends records first (P1) and returns only when what it sent is known, in doubt by name, or queued by
name. What it reports is read back from the ledger, never from memory. The promises are kept by the rooms below; this
one only brings them together.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oms.app.books import Accounting
from oms.app.changing import Changing
from oms.app.guarding import Guarding
from oms.app.handouts import Handouts
from oms.app.knowing import Knowing
from oms.app.placing import Placing
from oms.records import (
    CheckRecord,
)

if TYPE_CHECKING:
    pass


class Oms(Placing, Changing, Knowing, Accounting, Guarding, Handouts):
    """One environment's ledger and exchange. Open it, use it, close it (or use `with`).

    Opening touches neither disk nor network; the ledger is opened by the first call that needs it, and made by the
    first that records.
    """

    def backup(self, to: Path) -> Path:
        """A verified copy of the ledger at `to`, consistent even while a run writes. Raises LedgerError."""
        from oms.ledger.backup import backup

        backup(self._open(create=False).path, to)
        return to

    def restore(self, source: Path) -> None:
        """Put a backup in the ledger's place; what was there is kept beside it. Raises LedgerError, LedgerBusy."""
        from oms.ledger.engine import real_path
        from oms.ledger.restore import restore

        self.close()
        restore(source, real_path(self.config.ledger_url), self.config.environment, now_us=self._now_us())

    def check(self) -> Iterator[CheckRecord]:
        """Check the ledger against itself: SQLite's checks, hash chains, projections, fills."""
        from oms.ledger.check import check

        return iter(check(self._open(create=False)))
