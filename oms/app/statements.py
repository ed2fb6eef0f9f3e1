"""The account's money as records: what `oms.money` makes of the ledger's trades, in text that drops nothing."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from oms.ledger import money, movements
from oms.ledger.ledger import Ledger
from oms.money.books import Books, Line, Market, keep, unvalued
from oms.money.marks import Mark
from oms.money.ties import (
    BalanceTie,
    PositionTie,
    Reading,
    revenue_gap_e8,
    tie_balances,
    tie_positions,
    tie_standings,
)
from oms.records import (
    BalanceRecord,
    FillRecord,
    PnlRecord,
    PnlReport,
    PositionRecord,
    SettlementRecord,
    TransferRecord,
)
from oms.units import format_count, format_dollars, format_dollars_e8, format_time

__all__ = ["BY", "balances", "fills", "held_tickers", "pnl", "positions", "settlements", "transfers"]

BY = ("market", "day", "tag", "batch")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Revenue is told in whole cents.
_CENT_E8 = 1_000_000
# So many differences are told one by one.
_TOLD = 20


def fills(ledger: Ledger, wanted: money.Wanted, limit: int | None) -> Iterator[FillRecord]:
    """Fills, newest first."""
    for row in money.fill_rows(ledger, wanted, limit):
        r = row._mapping
        batch_hex = r["batch_hex"]
        yield FillRecord(
            trade_id=r["trade_id"],
            order_id=r["order_id"],
            client_order_id=r["client_order_id"],
            batch=None if batch_hex is None else r["batch_name"] or batch_hex[:16],
            tag=r["tag"],
            ticker=r["ticker"],
            subaccount=r["subaccount"] if r["subaccount"] is not None else r["order_subaccount"] or 0,
            side=r["side"],
            price=format_dollars(r["price_e6"]),
            count=format_count(r["count_e2"]),
            fee=format_dollars(r["fee_e6"]),
            is_taker=bool(r["is_taker"]),
            at=_time(r["ts_ms"]),
        )


# -- positions --------------------------------------------------------------------------------------------------------


def positions(ledger: Ledger, *, closed: bool = False) -> list[PositionRecord]:
    """Open positions by ticker, with `closed` also those that are flat; each beside the exchange's own."""
    shown = money.positions(ledger)
    books = _books(ledger, shown)
    marks = _marks(ledger, books)
    return [
        _position(tie, marks.get(tie.market), shown.get(tie.market))
        for tie in _ties(books, shown)
        if closed or tie.ours.position_e2 or (tie.seen is not None and tie.seen.position_e2)
    ]


def _position(tie: PositionTie, value: Mark | None, shown: money.Shown | None) -> PositionRecord:
    ours = tie.ours
    is_valued = ours.position_e2 != 0 and value is not None
    return PositionRecord(
        ticker=tie.market.ticker,
        subaccount=tie.market.subaccount,
        position=format_count(ours.position_e2),
        average_price=None if ours.average_price_e6 is None else format_dollars(ours.average_price_e6),
        cost=format_dollars_e8(ours.cost_e8),
        realized=format_dollars_e8(ours.realized_e8),
        fees=format_dollars(ours.fees_e6),
        price=format_dollars(value.price_e6) if value is not None and is_valued else None,
        price_source=value.source if value is not None and is_valued else None,
        price_at=format_time(value.read_at_us) if value is not None and is_valued else None,
        unrealized=_unrealized(tie, value),
        fills=ours.fills,
        exchange_position=None if shown is None else format_count(shown.seen.position_e2),
        exchange_realized=None if shown is None else format_dollars(shown.seen.realized_e6),
        exchange_fees=None if shown is None else format_dollars(shown.seen.fees_e6),
        exchange_at=None if shown is None else _time(shown.as_of_ms),
        agrees=tie.agrees,
    )


def _unrealized(tie: PositionTie, value: Mark | None) -> str | None:
    if not tie.ours.position_e2:
        return format_dollars_e8(0)
    return None if value is None else format_dollars_e8(tie.ours.unrealized_e8(value.price_e6))


def _books(
    ledger: Ledger, shown: dict[Market, money.Shown], by: str = "market", instants: Collection[int] = ()
) -> Books:
    group = by if by in ("tag", "batch") else None
    return keep(
        money.trades(ledger, group),
        money.settlements(ledger),
        grouped=group is not None,
        daily=by == "day",
        watch_ms={market: each.as_of_ms for market, each in shown.items()},
        instants=instants,
    )


def _marks(ledger: Ledger, books: Books) -> dict[Market, Mark | None]:
    tickers = {market.ticker for market, position in books.positions.items() if position.position_e2}
    tickers |= {market.ticker for market in books.groups}
    return books.marks(money.quotes(ledger, tickers))


