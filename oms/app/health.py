"""Questions about the surroundings: status, markets, doctor. Reads only; creates and changes nothing."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from oms.app.session import connect, endpoint
from oms.config import Config
from oms.errors import CredentialsError, LedgerMissing, OmsError
from oms.ledger import listing, queries
from oms.ledger.engine import real_path, sqlite_version
from oms.ledger.halt import HaltFile
from oms.ledger.ledger import Ledger, open_ledger
from oms.ledger.lock import Locks
from oms.records import CheckRecord, MarketRecord, StatusReport
from oms.units import format_count, format_dollars, format_time
from oms.venue.door import Venue
from oms.venue.markets import Market

_LEAST_FREE_BYTES = 200 * 1024 * 1024
_CLOCK_SLACK_MS = 2_000
# Kalshi's markets are listed by the thousand; "all" is bounded all the same.
_MOST_MARKETS = 100_000


def status(config: Config, ledger: Ledger | None, *, ask_exchange: bool) -> StatusReport:
    """Where ledger and exchange stand."""
    counts: dict[str, int] = {}
    totals = queries.Totals(0, 0, 0, 0)
    holder: str | None = None
    doubt_us: int | None = None
    halted: str | None = None
    if ledger is not None:
        counts, totals = listing.counts_all(ledger), queries.totals(ledger)
        holder = ledger.locks.holder() if ledger.locks.is_writer_held_elsewhere() else None
        doubt_us = listing.oldest_doubt_us(ledger)
        halted = queries.halt_reason(ledger)
    elif (by_file := HaltFile(real_path(config.ledger_url)).read()) is not None:
        halted = by_file.reason
    return StatusReport(
        environment=config.environment,
        ledger=str(real_path(config.ledger_url)),
        ledger_exists=ledger is not None,
        holder=holder,
        counts=counts,
        halted=halted,
        queued=totals.queued,
        on_wire=totals.on_wire,
        in_doubt=totals.in_doubt,
        parked=totals.parked,
        oldest_in_doubt_at=format_time(doubt_us) if doubt_us is not None else None,
        batches=len(listing.batch_rows(ledger)) if ledger is not None else 0,
        exchange=_exchange_word(config) if ask_exchange else "not asked",
        base_url=config.venue.base_url,
    )


def _exchange_word(config: Config) -> str:
    try:
        found = public_venue(config).exchange.status()
    except OmsError:
        return "unreachable"
    if not found.exchange_active:
        return "closed"
    return "open" if found.trading_active else "paused"


def public_venue(config: Config) -> Venue:
    """A venue for public reads: signed where there is a key, because some of them want it, unsigned otherwise."""
    try:
        return connect(config, endpoint(config))
    except CredentialsError:
        return Venue.connect(config.venue.base_url, "", None, config.venue.timeout_s)


def markets(config: Config, *, status: str | None, search: str | None, limit: int | None) -> Iterator[MarketRecord]:
    """Markets as records, in the exchange's order. Raises ReadFailed."""
    found = public_venue(config).markets.markets(status=status, search=search, limit=limit or _MOST_MARKETS)
    return (_market_record(market) for market in found)


def _market_record(market: Market) -> MarketRecord:
    def dollars(value_e6: int | None) -> str | None:
        return None if value_e6 is None else format_dollars(value_e6)

    return MarketRecord(
        ticker=market.ticker,
        title=market.title,
        status=market.status,
        yes_bid=dollars(market.yes_bid_e6),
        yes_ask=dollars(market.yes_ask_e6),
        last_price=dollars(market.last_price_e6),
        volume=None if market.volume_e2 is None else format_count(market.volume_e2),
        close_time=market.close_time or None,
        price_ranges=tuple(
            {
                "start": format_dollars(each.start_e6),
                "end": format_dollars(each.end_e6),
                "step": format_dollars(each.step_e6),
            }
            for each in market.price_ranges
        ),
    )


# -- doctor -----------------------------------------------------------------------------------------------------------


def doctor(config: Config) -> Iterator[CheckRecord]:
    """One record for each thing oms needs, in the order in which they build on each other."""
    yield CheckRecord(
        name="python", ok=sys.version_info >= (3, 11), seen=platform.python_version(), fix="use 3.11 or later"
    )
    yield _sqlite_check()
    yield CheckRecord(name="environment", ok=True, seen=config.environment, fix="")
    for warning in config.warnings:
        yield CheckRecord(name="configuration", ok=False, seen=warning, fix="see docs/configuration.md")
    yield from _ledger_checks(config)
    yield from _venue_checks(config)


