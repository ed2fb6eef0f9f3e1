"""What profit and loss costs: 300,000 fills of 100,000 orders in 200 markets, from the ledger to the report.

Each figure is a whole `Oms.pnl` with a ledger opened for it, in CPU seconds of its one thread: what it takes where
nothing else runs. Its rival, interleaved, reads the same trades and does nothing with them.
"""

import resource
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from figures import Asked, Figure, Told, options, run
from ledgers import SEED, cache_directory, settled_ledger
from runs import configured, make_key

from oms import Oms
from oms.config import Config
from oms.interrupt import Interrupt
from oms.ledger import money
from oms.ledger.ledger import open_ledger
from oms.money.books import keep

MARKETS = 200
TAGS = 20
PER_ORDER = 3
GOAL_S = 2.0


def traded_ledger(source: Path, directory: Path) -> Path:
    """A copy of a ledger of settled orders with three trades to each, tags, prices, two readings of the balance."""
    path = directory / "money" / "ledger.sqlite3"
    path.parent.mkdir()
    shutil.copy(source, path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"UPDATE orders SET tag = 'tag-' || (key % {TAGS}), ticker = 'MARKET-' || (key % {MARKETS})")
    connection.execute(
        "WITH part(n) AS (VALUES (0), (1), (2)) INSERT INTO fills"
        " (trade_id, order_key, order_id, ticker, side, count_e2, price_e6, fee_e6, is_taker, ts_ms, subaccount)"
        " SELECT hex(randomblob(16)), o.key, o.order_id, o.ticker,"
        " CASE abs(random()) % 2 WHEN 0 THEN 'bid' ELSE 'ask' END, 1 + abs(random()) % 2000,"
        " 10000 * (1 + abs(random()) % 99), abs(random()) % 20000, 1,"
        " o.created_ts_ms + abs(random()) % 20000000, NULL FROM orders AS o, part"
    )
    for number in range(MARKETS):
        connection.execute(
            "INSERT INTO markets (ticker, event_ticker, status, price_ranges, yes_bid_e6, yes_ask_e6, result,"
            " read_at_us) VALUES (?, '', 'active', '[]', 450000, 470000, '', 1)",
            (f"MARKET-{number}",),
        )
    first, last = connection.execute("SELECT min(ts_ms) - 1, max(ts_ms) + 1 FROM fills").fetchone()
    for at_ms in (first, last):
        connection.execute("INSERT INTO balances VALUES (0, ?, 1000000000, 0, NULL)", (at_ms,))
    connection.execute("COMMIT")
    connection.close()
    return path


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def report(config: Config, by: str) -> None:
    with Oms(config, Interrupt()) as oms:
        told = oms.pnl(by=by)
    assert told.total.total is not None, told.notes


def read_only(config: Config) -> int:
    ledger = open_ledger(config.ledger_url, config.environment, create=False)
    try:
        return sum(1 for _ in money.trades(ledger, "tag"))
    finally:
        ledger.close()


def books_only(config: Config) -> float:
    """Seconds of the pure part alone, the trades being in memory."""
    ledger = open_ledger(config.ledger_url, config.environment, create=False)
    try:
        trades = list(money.trades(ledger, "tag"))
    finally:
        ledger.close()
    return seconds(lambda: keep(trades, grouped=True))


def measure(asked: Asked, told: Told) -> None:
    orders = 10_000 if asked.is_short else 100_000
    source = settled_ledger(orders, asked.directory if asked.is_short else cache_directory())
    config = configured(
        traded_ledger(source, asked.directory), "http://127.0.0.1:1/trade-api/v2", make_key(asked.directory)
    )
    fills = read_only(config)
    assert fills == PER_ORDER * orders
    assert orders % SEED == 0
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report(config, "tag")
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    samples: dict[str, list[float]] = {by: [] for by in ("market", "tag", "day")}
    ratios, pure = [], []
    for _ in range(asked.rounds):
        reading = seconds(lambda: read_only(config))
        for by, taken in samples.items():
            taken.append(seconds(lambda by=by: report(config, by)))  # type: ignore[misc]
        ratios.append(samples["tag"][-1] / reading)
        pure.append(books_only(config))
    goal = GOAL_S * orders / 100_000
    for by, taken in samples.items():
        told.add(Figure(f"pnl by {by}, {fills:,} fills", taken, "CPU s", at_most=goal))
    told.add(Figure("pnl by tag over merely reading the trades", ratios, "x"))
    told.add(Figure(f"books by tag of {fills:,} trades in memory", pure, "CPU s"))
    told.add(Figure("memory that a report adds at its peak", [grown_mb], "MB"))


if __name__ == "__main__":
    run("money", options(__doc__ or ""), measure)
