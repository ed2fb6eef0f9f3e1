"""`oms verify`: the judge over a ledger in use, and what the exchange says of its account at this moment.

Reads alone: it makes, upgrades and locks nothing. The exchange's answers are fetched through `oms.venue`, which walks
the pages and refuses a listing that cannot be trusted; what the judge gets are the bodies as they came.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from oms.app.session import connect, endpoint
from oms.config import Config
from oms.config.hosts import HOSTS
from oms.errors import LedgerFailed, LedgerForeign, LedgerMissing, OmsError, ReadFailed
from oms.lab.judge import Checked, Raw, Whose, examine, whose
from oms.ledger.engine import real_path
from oms.venue.door import Venue
from oms.venue.limiter import Limiter
from oms.venue.transport import Answer, Channel, Request, Transport

# The exchange compares whole seconds, and our clock may have been off when the oldest order was recorded.
_PADDING_MS = 3_600_000


class NotAnExchange(OmsError):
    """The file that was named is no sandbox exchange's."""

    code = "bad_exchange_file"
    exit_code = 2


def verify(config: Config, *, is_offline: bool, exchange: Path | None) -> list[Checked]:
    """Every rule that can be asked of the configured ledger, with what it found; nothing is changed.

    With `exchange` the other side is that sandbox's database file, offline there is none, else it is the configured
    exchange. Raises LedgerMissing, LedgerForeign, LedgerFailed, NotAnExchange, CredentialsError, ReadFailed.
    """
    path = real_path(config.ledger_url)
    with _named(path):
        found = _checked_owner(path, config.environment)
    other: Path | Raw | None = exchange
    if exchange is None and not is_offline and found is not None:
        venue = connect(config, endpoint(config))
        _check_exchange(config, venue.transport.host.name, found)
        other = fetch(venue, found)
    try:
        with _named(path, exchange):
            return examine(path, other, is_quiet=True, is_level=other is not None, is_alone=False)
    except ValueError as exc:
        raise ReadFailed(
            f"the exchange's answers cannot be read: {exc}", hint="run it again, then `oms doctor`"
        ) from exc


def _checked_owner(path: Path, environment: str) -> Whose | None:
    if not path.exists():
        raise LedgerMissing(f"there is no ledger at {path}", hint="`oms submit` makes one with its first order")
    found = whose(path)
    if found is not None and found.environment != environment:
        raise LedgerForeign(
            f"the ledger {path} belongs to environment {found.environment}, not {environment}",
            hint="set ledger.url, or choose the environment it belongs to with --env",
        )
    return found


def _check_exchange(config: Config, host: str, found: Whose) -> None:
    """Refuse another exchange than the ledger's before it is asked anything."""
    name = f"kalshi {config.environment}" if host in HOSTS[config.environment] else host
    if found.host not in (None, name):
        raise LedgerForeign(
            f"the ledger belongs to the exchange at {found.host}, not {name}",
            hint="set ledger.url, or the base_url that it belongs to",
        )


@contextmanager
def _named(path: Path, exchange: Path | None = None) -> Iterator[None]:
    """Name what SQLite and the file system say for the caller."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise _failure(path, exchange, exc) from exc


def _failure(path: Path, exchange: Path | None, exc: Exception) -> OmsError:
    if exchange is not None:
        return NotAnExchange(
            f"{exchange} cannot be read as the file of a sandbox exchange: {exc}",
            hint="name the exchange.sqlite3 in the sandbox's directory",
        )
    name = getattr(exc, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB" or "no such table" in str(exc):
        return LedgerForeign(f"{path} is not a ledger: {exc}", hint="name another file with ledger.url")
    return LedgerFailed(f"the ledger {path} cannot be read: {exc}", hint="check the permissions, then `oms db check`")


# -- the exchange's answers -----------------------------------------------------------------------------------------


def fetch(venue: Venue, about: Whose) -> Raw:
    """Read the account's orders, trades and positions as far back as the ledger goes.

    Raises ReadFailed, CredentialsError.
    """
    recorder = _Recorder(venue.transport)
    reading = Venue(cast(Transport, recorder), Limiter())
    as_of_ms = reading.exchange.user_data_timestamp_ms()
    since_ms = max(0, (as_of_ms if about.oldest_ms is None else min(as_of_ms, about.oldest_ms)) - _PADDING_MS)
    min_ts = since_ms // 1000
    cutoff = reading.exchange.historical_cutoff()
    # Historical ones second: what becomes historical meanwhile is in one of the two.
    listings: list[Iterable[object]] = [
        reading.account.list_orders(min_ts=min_ts),
        reading.account.fills(min_ts=min_ts),
    ]
    if cutoff.orders_updated_ms > since_ms:
        listings.append(reading.account.historical_orders(min_ts=min_ts))
    if cutoff.trades_created_ms > since_ms:
        listings.append(reading.account.historical_fills(min_ts=min_ts))
    for listing in (*listings, reading.account.positions()):
        for _ in listing:
            pass  # walked for the bodies, and for the walk's own doubts
    kept = recorder.bodies
    return Raw(
        as_of_ms=as_of_ms,
        orders=[*kept["/portfolio/orders"], *kept["/historical/orders"]],
        fills=[*kept["/portfolio/fills"], *kept["/historical/fills"]],
        positions={0: kept["/portfolio/positions"]},
    )


class _Recorder:
    """A transport that keeps the bodies of what was answered well, by path, before anybody has read them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.key = transport.key
        self.clock = transport.clock
        self.timeout_s = transport.timeout_s
        self.bodies: defaultdict[str, list[bytes]] = defaultdict(list)

    def channel(self) -> "_RecordingChannel":
        return _RecordingChannel(self._transport.channel(), self.bodies)


class _RecordingChannel:
    def __init__(self, channel: Channel, bodies: defaultdict[str, list[bytes]]) -> None:
        self._channel = channel
        self._bodies = bodies

    def read(self, request: Request, timeout_s: float) -> Answer:
        answer = self._channel.read(request, timeout_s)
        if answer.status == 200:
            self._bodies[request.path].append(answer.body)
        return answer