def _sqlite_check() -> CheckRecord:
    version = sqlite_version()
    seen = ".".join(map(str, version))
    if version < (3, 37, 0):
        return CheckRecord(name="sqlite", ok=False, seen=seen, fix="oms needs 3.37 or later (STRICT tables)")
    if version < (3, 51, 3):
        seen += " (its WAL-reset bug is kept away by oms's own locks)"
    return CheckRecord(name="sqlite", ok=True, seen=seen, fix="")


def _ledger_checks(config: Config) -> Iterator[CheckRecord]:
    path = real_path(config.ledger_url)
    folder = next(parent for parent in path.parents if parent.exists())
    free = shutil.disk_usage(folder).free
    yield CheckRecord(
        name="disk",
        ok=free >= _LEAST_FREE_BYTES and os.access(folder, os.W_OK),
        seen=f"{free // (1024 * 1024)} MB free at {folder}",
        fix="free some space, or make the folder writable: a full disk stops sending",
    )
    kind = _file_system(folder)
    yield CheckRecord(
        name="file system",
        ok=kind not in ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"),
        seen=kind or "unknown",
        fix="keep the ledger on a local disk: SQLite's WAL does not work over a network",
    )
    try:
        ledger = open_ledger(config.ledger_url, config.environment, create=False)
    except LedgerMissing:
        yield CheckRecord(name="ledger", ok=True, seen=f"none yet at {path}", fix="")
        return
    except OmsError as exc:
        yield CheckRecord(name="ledger", ok=False, seen=exc.message, fix=exc.hint)
        return
    try:
        yield from _open_ledger_checks(ledger)
    finally:
        ledger.close()


def _open_ledger_checks(ledger: Ledger) -> Iterator[CheckRecord]:
    from oms.ledger.check import check_tail

    mode = ledger.path.stat().st_mode & 0o777
    yield CheckRecord(
        name="ledger", ok=mode & 0o077 == 0, seen=f"{ledger.path}, mode {mode:o}", fix=f"chmod 600 {ledger.path}"
    )
    yield _tried("ledger tail", lambda: check_tail(ledger), "the newest events hang together", "run `oms db check`")
    totals = queries.totals(ledger)
    yield CheckRecord(
        name="in doubt",
        ok=totals.in_doubt + totals.parked == 0,
        seen=f"{totals.doubtful} in doubt, {totals.parked} of them parked; {totals.queued} queued",
        fix="run `oms reconcile`; parked orders need `oms resolve`",
    )
    reason = queries.halt_reason(ledger)
    yield CheckRecord(
        name="halt", ok=reason is None, seen=reason or "not halted", fix="find out why before sending goes on"
    )
    held = Locks(ledger.path)
    try:
        is_held = held.is_writer_held_elsewhere()
        yield CheckRecord(name="writer lock", ok=True, seen=held.holder() if is_held else "free", fix="")
    finally:
        held.close()


def _venue_checks(config: Config) -> Iterator[CheckRecord]:
    try:
        venue = connect(config, endpoint(config))
    except OmsError as exc:
        yield CheckRecord(name="credentials", ok=False, seen=exc.message, fix=exc.hint)
        return
    key = venue.transport.key
    assert key is not None
    yield _tried("credentials", key.check, f"{key.kind} key", "make a new key on the website")
    exchange = _tried("exchange", venue.exchange.status, config.venue.base_url or "sandbox", "check the network")
    yield exchange
    offset_ms = venue.clock.offset_us // 1000
    yield CheckRecord(
        name="clock",
        ok=abs(offset_ms) <= _CLOCK_SLACK_MS if exchange.ok else None,
        seen=f"{offset_ms} ms from the exchange's" if exchange.ok else "not compared",
        fix="synchronize this machine's clock: signatures carry the time",
    )
    yield _tried("account", venue.learn_limits, "the key is accepted", "check key id, environment and scopes")


def _tried(name: str, attempt: Callable[[], object], seen: str, fix: str) -> CheckRecord:
    try:
        attempt()
    except OmsError as exc:
        return CheckRecord(name=name, ok=False, seen=exc.message, fix=exc.hint or fix)
    return CheckRecord(name=name, ok=True, seen=seen, fix="")


def _file_system(folder: Path) -> str:
    """The type of the file system of a folder, by the longest mount point above it; "" where that cannot be told."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = {parts[1]: parts[2] for parts in (line.split() for line in lines) if len(parts) > 2}
    target = str(folder.resolve())
    fitting = [m for m in mounts if target == m or target.startswith(m.rstrip("/") + "/")]
    return mounts[max(fitting, key=len)] if fitting else ""
