"""Orders a second against DBOS Transact, a library for durable workflows: one workflow with one step for each order.

The same orders go to the same stub exchange, one to a request, signed by the same key. The rival stands here in full
(`Rival`): the workflow's id is the client_order_id, its one step is the signed POST through a `requests.Session` of
each thread. It runs as it comes (a SQLite file with a rollback journal), on a SQLite file switched to WAL by hand, and
on PostgreSQL, one order after another and in threads; of DBOS as of oms, the better number of threads counts. Each
rival is a process that has imported everything and lives through all rounds; they take turns.

Timed for oms: recording the orders, and sending them until the last answer is durable, on a fresh ledger. Timed for
DBOS: calling every workflow until the last has its result; its launch is not counted, and oms's opening of a session is
not either. DBOS does more for an order than this task needs (any code can be a step, and is recovered); it is
compared on this task alone.
"""

import argparse
import gc
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import requests
from exchange import PREFIX, Stub, forget
from figures import Asked, Figure, Told, options, run
from postgres import cluster, programs
from runs import configured, make_key, orders, send_all

from oms import Oms
from oms.app.intake import offer_objects
from oms.intake.intents import request_body
from oms.interrupt import Interrupt
from oms.venue.keys import load_key
from oms.venue.signing import signed_headers

CREATE = "/portfolio/events/orders"
OMS, DEFAULT, WAL, POSTGRES = "oms", "DBOS, SQLite as it comes", "DBOS, SQLite in WAL mode", "DBOS, PostgreSQL"
# By the exchange's latency in ms: oms's senders, and the threads that call workflows.
SENDERS: dict[int, tuple[int, ...]] = {0: (1, 4), 20: (16, 32)}
THREADS = {0: (1, 4, 16), 20: (16, 32)}
SAMPLE_S = 1.5  # a rival gets as many of the orders as it does in about that time, so that slow ones do not take hours
DATABASE = "OMS_BENCHMARK_DATABASE"  # a URL with a password: in the environment, since all can read arguments

Task = Callable[[int, int], float]  # (orders, threads) -> seconds


