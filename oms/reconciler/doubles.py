"""Orders beside which others were seen under the same client_order_id, as breaks. Asks the ledger alone."""

from collections.abc import Iterator

from oms import compare
from oms.ledger import queries, seconds
from oms.ledger.ledger import Ledger
from oms.records import BreakRecord
from oms.units import format_count


def duplicate_breaks(ledger: Ledger) -> Iterator[BreakRecord]:
    """One break for each order beside which others were seen that no person has looked at yet."""
    beside: dict[int, list[seconds.Second]] = {}
    for second in seconds.standing(ledger):
        beside.setdefault(second.order_key, []).append(second)
    for entry in queries.creates_by_key(ledger, list(beside)):
        first, *others = beside[entry.order_key]
        more = "".join(f"; also {x.order_id}, {x.status}{_filled(x)}" for x in others)
        yield compare.duplicate_break(entry, first.order_id, first.status, _filled(first), more)


def _filled(second: seconds.Second) -> str:
    return f", {format_count(second.fill_count_e2)} of {format_count(second.count_e2)} filled"
