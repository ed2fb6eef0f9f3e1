"""The rivals of our making, in full and in the best form of themselves: what one would write without oms.

Each places the same orders at the same stub and signs every request. All but `bare` are written on plain `requests`, as
Kalshi's quick-start guide is: https://docs.kalshi.com/getting_started/quick_start_create_order. Each returns only when
every order is acknowledged; times are the caller's to take.

- `bare`          oms's own venue client from as many threads, and no ledger: what the ledger costs, and nothing else
- `sessions`      plain `requests.Session`, one of each thread
- `guide_loop`    the guide's loop: `requests.post` for each order, one after the other, nothing written down
- `careful_loop`  the loop of somebody who has been bitten: intent committed, posted, answer committed
"""

import base64
import itertools
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from oms.lifecycle.events import Acknowledged, Event
from oms.venue.door import Venue
from oms.venue.orders import OrderRequest

ORDERS_URL = "/trade-api/v2/portfolio/events/orders"

Wire = dict[str, str]  # an order as the exchange takes it, without its client_order_id


class Account:
    """A key and the address of the exchange, as the guide has them."""

    def __init__(self, host: str, key_path: Path, verify: str | bool = True) -> None:
        """`verify` is what `requests` takes: the file of certificate authorities to trust."""
        self.url = host + ORDERS_URL
        self.verify = verify
        self._key: Any = serialization.load_pem_private_key(key_path.read_bytes(), password=None)

    def headers(self) -> dict[str, str]:
        """Signed for one POST, now."""
        stamp = str(int(time.time() * 1000))
        signature = self._key.sign(
            (stamp + "POST" + ORDERS_URL).encode(),
            padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH),
            hashes.SHA256(),
        )
        return {
            "KALSHI-ACCESS-KEY": "benchmark",
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
            "KALSHI-ACCESS-TIMESTAMP": stamp,
        }


def guide_loop(account: Account, orders: Sequence[Wire]) -> None:
    """`requests.post` for each order, one after the other."""
    for order in orders:
        body = {**order, "client_order_id": str(uuid.uuid4())}
        answer = requests.post(account.url, headers=account.headers(), json=body, verify=account.verify, timeout=10)
        _understood(answer)


def sessions(account: Account, orders: Sequence[Wire], senders: int) -> None:
    """A `requests.Session` of each thread; the threads take the orders in turn."""

    def send(take: Callable[[], Wire | None]) -> None:
        with requests.Session() as session:
            session.verify = account.verify
            while (order := take()) is not None:
                body = {**order, "client_order_id": str(uuid.uuid4())}
                _understood(session.post(account.url, headers=account.headers(), json=body, timeout=10))

    _in_threads(send, orders, senders)


def careful_loop(account: Account, orders: Sequence[Wire], file: Path) -> None:
    """Commit the intent, post it, commit the answer; as durable as oms: WAL, synchronous EXTRA.

    One table, one statement to a commit (each is its own transaction), one Session: we know no faster form of it.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as ledger, requests.Session() as session:
        ledger.execute("PRAGMA journal_mode = WAL")
        ledger.execute("PRAGMA synchronous = EXTRA")
        ledger.execute(
            "CREATE TABLE IF NOT EXISTS orders (client_order_id TEXT PRIMARY KEY, ticker TEXT, side TEXT, price TEXT,"
            " count TEXT, state TEXT, sent_at REAL, order_id TEXT, answer TEXT)"
        )
        for order in orders:
            body = {**order, "client_order_id": str(uuid.uuid4())}
            ledger.execute(
                "INSERT INTO orders (client_order_id, ticker, side, price, count, state, sent_at)"
                " VALUES (?, ?, ?, ?, ?, 'sent', ?)",
                (body["client_order_id"], body["ticker"], body["side"], body["price"], body["count"], time.time()),
            )
            answer = session.post(account.url, headers=account.headers(), json=body, timeout=10)
            ledger.execute(
                "UPDATE orders SET state = 'placed', order_id = ?, answer = ? WHERE client_order_id = ?",
                (_understood(answer), answer.text, body["client_order_id"]),
            )


def _understood(answer: requests.Response) -> str:
    assert answer.status_code == 201, answer.text
    order_id = answer.json()["order_id"]
    assert isinstance(order_id, str)
    return order_id


def bare(venue: Venue, jobs: Sequence[Sequence[OrderRequest]], senders: int) -> None:
    """The venue's own client and no ledger; a job of one order is a single create, else a batched one."""
    events: list[Event] = []

    def send(take: Callable[[], Sequence[OrderRequest] | None]) -> None:
        channel = venue.channel()
        while (job := take()) is not None:
            signed_ms = venue.clock.now_ms()
            if len(job) == 1:
                events.append(venue.orders.create(channel, job[0], signed_ms))
            else:
                events.extend(venue.orders.create_batch(channel, job, signed_ms))
        channel.close()

    _in_threads(send, jobs, senders)
    assert len(events) == sum(map(len, jobs))
    assert all(isinstance(event, Acknowledged) for event in events)


def _in_threads(send: Callable[[Callable[[], Any]], None], jobs: Sequence[Any], senders: int) -> None:
    """`send` in as many threads; what it is given takes the next job, None when there are no more."""
    turn = itertools.count()
    failures: list[BaseException] = []

    def take() -> Any:
        return jobs[n] if (n := next(turn)) < len(jobs) else None

    def run() -> None:
        try:
            send(take)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
