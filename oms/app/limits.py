"""The trader's own limits at intake, and what is used and left of them.

Judged before anything is recorded: one order too many and the whole batch is refused (exit 5), every such row named.
The order of rows counts: each is held against what is live with all rows before it. Where the market has to be known
it is read first, and what was read is kept in the ledger for its age.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from oms.app.tally import Memory
from oms.config import Config
from oms.errors import LimitExceeded, Problem
from oms.intake.intents import Intent
from oms.ledger import exposure
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle.states import CommandKind, Terms
from oms.risk.checks import Day, MarketFacts, Recent, change_refusal, refusal
from oms.risk.live import Live, LiveOrder
from oms.units import format_dollars

MOST_NAMED = 1_000  # refused orders that are named; the rest is counted
_EMPTY = {"allow_tickers": "all", "deny_tickers": "none"}

Intents = Callable[[], Iterable[Intent]]


class LimitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One limit as it stands. Amounts are decimal text; None is unknown or does not apply."""

    limit: str  # the key in [limits]
    of: str | None  # the market or event, where it is one of several
    allowed: str  # off | the value
    used: str | None
    left: str | None
    unit: str  # contracts | dollars | orders | orders/s | seconds | tickers | ""


def hold(config: Config, memory: Memory, ledger: Ledger, intents: Intents, now_us: int) -> None:
    """Hold orders against the limits before they are recorded; `intents` is read once or twice.

    Raises LimitExceeded naming every order, limit and value (nothing was recorded), and ReadFailed where a market has
    to be known and cannot be read.
    """
    limits = config.limits
    if not limits.is_any:
        return
    markets: dict[str, MarketFacts] = {}
    if limits.needs_market:
        markets = _read(config, memory, ledger, {intent.ticker for intent in intents()}, now_us)
    live = exposure.load(ledger, queued=True).live if limits.needs_live else Live()
    for facts in markets.values():
        if facts.event_ticker:
            live.learn_event(facts.ticker, facts.event_ticker)
    window_us = limits.duplicate_window_us
    recent = Recent() if window_us is None else exposure.recent(ledger, now_us - window_us)
    day = Day() if limits.max_daily_loss_e6 is None else exposure.day(ledger, now_us)
    problems: list[Problem] = []
    first, count = "", 0
    for row, intent in enumerate(intents(), 1):
        order = _order(intent)
        market = markets.get(order.ticker)
        found = refusal(
            limits,
            order,
            live=live,
            market=market,
            recent=recent,
            day=day,
            now_us=now_us,
            reduce_only=intent.reduce_only,
        )
        if found is None:
            live.add(order)
            recent.note(order, now_us)
            continue
        count += 1
        first = first or f"row {row}: {found}"
        if len(problems) < MOST_NAMED:
            problems.append(Problem(None, f"limits.{found.limit}", f"row {row}: {found}"))
    if count:
        raise _exceeded(first, count, tuple(problems))


def _read(
    config: Config, memory: Memory, ledger: Ledger, tickers: Collection[str], now_us: int
) -> dict[str, MarketFacts]:
    from oms.app.facts import connected, read_markets  # the HTTP client: not for limits that need no market

    return read_markets(config.limits, ledger, connected(config, memory), tickers, now_us)


def hold_change(config: Config, memory: Memory, ledger: Ledger, entry: Entry, terms: Terms, now_us: int) -> None:
    """Hold an amend against the limits before it is recorded; `terms` is what it asks for.

    Raises LimitExceeded (nothing was recorded), and ReadFailed where a market has to be known and cannot be read.
    """
    limits = config.limits
    asked = exposure.asked_for(entry, terms)
    if not limits.is_any or asked is None:
        return
    markets = _read(config, memory, ledger, {entry.ticker}, now_us) if limits.needs_market else {}
    kept = exposure.load(ledger, queued=True)
    found = change_refusal(
        limits,
        kept.of(entry.order_key),
        asked,
        live=kept.live,
        market=markets.get(entry.ticker),
        day=Day() if limits.max_daily_loss_e6 is None else exposure.day(ledger, now_us),
        now_us=now_us,
    )
    if found is not None:
        problem = Problem(None, f"limits.{found.limit}", f"order {entry.client_order_id}: {found}")
        raise _exceeded(problem.reason, 1, (problem,))


