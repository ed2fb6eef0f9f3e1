"""What an order costs on the disk: bytes of the ledger for one settled order with one trade, its evidence kept.

Ten thousand orders are recorded, claimed, acknowledged and given their trade through the ledger's own doors, with ids
as long as the exchange's are. Told are the file as such a run leaves it and the same file vacuumed, the share of every
table and index of a hundredth or more (SQLite's dbstat, where the library has it), and the same for orders that
rested before they were executed, which have one event more.
"""

import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from figures import Asked, Figure, Told, options, run
from ledgers import settle
from runs import configured, make_key, orders

from oms import Oms
from oms.interrupt import Interrupt
from oms.ledger import queries
from oms.ledger.ledger import open_ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.reconciler.apply import apply

GROUP = 500
AT_MS = 1_790_000_000_000


def record(ledger: Path, count: int) -> str:
    """Orders as a file of them would be recorded; the ledger's URL."""
    config = configured(ledger, "http://127.0.0.1:1/trade-api/v2", make_key(ledger.parent.parent))
    with Oms(config, Interrupt()) as oms:
        oms.submit(orders(count), batch="footprint", send=False)
    return config.ledger_url


def trade(url: str, luck: Random, *, rested: bool) -> None:
    """One trade for each order, as reconciling records it; of one that rested, its end as well."""
    ledger = open_ledger(url, "sandbox", create=False)
    try:
        ledger.locks.take_writer(0)
        ledger.open_epoch(purpose="reconcile", key_print=None, now_us=AT_MS * 1000)
        for keys in _groups(ledger.path):
            entries = queries.creates_by_key(ledger, keys)
            apply(ledger, [(x, _filled(x, luck)) for x in entries], AT_MS * 1000)
            if rested:
                entries = queries.creates_by_key(ledger, keys)
                apply(ledger, [(x, _executed(x)) for x in entries], AT_MS * 1000)
    finally:
        ledger.close()


def _groups(path: Path) -> Iterator[list[int]]:
    with closing(sqlite3.connect(path)) as connection:
        keys = [row[0] for row in connection.execute("SELECT key FROM orders ORDER BY key")]
    for start in range(0, len(keys), GROUP):
        yield keys[start : start + GROUP]


def _filled(entry: Entry, luck: Random) -> e.Filled:
    return e.Filled(
        trade_id=_uuid(luck),
        count_e2=entry.count_e2,
        price_e6=entry.price_e6,
        fee_e6=luck.randrange(100, 40_000),
        is_taker=True,
        ts_ms=AT_MS + 2,
    )


def _executed(entry: Entry) -> e.Observed:
    assert entry.order.order_id is not None
    order = e.Snapshot(
        order_id=entry.order.order_id,
        client_order_id=entry.client_order_id,
        ticker=entry.ticker,
        side=entry.side,
        status="executed",
        price_e6=entry.price_e6,
        initial_count_e2=entry.count_e2,
        fill_count_e2=entry.count_e2,
        remaining_count_e2=0,
        fees_e6=12_300,
        fill_cost_e6=entry.price_e6 * entry.count_e2 // 100,
        created_ts_ms=AT_MS,
        updated_ts_ms=AT_MS + 2,
        user_id=str(uuid.UUID(int=7)),
    )
    return e.Observed(source="orders", as_of_ms=AT_MS + 1_000, order=order)


def _uuid(luck: Random) -> str:
    return str(uuid.UUID(int=luck.getrandbits(128), version=4))


def shares(path: Path, count: int) -> dict[str, float]:
    """Bytes an order of each table and index, largest first; empty where SQLite cannot tell."""
    with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.OperationalError):
        rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC")
        return {name: size / count for name, size in rows}
    return {}


def vacuumed(path: Path) -> int:
    """Bytes of a vacuumed copy."""
    copy = path.with_name("vacuumed.sqlite3")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy.stat().st_size


def one(directory: Path, count: int, *, rested: bool) -> tuple[Path, float, float]:
    """(the ledger, bytes an order as it lies, vacuumed)"""
    ledger = directory / ("rested" if rested else "taken") / "ledger.sqlite3"
    url, luck = record(ledger, count), Random(count)

    def acknowledged(entry: Entry, ts_ms: int) -> e.Acknowledged:
        filled = 0 if rested else entry.count_e2
        return e.Acknowledged(
            attempt=entry.command.attempts,
            order_id=_uuid(luck),
            fill_count_e2=filled,
            remaining_count_e2=entry.count_e2 - filled,
            ts_ms=ts_ms,
            average_fill_price_e6=None if rested else entry.price_e6,
            average_fee_paid_e6=None if rested else 1_300,
        )

    assert settle(url, 32, AT_MS, acknowledged) == count
    trade(url, luck, rested=rested)
    return ledger, ledger.stat().st_size / count, vacuumed(ledger) / count


def measure(asked: Asked, told: Told) -> None:
    count = 2_000 if asked.is_short else 10_000
    for rested in (False, True):
        name = "rested first" if rested else "executed at once"
        ledger, lies, clean = one(asked.directory, count, rested=rested)
        if rested:
            told.add(Figure(f"bytes an order, {name}", [lies], "bytes"))
        else:
            told.claim("bytes-order", [lies], name=f"bytes an order, {name}, as the file lies")
        told.add(Figure("the same, vacuumed", [clean], "bytes"))
        for table, size in shares(ledger, count).items():
            if size >= lies / 100:
                told.add(Figure(f"  of it {table}", [size], "bytes"))
        shutil.rmtree(ledger.parent)


if __name__ == "__main__":
    run("footprint", options(__doc__ or ""), measure)