class Rival:
    """DBOS, for one order: a durable workflow whose one durable step is the signed POST."""

    def __init__(self, base_url: str, directory: Path, database_url: str) -> None:
        from dbos import DBOS, DBOSConfig, SetWorkflowID

        self._url = base_url + CREATE
        self._key = load_key(str(make_key(directory)))
        self._of_thread = threading.local()
        # As many connections as threads: its default of 20 would hold 32 back.
        own = DBOSConfig(name="benchmark", system_database_url=database_url, sys_db_pool_size=32, log_level="ERROR")
        DBOS(config=own)

        @DBOS.step()
        def post(body: bytes) -> str:
            return self._post(body)

        @DBOS.workflow()
        def place(body: bytes) -> str:
            return post(body)

        def durably(client_order_id: str, body: bytes) -> str:
            with SetWorkflowID(client_order_id):
                return place(body)

        self._durably = durably
        DBOS.launch()

    def _post(self, body: bytes) -> str:
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
        headers = signed_headers("benchmark", self._key, time.time_ns() // 1_000_000, "POST", PREFIX + CREATE)
        headers["Content-Type"] = "application/json"
        answer = self._of_thread.session.post(self._url, data=body, headers=headers, timeout=10)
        answer.raise_for_status()
        order_id: str = answer.json()["order_id"]
        return order_id

    def run(self, count: int, threads: int) -> float:
        intents = offer_objects(orders(count), None, "api", 0).intents()
        jobs = [(intent.client_order_id, request_body(intent)) for intent in intents]
        begun = time.perf_counter()
        if threads == 1:
            done = [self._durably(*job) for job in jobs]
        else:
            with ThreadPoolExecutor(threads) as pool:
                done = list(pool.map(lambda job: self._durably(*job), jobs))
        taken = time.perf_counter() - begun
        assert len(set(done)) == count
        return taken


class Ours:
    """oms, for as many orders: recorded, then sent from a fresh ledger."""

    def __init__(self, base_url: str, directory: Path) -> None:
        self._base_url, self._directory = base_url, directory

    def run(self, count: int, threads: int) -> float:
        ledger = self._directory / "ours" / "ledger.sqlite3"
        config = configured(ledger, self._base_url, make_key(self._directory), senders=threads)
        forget(self._base_url)
        with Oms(config, Interrupt()) as oms:
            begun = time.perf_counter()
            oms.submit(orders(count), send=False)
            recorded_s = time.perf_counter() - begun
        sent = send_all(config)
        shutil.rmtree(ledger.parent)
        return recorded_s + sent.send_s


def work(who: str, base_url: str, directory: Path) -> None:
    """In a process of its own: run whatever stdin asks for, one line of JSON each."""
    mine = directory / who.replace(", ", "-").replace(" ", "-")
    mine.mkdir()
    rival: Ours | Rival
    if who == OMS:
        rival = Ours(base_url, mine)
    elif who == POSTGRES:
        rival = Rival(base_url, mine, os.environ[DATABASE])
    else:
        file = mine / "dbos.sqlite3"
        if who == WAL:
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")  # the file remembers it
        rival = Rival(base_url, mine, f"sqlite:///{file}")
    gc.freeze()  # for all rivals, as the command line does when it has imported everything
    for line in sys.stdin:
        print(json.dumps(rival.run(**json.loads(line))), flush=True)
    os._exit(0)  # DBOS's own threads would keep the process


@contextmanager
def worker(who: str, base_url: str, directory: Path, environ: Mapping[str, str]) -> Iterator[Task]:
    """A rival's process, which does what the task is called with."""
    command = [sys.executable, __file__, "--work", who, "--url", base_url, "--dir", str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | environ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout

        def task(count: int, threads: int) -> float:
            print(json.dumps({"count": count, "threads": threads}), file=into, flush=True)
            line = out.readline()
            assert line, f"{who} ended before it answered"
            return float(json.loads(line))

        yield task
        into.close()


def measure_at(latency_ms: int, asked: Asked, told: Told, databases: Mapping[str, Mapping[str, str]]) -> None:
    """All rivals at one latency of the exchange, interleaved; tells each of them, and oms against default and best."""
    most = 100 if asked.is_short else 400
    ways = [(OMS, n) for n in SENDERS[latency_ms]]
    ways += [(who, n) for who in databases for n in THREADS[latency_ms]]
    taken: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    home = asked.directory / f"{latency_ms}"
    home.mkdir()
    with ExitStack() as stack:
        stub = stack.enter_context(Stub(latency_ms))
        tasks = {OMS: stack.enter_context(worker(OMS, stub.base_url, home, {}))}
        for who, environ in databases.items():
            tasks[who] = stack.enter_context(worker(who, stub.base_url, home, environ))
        counts = {}
        for who, many in ways:  # the first also warms up
            seconds = min(tasks[who](count, many) / count for count in (32, 32))
            counts[who, many] = most if who == OMS else max(32, min(most, int(SAMPLE_S / seconds)))
        for n in told.each_round(f"exchange {latency_ms} ms away"):
            for who, many in ways if n % 2 else ways[::-1]:
                count = counts[who, many]
                taken[who, many].append(count / tasks[who](count, many))
    tell(latency_ms, told, taken)


def tell(latency_ms: int, told: Told, taken: Mapping[tuple[str, int], list[float]]) -> None:
    best: dict[str, list[float]] = {}  # of each rival, its better number of threads
    for (who, threads), rates in taken.items():
        words = "one after another" if threads == 1 else f"{threads} {'senders' if who == OMS else 'threads'}"
        told.add(Figure(f"{latency_ms} ms: {who}, {words}", rates, "orders/s"))
        best[who] = max(best.get(who, rates), rates, key=statistics.median)
    ours = best.pop(OMS)
    rates_of = {OMS: statistics.median(ours)} | {who: statistics.median(rates) for who, rates in best.items()}
    winner = max(best, key=lambda who: statistics.median(best[who]))

    def against(who: str) -> list[float]:
        return [mine / theirs for mine, theirs in zip(ours, best[who], strict=True)]

    default, any_of_them = (f"dbos-{kind}-{latency_ms}" for kind in ("default", "best"))
    name, rates_default = f"{latency_ms} ms: oms against DBOS", {who: rates_of[who] for who in (OMS, DEFAULT)}
    told.claim(default, against(DEFAULT), name=f"{name} as it comes", rates=rates_default)
    if POSTGRES in best and WAL in best:
        note = f"the best is {winner.removeprefix('DBOS, ')}"
        told.claim(any_of_them, against(winner), name=f"{name} at its best", rates=rates_of, note=note)


def measure(asked: Asked, told: Told) -> None:
    keys = [f"dbos-{kind}-{latency_ms}" for latency_ms in THREADS for kind in ("default", "best")]
    if find_spec("dbos") is None:
        for key in keys:
            told.skip(key, "DBOS is not installed: pip install -e '.[bench]'")
        return
    databases: dict[str, Mapping[str, str]] = {DEFAULT: {}}
    if asked.is_short:
        told.say("short: SQLite as it comes alone, exchange 0 ms away")
        measure_at(0, asked, told, databases)
        return
    place = programs()
    databases[WAL] = {}
    with ExitStack() as stack:
        if place is None:
            for key in keys:
                if "best" in key:
                    told.skip(key, "PostgreSQL is not installed (Debian: apt-get install postgresql)")
        else:
            databases[POSTGRES] = {DATABASE: stack.enter_context(cluster(place))}
        for latency_ms in THREADS:
            measure_at(latency_ms, asked, told, databases)


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    inner = parser.parse_args()
    if inner.work:
        work(inner.work, inner.url, inner.dir)
    else:
        run("transact", parser, measure)
