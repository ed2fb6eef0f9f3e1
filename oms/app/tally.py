"""What a run has touched so far, told by the ledger after every commit; for its report and its exit code."""

from array import array
from collections.abc import Iterable

from oms.ledger.rows import Entry
from oms.lifecycle.states import CommandKind, CommandState, OrderStatus


class Tally:
    """Order keys of a run, eight bytes each, and those that ended without an order."""

    def __init__(self) -> None:
        self.order_keys = array("q")
        self._seen: set[int] = set()
        self.rejected: set[int] = set()
        self.unsent: set[int] = set()
        self.cancels_refused: set[int] = set()

    def note(self, entries: Iterable[Entry]) -> None:
        """Take in what a commit has moved."""
        for entry in entries:
            if entry.order_key not in self._seen:
                self._seen.add(entry.order_key)
                self.order_keys.append(entry.order_key)
            if entry.command.kind is CommandKind.CREATE:
                self._sort(entry, self.rejected, OrderStatus.REJECTED)
                self._sort(entry, self.unsent, OrderStatus.UNSENT)
            elif entry.command.state is CommandState.REFUSED:
                self.cancels_refused.add(entry.order_key)

    @staticmethod
    def _sort(entry: Entry, keys: set[int], status: OrderStatus) -> None:
        if entry.order.status is status:
            keys.add(entry.order_key)
        else:
            keys.discard(entry.order_key)