def _ties(books: Books, shown: dict[Market, money.Shown]) -> list[PositionTie]:
    return tie_positions(books, {market: each.seen for market, each in shown.items()})


def held_tickers(ledger: Ledger) -> set[str]:
    """Markets that a position is open in, by our fills or as the exchange shows it."""
    shown = money.positions(ledger)
    books = keep(money.trades(ledger), money.settlements(ledger))
    held = {market.ticker for market, position in books.positions.items() if position.position_e2}
    return held | {market.ticker for market, each in shown.items() if each.seen.position_e2}


# -- profit and loss --------------------------------------------------------------------------------------------------


def pnl(ledger: Ledger, by: str) -> PnlReport:
    """Profit and loss by market, day, tag or batch, in total, and what does not tie out."""
    shown = money.positions(ledger)
    spans = _spans(ledger)
    books = _books(ledger, shown, by, {reading.as_of_ms for span in spans for reading in span})
    marks = _marks(ledger, books)
    used = [
        value.read_at_us for market, value in marks.items() if value is not None and books.positions[market].position_e2
    ]
    without = tuple(sorted({market.ticker for market in unvalued(books, marks)}))
    ends = tie_standings(books, spans, movements.moved(ledger))
    unexplained_e8 = sum(tie.unexplained_e8 for tie in ends)
    return PnlReport(
        environment=ledger.environment,
        by=by,
        total=_line(None, books.total(marks), is_market=False),
        lines=tuple(_lines(books, marks, by)),
        prices_at=format_time(min(used)) if used else None,
        unvalued=without,
        since=_time(min(tie.earlier.as_of_ms for tie in ends)) if ends else None,
        unexplained=format_dollars_e8(unexplained_e8) if ends else None,
        notes=tuple(_notes(books, shown, without, ends)),
        **{name: _moved(ends, kind) for name, kind in _MOVED.items()},
    )


# The fields that tell of movements, and the kinds of these.
_MOVED = {"deposits": "deposit", "withdrawals": "withdrawal", "transfers": "transfer"}


def _moved(ties: Sequence[BalanceTie], kind: str) -> str | None:
    return format_dollars(sum(tie.moved_by.get(kind, 0) for tie in ties)) if ties else None


def _lines(books: Books, marks: dict[Market, Mark | None], by: str) -> Iterator[PnlRecord]:
    if by == "day":
        for day, line in sorted(books.days.items()):
            yield _line((_EPOCH + timedelta(days=day)).date().isoformat(), line, is_market=False)
        return
    lines: Any = books.by_market(marks) if by == "market" else books.by_group(marks)
    for key in sorted(lines, key=lambda key: (key is None, key)):
        yield _line(key, lines[key], is_market=by == "market")


def _line(key: str | None, line: Line, *, is_market: bool) -> PnlRecord:
    return PnlRecord(
        key=key,
        fills=line.fills,
        volume=format_count(line.volume_e2),
        position=format_count(line.position_e2) if is_market else None,
        realized=format_dollars_e8(line.realized_e8),
        fees=format_dollars(line.fees_e6),
        unrealized=None if line.unrealized_e8 is None else format_dollars_e8(line.unrealized_e8),
        total=None if line.total_e8 is None else format_dollars_e8(line.total_e8),
    )


def _notes(
    books: Books, shown: dict[Market, money.Shown], without: Sequence[str], ends: Sequence[BalanceTie]
) -> Iterator[str]:
    told = [*_position_notes(_ties(books, shown)), *_settlement_notes(books)]
    if without:
        told.append(f"no price is known of {_some(without)}: `oms pnl --quotes` asks for them")
    for tie in ends:
        if not tie.is_explained:
            told.append(
                f"the balance of subaccount {tie.later.subaccount} moved by {format_dollars_e8(tie.unexplained_e8)}"
                f" since {_time(tie.earlier.as_of_ms)} for reasons other than trades, settlements, fees, orders,"
                " deposits, withdrawals and transfers: interest, rewards, or something that is not shown"
            )
    yield from told[:_TOLD]
    if len(told) > _TOLD:
        yield f"and {len(told) - _TOLD} more"


def _position_notes(ties: Iterable[PositionTie]) -> Iterator[str]:
    for tie in ties:
        where = tie.market.ticker if not tie.market.subaccount else f"{tie.market.ticker} of {tie.market.subaccount}"
        ours = format_count(tie.ours.position_e2)
        if tie.agrees is None:
            yield f"{where}: fills add up to {ours}, the exchange shows no position (that alone proves nothing)"
        elif not tie.agrees:
            assert tie.seen is not None
            yield f"{where}: fills add up to {ours}, the exchange shows {format_count(tie.seen.position_e2)}"
        elif tie.fees_gap_e6 and not tie.recent_e2:
            yield f"{where}: the exchange tells {format_dollars(tie.fees_gap_e6)} more in fees than its fills do"


