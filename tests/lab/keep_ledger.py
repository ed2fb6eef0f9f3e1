"""Keeps a ledger as this program writes it, with orders on their way, for the programs that come after it.

    python -m tests.lab.keep_ledger      writes tests/lab/ledgers/REVISION_unsettled.sql

Run it when a version is released, and never change what it wrote: the tests settle what each of them left.
"""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from oms.intake.intents import Intent
from oms.ledger import schema
from oms.ledger.record import record
from oms.lifecycle import events as e
from oms.lifecycle.states import Side
from tests.ledger.ledgers import NOW_US, batch, claimed, entries, running, tell

KEPT = Path(__file__).parent / "ledgers"
ROWS = 6


def make(path: Path) -> None:
    """One order queued, one on the wire, one in doubt, one refused, one absent and queued again, one more queued."""
    rows = (
        Intent(
            client_order_id=f"x-{number}",
            ticker="SBXRAIN-A-T10",
            side=Side.BID,
            price_e6=10_000 * number,
            count_e2=100,
            own_id=True,
        )
        for number in range(1, ROWS + 1)
    )
    with closing(running(path)) as ledger:
        record(ledger, batch(ROWS), rows, NOW_US)
        tell(ledger, [(entry, claimed(entry)) for entry in entries(ledger, ROWS)[1:5]])
        _, _, lost, refused, absent, _ = entries(ledger, ROWS)
        proof = e.AbsenceProven(
            as_of_ms=NOW_US // 1000 + 70_000,
            fence_ms=NOW_US // 1000 + 60_000,
            orders_seen=0,
            witnesses=0,
            final=False,
        )
        facts: list[tuple[object, e.Event]] = [
            (lost, e.AttemptUnknown(attempt=1, why="no_answer")),
            (refused, e.AttemptRefused(attempt=1, http_status=400, code="invalid_price", message="no")),
            (absent, e.AttemptUnknown(attempt=1, why="http_5xx", http_status=502)),
            (absent, proof),
            (absent, e.Requeued()),
        ]
        tell(ledger, facts)  # type: ignore[arg-type]


def main() -> None:
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "ledger.sqlite3"
        make(path)
        with closing(sqlite3.connect(path)) as db:
            (owner,) = db.execute("PRAGMA application_id").fetchone()
            text = "\n".join([f"PRAGMA application_id = {owner};", *db.iterdump(), ""])
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{schema.HEAD}_unsettled.sql").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
