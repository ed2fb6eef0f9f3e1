"""What was concluded, into the ledger: one short transaction a chunk, only under this run's epoch (P5, P6)."""

from collections.abc import Sequence

from oms.ledger.append import Fact, append
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle.events import Event, Filled, Observed

Conclusion = tuple[Entry, Event]
_SEEN_AGAIN = (Observed, Filled)


def apply(ledger: Ledger, conclusions: Sequence[Conclusion], now_us: int) -> dict[int, Entry]:
    """Append the facts; durable on return. The entries after them, by command_key. Raises EpochLost, LedgerFailed."""
    if not conclusions:
        return {}
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        appended = append(
            connection, [Fact(entry, event) for entry, event in conclusions], epoch=ledger.epoch, now_us=now_us
        )
    ledger.note_seq(appended.newest_seq)
    ledger.tend()
    # Orders that were only seen again are not what a run has worked on.
    ledger.on_moved([appended.entries[x.command_key] for x, event in conclusions if not isinstance(event, _SEEN_AGAIN)])
    return appended.entries
