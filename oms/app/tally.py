"""What a run has touched, how it ended, and what it leaves to the next one of its process. Plain records.

Kept apart from the runs themselves, so that reading a ledger imports neither an HTTP client nor a key.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oms.ledger.rows import Entry
from oms.lifecycle.states import CommandKind, CommandState, OrderStatus, Reason
from oms.records import Stop

if TYPE_CHECKING:
    from oms.app.notify import Courier
    from oms.app.session import Endpoint
    from oms.venue.door import Venue


class Tally:
    """Order keys of a run, eight bytes each, and those that ended without an order."""

    def __init__(self) -> None:
        self.order_keys = array("q")
        self._seen: set[int] = set()
        self.rejected: set[int] = set()
        self.unsent: set[int] = set()
        self.limited: set[int] = set()  # of the unsent ones: over a limit of the trader's own at their turn
        self.cancels_refused: set[int] = set()

    def note(self, entries: Iterable[Entry]) -> None:
        """Take in what a commit has moved."""
        for entry in entries:
            if entry.order_key not in self._seen:
                self._seen.add(entry.order_key)
                self.order_keys.append(entry.order_key)
            if entry.command.kind is CommandKind.CREATE:
                self._sort(entry, self.rejected, OrderStatus.REJECTED)
                if entry.command.reason is not Reason.RETRIED:  # its intent was placed, if not as this order
                    self._sort(entry, self.unsent, OrderStatus.UNSENT)
                if entry.order_key in self.unsent and entry.command.reason is Reason.LIMIT:
                    self.limited.add(entry.order_key)
            elif entry.command.state is CommandState.REFUSED:
                self.cancels_refused.add(entry.order_key)

    @staticmethod
    def _sort(entry: Entry, keys: set[int], status: OrderStatus) -> None:
        if entry.order.status is status:
            keys.add(entry.order_key)
        else:
            keys.discard(entry.order_key)


@dataclass(slots=True)
class Memory:
    """What runs of one process may keep between them: a connected venue, the epoch that ended in order, the courier."""

    where: "Endpoint | None" = None
    venue: "Venue | None" = None
    epoch: int | None = None
    courier: "Courier | None" = None


@dataclass(slots=True)
class Ended:
    """How a run came out, before it is put into a report."""

    tally: Tally
    notes: list[str]
    stop: Stop | None = None
    is_done_elsewhere: bool = False  # the lock's holder did the work, or will do it

    @classmethod
    def quiet(cls) -> "Ended":
        """Nothing was run."""
        return cls(Tally(), [])