def _settlement_notes(books: Books) -> Iterator[str]:
    for closing in books.closings:
        gap = revenue_gap_e8(closing)
        if gap is None:
            yield f"{closing.settled.ticker}: it settled at a value that the exchange does not tell; left open here"
        elif abs(gap) >= _CENT_E8:
            paid = format_dollars_e8(gap)
            yield f"{closing.settled.ticker}: its settlement paid {paid} more than our position was worth"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


# -- balances and settlements -----------------------------------------------------------------------------------------


def balances(ledger: Ledger, limit: int | None) -> list[BalanceRecord]:
    """Readings of balances, newest first, each explained since the one before it."""
    shots = money.readings(ledger)
    ties = {
        (tie.later.subaccount, tie.later.as_of_ms): tie
        for tie in tie_balances(
            money.trades(ledger),
            money.settlements(ledger),
            [shot.reading for shot in shots],
            movements.moved(ledger),
        )
    }
    newest = shots[::-1] if limit is None else shots[: -limit - 1 : -1]
    return [_balance(shot, ties.get((shot.reading.subaccount, shot.reading.as_of_ms))) for shot in newest]


def _balance(shot: money.Shot, tie: BalanceTie | None) -> BalanceRecord:
    reading = shot.reading
    return BalanceRecord(
        subaccount=reading.subaccount,
        at=_time(reading.as_of_ms),
        balance=format_dollars(reading.balance_e6),
        portfolio_value=format_dollars(shot.portfolio_value_e6, 2),
        since=None if tie is None else _time(tie.earlier.as_of_ms),
        moved=None if tie is None else format_dollars_e8(tie.moved_e8),
        trades=None if tie is None else format_dollars_e8(tie.trades_e8),
        settlements=None if tie is None else format_dollars_e8(tie.settlements_e8),
        fees=None if tie is None else format_dollars(tie.fees_e6),
        held=format_dollars(reading.held_e6),
        unexplained=None if tie is None else format_dollars_e8(0 if tie.is_explained else tie.unexplained_e8),
        **{name: _moved([] if tie is None else [tie], kind) for name, kind in _MOVED.items()},
    )


def transfers(ledger: Ledger, limit: int | None) -> list[TransferRecord]:
    """Deposits, withdrawals and transfers between subaccounts, newest first."""
    return [
        TransferRecord(
            kind=row.kind,
            id=row.movement_id,
            status=row.status,
            amount=format_dollars(row.amount_e6, 2),
            fee=format_dollars(row.fee_e6, 2),
            from_subaccount=row.from_subaccount,
            to_subaccount=row.to_subaccount,
            created_at=_time(row.created_ts * 1000),
            moved_at=None if row.moved_ts is None else _time(row.moved_ts * 1000),
            returned_at=None if row.returned_ts is None else _time(row.returned_ts * 1000),
        )
        for row in movements.movement_rows(ledger, limit)
    ]


def _spans(ledger: Ledger) -> list[tuple[Reading, Reading]]:
    """The first and the last reading of each subaccount that has two."""
    found: dict[int, list[Reading]] = {}
    for shot in money.readings(ledger, lambda rows: rows if len(rows) < 2 else (rows[0], rows[-1])):
        found.setdefault(shot.reading.subaccount, []).append(shot.reading)
    return [(each[0], each[1]) for each in found.values() if len(each) == 2]


def settlements(ledger: Ledger, limit: int | None) -> list[SettlementRecord]:
    """Settlements, newest first, each beside what our fills add up to."""
    details = money.settlement_details(ledger)
    closings = keep(money.trades(ledger), money.settlements(ledger)).closings[::-1]
    records = []
    for closing in closings if limit is None else closings[:limit]:
        settled = closing.settled
        event_ticker, result = details[settled.ticker, settled.subaccount, settled.ts_ms]
        gap_e8, payout_e6 = revenue_gap_e8(closing), settled.payout_e6
        records.append(
            SettlementRecord(
                ticker=settled.ticker,
                event_ticker=event_ticker,
                subaccount=settled.subaccount,
                settled_at=_time(settled.ts_ms),
                result=result,
                value=None if payout_e6 is None else format_dollars(payout_e6),
                yes_count=format_count(settled.yes_count_e2),
                no_count=format_count(settled.no_count_e2),
                revenue=format_dollars(settled.revenue_e6, 2),
                position=format_count(closing.position_e2),
                paid=None if closing.payout_e8 is None else format_dollars_e8(closing.payout_e8),
                realized=format_dollars_e8(closing.realized_e8),
                difference=None if gap_e8 is None else format_dollars_e8(gap_e8),
            )
        )
    return records


def _time(ms: int) -> str:
    return format_time(ms * 1000)
