"""What recording a large file costs: 1,000,000 rows of CSV into the ledger, durably, nothing sent.

The path is that of `oms submit FILE` up to the first claim: survey the file, take its key, read it again, and write it
in chunks. Its rival gets the same rows parsed and all their columns made, keys, ids, digests and hashes included, and
does nothing but insert them: plain `executemany` into the same tables, as many to a transaction, on the disk as surely
(`insert` is all of it; making the rows is not on its clock). Memory is the growth of the recording process's peak from
the tenth part of the rows to the end. A sender beside it is played by a process that asks for the ledger's write lock
every 20 ms, as turns do, and tells how long it waited.
"""

import argparse
import json
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from random import Random

from figures import Asked, Figure, Told, options, run
from runs import configured, make_key, orders

from oms import Oms
from oms.intake import batches
from oms.intake.readers import Format, read_rows
from oms.interrupt import Interrupt
from oms.ledger.append import EVENT_COLUMNS
from oms.ledger.chunk import COMMAND_NEW, ORDER_NEW, Keys, prepare
from oms.ledger.record import CHUNK
from oms.records import Progress

_TURN_S = 0.02


def write_rows(path: Path, count: int) -> None:
    """A file of rows as people write them: few tickers, prices and terms, in no order."""
    luck = Random(count)
    with path.open("w", encoding="utf-8") as file:
        file.write("ticker,action,side,count,price\n")
        for _ in range(count):
            side, price = luck.choice(("yes", "no")), luck.randrange(1, 99)
            file.write(f"KXBENCH-26-T{luck.randrange(500)},buy,{side},{luck.randrange(1, 100)},0.{price:02d}\n")


def record(ledger: Path, file: Path) -> None:
    """In a process of its own: record the file; tells how long it took and how memory went."""
    config = configured(ledger, "http://127.0.0.1:1/trade-api/v2", make_key(ledger.parent))
    peaks_kb: list[int] = []

    def note(progress: Progress) -> None:
        peaks_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    begun, cpu = time.perf_counter(), time.process_time()
    with Oms(config, Interrupt()) as oms:
        report = oms.submit_file(file, send=False, progress=note)
    taken = {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
    grown_kb = peaks_kb[-1] - peaks_kb[len(peaks_kb) // 10]
    print(json.dumps(taken | {"rows": report.recorded, "grown_mb": grown_kb / 1024, "peak_mb": peaks_kb[-1] / 1024}))


def insert(ledger: Path, file: Path) -> None:
    """In a process of its own: the rival; tells how long it took to insert the rows of the file, made beforehand."""
    connection = sqlite3.connect(ledger, isolation_level=None)
    connection.execute("PRAGMA synchronous = EXTRA")
    assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    tables = {"orders": ORDER_NEW, "commands": COMMAND_NEW, "events": EVENT_COLUMNS}
    texts = {
        table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        for table, columns in tables.items()
    }
    stream = file.open("rb")
    intents = batches.intents(read_rows(stream, Format.CSV), bytes(32))
    now_us, done, taken_s = time.time_ns() // 1000, 1, 0.0
    batch = (2, "00" * 32, None, "file", "recorded", bytes(32), 1, now_us, None)
    connection.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", batch)
    while part := list(islice(intents, CHUNK)):
        made = prepare(Keys(done, done), 2, done, part, None, now_us)
        rows = {
            "orders": made.orders,
            "commands": [(n, *row) for n, row in enumerate(made.commands, done + 1)],
            "events": [(n, *row) for n, row in enumerate(made.events, done + 1)],
        }
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        for table, text in texts.items():
            connection.executemany(text, rows[table])
        connection.execute("COMMIT")
        taken_s += time.perf_counter() - begun
        done += len(part)
    connection.close()
    stream.close()
    print(json.dumps({"wall_s": taken_s, "rows": done - 1}))


def wait_for_turns(ledger: Path) -> None:
    """In a process of its own: take the write lock again and again until stdin closes; tells the waits in ms."""
    closed = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=listen, daemon=True).start()
    connection = sqlite3.connect(ledger, isolation_level=None, timeout=30)
    waits: list[float] = []
    while not closed.wait(_TURN_S):
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        waits.append((time.perf_counter() - begun) * 1000)
        connection.execute("ROLLBACK")
    connection.close()
    print(json.dumps(waits))


def step(name: str, ledger: Path, file: Path) -> list[str]:
    return [sys.executable, __file__, "--step", name, "--ledger", str(ledger), "--file", str(file)]


def fresh(directory: Path) -> Path:
    """A ledger with one order, whose key and number are 1."""
    ledger = directory / "record" / "ledger.sqlite3"
    config = configured(ledger, "http://127.0.0.1:1/trade-api/v2", make_key(directory))
    with Oms(config, Interrupt()) as oms:
        oms.submit(orders(1), send=False)
    return ledger


def rival(directory: Path, file: Path) -> dict[str, float]:
    """What inserting the rows took."""
    ledger = fresh(directory)
    done = subprocess.run(step("insert", ledger, file), check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(ledger.parent)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def sample(directory: Path, file: Path) -> tuple[dict[str, float], list[float]]:
    """(what recording took, the waits of a sender beside it)"""
    ledger = fresh(directory)
    waiting = subprocess.Popen(step("wait", ledger, file), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with waiting:
        done = subprocess.run(step("record", ledger, file), check=True, stdout=subprocess.PIPE, text=True)
        waits, _ = waiting.communicate("")
    shutil.rmtree(ledger.parent)
    return json.loads(done.stdout), json.loads(waits)


def measure(asked: Asked, told: Told) -> None:
    count = asked.options.rows or (30_000 if asked.is_short else 1_000_000)
    file = asked.directory / "rows.csv"
    write_rows(file, count)
    taken: list[dict[str, float]] = []
    inserted: list[dict[str, float]] = []
    waits: list[list[float]] = []
    for _ in told.each_round():
        one, waited = sample(asked.directory, file)
        other = rival(asked.directory, file)
        assert one["rows"] == other["rows"] == count, (one, other)
        taken.append(one)
        inserted.append(other)
        waits.append(sorted(waited))
    rates = [count / one["wall_s"] for one in taken]
    told.claim("record-rate", rates, name=f"{count:,} rows of CSV recorded")
    told.claim(
        "record-ratio",
        [other["wall_s"] / one["wall_s"] for one, other in zip(taken, inserted, strict=True)],
        name="against inserting them, parsed and ready",
        rates={
            "oms": statistics.median(rates),
            "inserting": statistics.median(count / other["wall_s"] for other in inserted),
        },
    )
    told.add(Figure("CPU a row", [one["cpu_s"] / count * 1e6 for one in taken], "us/row"))
    peak = f"peak {statistics.median(one['peak_mb'] for one in taken):.0f} MB"
    grown = [one["grown_mb"] for one in taken]
    told.claim("record-memory", grown, name="memory grown after the first tenth", note=peak)
    for name, at in (("median", 0.5), ("99th percentile", 0.99), ("longest", 1.0)):
        values = [waited[min(len(waited) - 1, int(at * len(waited)))] for waited in waits]
        told.add(Figure(f"wait of a turn beside it, {name}", values, "ms"))


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=int, help="rows of the file (default 1,000,000; --short: 30,000)")
    parser.add_argument("--step", choices=("record", "insert", "wait"), help=argparse.SUPPRESS)
    parser.add_argument("--ledger", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.step is None:
        run("record", parser, measure)
    else:
        {"record": record, "insert": insert, "wait": lambda ledger, _: wait_for_turns(ledger)}[inner.step](
            inner.ledger, inner.file
        )
