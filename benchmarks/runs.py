"""What the benchmarks of sending share: a key, a configuration, orders, and one real sending run."""

import json
import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from oms import Oms
from oms.app.drive import Drive
from oms.app.intake import offer_objects
from oms.app.session import Endpoint, Session, connect, endpoint, key_print, take_lock
from oms.app.tally import Memory
from oms.config import Config, load
from oms.intake.intents import request_body
from oms.interrupt import Interrupt
from oms.ledger import queries
from oms.ledger.claim import Scope
from oms.ledger.ledger import Ledger, open_ledger
from oms.records import Progress
from oms.venue.clock import system_now_us
from oms.venue.door import Venue
from oms.venue.keys import load_key
from oms.venue.orders import OrderRequest


def make_key(directory: Path) -> Path:
    """A fresh RSA-2048 key file that only this user can read; one of each directory."""
    path = directory / "key.pem"
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    return path


def configured(ledger: Path, base_url: str, key: Path, *, senders: int = 16, batch_size: str = "1") -> Config:
    """The configuration of a run against the stub, from flags alone."""
    flags = {
        "environment": "sandbox",
        "venue.sandbox.base_url": base_url,
        "venue.sandbox.key_id": "benchmark",
        "venue.sandbox.private_key_path": str(key),
        "ledger.url": f"sqlite:///{ledger}",
        "submit.concurrency": str(senders),
        "submit.batch_size": batch_size,
    }
    return load(flags, {"HOME": str(ledger.parent)})


def orders(count: int) -> Iterator[dict[str, object]]:
    """Rows as people write them."""
    for n in range(count):
        yield {
            "ticker": f"KXBENCH-26-T{n % 50}",
            "action": "buy",
            "side": ("yes", "no")[n % 2],
            "count": 1 + n % 40,
            "price": f"0.{1 + n % 98:02d}",
        }


def requests_of(count: int) -> list[OrderRequest]:
    """The same orders as the venue's client takes them, with ids of their own."""
    intents = offer_objects(orders(count), None, "api", 0).intents()
    return [OrderRequest(request_body(x), x.client_order_id, 1) for x in intents]


def wires(count: int) -> list[dict[str, str]]:
    """The same orders as the exchange takes them, without their ids."""
    bodies = [json.loads(request.body) for request in requests_of(count)]
    return [{name: value for name, value in body.items() if name != "client_order_id"} for body in bodies]


def submit_all(config: Config, rows: list[dict[str, object]], url: str, tls: ssl.SSLContext | None = None) -> None:
    """All that `Oms.submit` does, from rows to its report; every order is acknowledged on return.

    `url` may be one that a configuration of the sandbox refuses: https on loopback, trusted by `tls`.
    """
    where = Endpoint(url, config.venue.key_id, config.venue.private_key_path or Path())
    key = load_key(str(where.private_key_path), None)
    venue = Venue.connect(url, where.key_id, key, config.venue.timeout_s, tls=tls)
    with Oms(config, Interrupt(), memory=Memory(where=where, venue=venue)) as oms:
        report = oms.submit(rows)
    assert report.exit_code == 0, report
    assert report.counts == {"resting": len(rows)}, report.counts


@dataclass(frozen=True, slots=True)
class Sent:
    """One run that sent everything that was queued."""

    start_s: float  # from the open ledger to an open session: epoch, recovery, limits and account read
    send_s: float  # the whole of the drive: first claim to the last answer durable, threads started and ended
    cpu_s: float  # of this process during send_s


def send_all(config: Config) -> Sent:
    """Send what is queued in the ledger as `oms submit` without FILE does; every order is acknowledged on return."""
    ledger = open_ledger(config.ledger_url, config.environment, create=False, now_us=system_now_us())
    try:
        return _send_all(config, ledger)
    finally:
        ledger.close()


def _send_all(config: Config, ledger: Ledger) -> Sent:
    interrupt = Interrupt()
    begun = time.perf_counter()
    where = endpoint(config)
    venue = connect(config, where)
    assert take_lock(ledger, 0, interrupt, lambda: False)
    session = Session(config, ledger, venue, key_print(where.key_id), interrupt)
    session.open("submit", _silent)
    opened, cpu = time.perf_counter(), time.process_time()
    drive = Drive(session, Scope(), _silent)
    drive.go()
    ended, cpu_ended = time.perf_counter(), time.process_time()
    ledger.end_epoch()
    totals = queries.totals(ledger)
    assert drive.stop is None, drive.stop
    assert totals.queued + totals.doubtful == 0, totals
    return Sent(opened - begun, ended - opened, cpu_ended - cpu)


def _silent(progress: Progress) -> None:
    """Nobody looks."""
