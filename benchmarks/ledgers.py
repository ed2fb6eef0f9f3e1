"""Ledgers of any size, every order of them settled and every hash right (`oms db check` finds nothing).

A thousand orders are recorded and settled through the ledger's own doors, once; then they are copied by plain inserts
with fsync off, each copy under other ids, six hours older than the one before, its events changed accordingly and
chained anew. A million orders (3 million events) take about a minute and a gigabyte, and are kept for the next time.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runs import configured, make_key, orders

from oms import Oms
from oms.intake.intents import body_digest
from oms.interrupt import Interrupt
from oms.ledger import schema
from oms.ledger.append import chain_hash, chain_start
from oms.ledger.claim import Desk, Now, Scope
from oms.ledger.ledger import open_ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e

SEED = 1_000
_STEP_MS = 6 * 3600 * 1000
# Moments of the seed: fixed, so that they can be found in its events and moved.
_AT_MS = 1_790_000_000_000
# Changes when what is built here changes, or the ledger's tables do: an older one is built again.
_MADE_BY = f"settled-4-{schema.HEAD}"

Row = dict[str, Any]


def cache_directory() -> Path:
    """Where large ledgers are kept: $XDG_CACHE_HOME/oms-benchmarks, else under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "oms-benchmarks"


def settled_ledger(count: int, directory: Path) -> Path:
    """A ledger of `count` settled orders, built unless it is there; `count` is a multiple of a thousand."""
    assert count % SEED == 0, count
    path = directory / f"{_MADE_BY}-{count}" / "ledger.sqlite3"
    done = path.with_name("complete")
    if not done.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.iterdir():
            old.unlink()
        _make_seed(path)
        _copy(path, count // SEED - 1)
        done.touch()
    return path


def acknowledged(entry: Entry, ts_ms: int) -> e.Acknowledged:
    """The exchange's yes to a claimed create: executed at once."""
    return e.Acknowledged(
        attempt=entry.command.attempts,
        order_id=f"at-{entry.client_order_id}",
        fill_count_e2=entry.order.count_e2,
        remaining_count_e2=0,
        ts_ms=ts_ms,
        average_fill_price_e6=entry.price_e6,
    )


def settle(url: str, group: int, at_ms: int, answer: Callable[[Entry, int], e.Acknowledged] = acknowledged) -> int:
    """Claim and acknowledge everything queued, `group` to a turn; how many orders."""
    ledger = open_ledger(url, "sandbox", create=False, now_us=at_ms * 1000)
    try:
        ledger.locks.take_writer(0)
        ledger.open_epoch(purpose="submit", key_print=None, now_us=at_ms * 1000)
        desk = Desk(ledger, Scope(), at_once=False)
        done, answers = 0, list[tuple[Entry, e.Event]]()
        while True:
            turn = desk.turn(answers, group, Now(at_ms * 1000, at_ms))
            desk.tend()
            done += len(answers)
            answers = [(entry, answer(entry, at_ms)) for entry in turn.claimed]
            if not answers:
                return done
    finally:
        ledger.close()


def _make_seed(path: Path) -> None:
    config = configured(path, "http://127.0.0.1:1/trade-api/v2", make_key(path.parent))
    with Oms(config, Interrupt()) as oms:
        oms.submit(orders(SEED), batch="seed", send=False)
    assert settle(config.ledger_url, 500, _AT_MS) == SEED


def _copy(path: Path, copies: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = lambda cursor, row: {c[0]: v for c, v in zip(cursor.description, row, strict=True)}
    for pragma in ("synchronous = OFF", "cache_size = -200000", "wal_autocheckpoint = 20000"):
        connection.execute(f"PRAGMA {pragma}")
    (batch,) = connection.execute("SELECT * FROM batches").fetchall()
    seed = list(_histories(connection))
    newest = connection.execute("SELECT max(seq) AS seq FROM events").fetchone()["seq"]
    for n in range(1, copies + 1):
        connection.execute("BEGIN IMMEDIATE")
        name = {"key": batch["key"] + n, "batch_key": f"{n:064x}", "name": f"copy {n}"}
        _insert(connection, "batches", [batch | name | {"created_at_us": batch["created_at_us"] - n * _STEP_MS * 1000}])
        made = [_moved(order, command, events, n, newest) for order, command, events in seed]
        _insert(connection, "orders", [order for order, _, _ in made])
        _insert(connection, "commands", [command for _, command, _ in made])
        _insert(connection, "events", [event for _, _, events in made for event in events])
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _histories(connection: sqlite3.Connection) -> Iterator[tuple[Row, Row, list[Row]]]:
    for order in connection.execute("SELECT * FROM orders ORDER BY key").fetchall():
        of_order = "WHERE order_key = ?"
        (command,) = connection.execute(f"SELECT * FROM commands {of_order}", (order["key"],)).fetchall()
        yield (
            order,
            command,
            connection.execute(f"SELECT * FROM events {of_order} ORDER BY n", (order["key"],)).fetchall(),
        )


def _moved(order: Row, command: Row, events: list[Row], n: int, newest: int) -> tuple[Row, Row, list[Row]]:
    """Copy number n of an order with all that belongs to it: other keys and ids, and older."""
    old_id: str = order["client_order_id"]
    new_id = f"{old_id[:4]}{n:04x}{old_id[8:]}"
    key = {"order_key": order["key"] + n * SEED}
    moved: list[Row] = []
    before = chain_start(new_id)
    for event in events:
        data = event["data"].replace(old_id, new_id).replace(str(_AT_MS), str(_AT_MS - n * _STEP_MS))
        at_us = event["at_us"] - n * _STEP_MS * 1000
        epoch, kind, command_key = event["epoch"], event["kind"], command["key"] + n * SEED
        before = chain_hash(before, key["order_key"], event["n"], command_key, epoch, at_us, kind, data)
        seq = event["seq"] + n * newest
        moved.append(
            event | key | {"seq": seq, "command_key": command_key, "at_us": at_us, "data": data, "hash": before}
        )
    recorded = e.decode("recorded", moved[0]["data"])
    assert isinstance(recorded, e.Recorded)
    batch_key = order["batch_key"] + n
    new_order = _older(order, n) | {"key": key["order_key"], "batch_key": batch_key, "chain_hash": before}
    new_order |= {"client_order_id": new_id, "order_id": f"at-{new_id}"}
    new_command = _older(command, n) | key | {"key": command["key"] + n * SEED, "batch_key": batch_key}
    new_command |= {"recorded_seq": moved[0]["seq"], "digest": body_digest(recorded.body)}
    return new_order, new_command, moved


def _older(row: Row, n: int) -> Row:
    """The row with its moments moved back; 0 stands for none."""
    step = {"_us": n * _STEP_MS * 1000, "_ms": n * _STEP_MS}
    return {c: v - step[c[-3:]] if c[-3:] in step and v else v for c, v in row.items()}


def _insert(connection: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    names = ", ".join(f'"{name}"' for name in rows[0])
    marks = ", ".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", [tuple(row.values()) for row in rows])