def _order(intent: Intent) -> LiveOrder:
    return LiveOrder(intent.ticker, intent.side, intent.price_e6, intent.count_e2, intent.subaccount or 0)


def _exceeded(first: str, count: int, problems: tuple[Problem, ...]) -> LimitExceeded:
    what = first if count == 1 else f"{count} orders are over your limits, the first is {first}"
    return LimitExceeded(
        f"{what}; nothing was recorded and nothing was sent",
        hint="`oms limits` shows what is used and left; the limits stand under [limits] in the configuration",
        problems=problems,
    )


# -- what is used and left --------------------------------------------------------------------------------------------


def records(config: Config, ledger: Ledger | None, now_us: int) -> Iterator[LimitRecord]:
    """Every limit in the order of the configuration, with what is used and left of it. Reads the ledger only."""
    limits = config.limits
    shown = {key.removeprefix("limits."): text for key, text, _ in config.rows() if key.startswith("limits.")}
    live = Live() if ledger is None else exposure.load(ledger, queued=True).live
    for name, text in shown.items():
        match name:
            case "max_open_orders":
                yield _counted(name, limits.max_open_orders, live.open_orders, "orders")
            case "max_market_exposure_dollars":
                yield from _by_name(name, limits.max_market_exposure_e6, _markets(live))
            case "max_event_exposure_dollars":
                yield from _by_name(name, limits.max_event_exposure_e6, _events(live))
            case "max_total_exposure_dollars":
                yield _money(name, limits.max_total_exposure_e6, live.total_e8)
            case "max_orders_per_s":
                yield _counted(name, limits.max_orders_per_s, _sent_last_second(ledger, now_us), "orders/s")
            case "max_daily_loss_dollars":
                lost_e6 = 0 if ledger is None else max(0, -exposure.day(ledger, now_us).realized_e6)
                yield _money(name, limits.max_daily_loss_e6, lost_e6 * 100)
            case _:
                yield LimitRecord(
                    limit=name, of=None, allowed=text or _EMPTY[name], used=None, left=None, unit=_unit(name)
                )


def _unit(name: str) -> str:
    endings = {"_dollars": "dollars", "_count": "contracts", "_s": "seconds", "_tickers": "tickers"}
    return next((unit for ending, unit in endings.items() if name.endswith(ending)), "")


def _markets(live: Live) -> dict[str, int]:
    return {ticker: live.market_e8(ticker) for ticker in live.tickers}


def _events(live: Live) -> dict[str, int]:
    return {event: live.event_e8(event) for event in {live.event(ticker) for ticker in live.tickers}}


def _by_name(name: str, allowed_e6: int | None, exposures: dict[str, int]) -> Iterator[LimitRecord]:
    """The largest first; without a limit the largest alone, without anything live one line all the same."""
    largest = sorted(((e8, of) for of, e8 in exposures.items() if e8), reverse=True)
    for e8, of in largest if allowed_e6 is not None else largest[:1]:
        yield _money(name, allowed_e6, e8, of)
    if not largest:
        yield _money(name, allowed_e6, 0)


def _money(name: str, allowed_e6: int | None, used_e8: int, of: str | None = None) -> LimitRecord:
    used_e6 = -(-used_e8 // 100)
    return LimitRecord(
        limit=name,
        of=of,
        allowed="off" if allowed_e6 is None else format_dollars(allowed_e6, 2),
        used=format_dollars(used_e6, 2),
        left=None if allowed_e6 is None else format_dollars(max(0, allowed_e6 - used_e6), 2),
        unit="dollars",
    )


def _counted(name: str, allowed: int | None, used: int, unit: str) -> LimitRecord:
    left = None if allowed is None else str(max(0, allowed - used))
    return LimitRecord(
        limit=name, of=None, allowed="off" if allowed is None else str(allowed), used=str(used), left=left, unit=unit
    )


def _sent_last_second(ledger: Ledger | None, now_us: int) -> int:
    if ledger is None:
        return 0
    recent = exposure.recent_writes(ledger, now_us // 1000 - 999)
    return sum(kind is CommandKind.CREATE for _, kind in recent)
