"""A ledger with orders that were sent, answered and traded; times and amounts are given, so figures are known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oms.intake.intents import Intent
from oms.ledger.ledger import Ledger
from oms.ledger.record import record
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from tests.ledger.ledgers import NOW_US, batch, entries, intent, running, tell

HOSTILE = '"><script>alert(1)</script>'


def intents(rows: int, name: str, changes: Mapping[int, Mapping[str, Any]]) -> list[Intent]:
    """Rows 1 to `rows`, some of them with other fields."""
    return [replace(intent(number, name), **changes.get(number, {})) for number in range(1, rows + 1)]


def story(
    path: Path, rows: int, *, name: str = "x", changes: Mapping[int, Mapping[str, Any]] | None = None
) -> tuple[Ledger, list[Entry]]:
    """A ledger with a batch recorded at NOW_US and an open run."""
    ledger = running(path)
    record(ledger, batch(rows, name), intents(rows, name, changes or {}), NOW_US)
    return ledger, entries(ledger, rows, name)


def accept(ledger: Ledger, which: Sequence[Entry], *, claim_us: int = 1_000, ack_us: int = 3_000) -> list[Entry]:
    """Each is claimed and acknowledged so long after it was recorded."""
    claimed = [(entry, e.Claimed(attempt=1, epoch=1, signed_ms=NOW_US // 1000, at_us=NOW_US)) for entry in which]
    found = list(tell(ledger, claimed, NOW_US + claim_us).values())
    answers = [(entry, answer(entry)) for entry in found]
    return list(tell(ledger, answers, NOW_US + ack_us).values())


def answer(entry: Entry) -> e.Acknowledged:
    """It rests, whole."""
    return e.Acknowledged(
        attempt=1,
        order_id=f"o-{entry.client_order_id}",
        fill_count_e2=0,
        remaining_count_e2=entry.order.count_e2,
        ts_ms=NOW_US // 1000,
    )


def fill(
    ledger: Ledger, entry: Entry, number: int, *, count_e2: int, price_e6: int, fee_e6: int = 0, ts_ms: int = 0
) -> Entry:
    """One trade of an accepted order."""
    trade = e.Filled(
        trade_id=f"t-{number}", count_e2=count_e2, price_e6=price_e6, fee_e6=fee_e6, is_taker=True, ts_ms=ts_ms
    )
    (after,) = tell(ledger, [(entry, trade)], NOW_US + 5_000).values()
    return after
