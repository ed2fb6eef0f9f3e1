"""Runs that send actions: each recorded, sent and followed until it is settled, or in doubt by name.

What a run before this one left is settled by readings alone (`oms.app.action_doubts`, in every session): an action is
sent again only by the very run that was asked for it. Only the cancel of one order by its order_id goes on in whatever
run sends next (`oms.app.action_doubts.go_on`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from oms.app.runs import Runs
from oms.app.session import Report, Session
from oms.app.tally import Ended, Tally
from oms.errors import LedgerBusy
from oms.venue.door import Venue


class ActionRuns(Runs):
    """Runs over one ledger that send actions."""

    @contextmanager
    def opened(self, purpose: str, progress: Report, wait_s: float) -> Iterator[tuple[Session, Ended]]:
        """An open session that holds the writer lock, and how it ended. Raises LedgerBusy after `wait_s` seconds."""
        ended = Ended(Tally(), [])
        with ExitStack() as stack:
            try:
                session = stack.enter_context(self._session(purpose, progress, wait_s, lambda: False, ended))
            except LedgerBusy as exc:
                hint = "nothing of this was recorded or sent; `oms halt` makes a run that places orders let go"
                raise LedgerBusy(exc.message, hint=hint) from exc
            assert session is not None
            yield session, ended

    def connected(self) -> Venue:
        """The exchange, for reads that need neither lock nor ledger. Raises CredentialsError."""
        return self._connected()[1]
