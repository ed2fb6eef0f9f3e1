"""Our books against what was just shown: positions that do not tie out, and a balance that moved for other reasons.

Called at the end of a pass over the books, when all that it has read is recorded. What ties out costs nothing here
while nothing is new.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from oms import compare
from oms.errors import CredentialsError, ReadFailed
from oms.ledger import books, money, movements, queries, ties
from oms.ledger.ledger import Ledger
from oms.money.books import Market
from oms.money.ties import BALANCE_STEP_E8, BalanceTie, Ours, Reading, Sighting, tie_balances, weigh
from oms.records import BreakRecord
from oms.venue.account import Account
from oms.venue.movements import MOVEMENT_LISTS, Movement, MovementKind

__all__ = ["Pass", "explain_balances", "tie_positions"]

# Watermarks, in ms of the exchange's clock.
POSITIONS_TIED = "positions_tied"  # every position that was shown was held against all that had been traded until then
MOVEMENTS_ASKED = "movements_asked"  # deposits, withdrawals and transfers were asked for then
UNEXPLAINED = "balance_unexplained"  # a balance had moved by then for no reason that was known
# So often every position is held against its trades although nothing is new.
_EVERY_MS = 3_600_000
# A position may still be shown when its market has settled, and settle when it is shown no more.
_SETTLING_MS = 600_000


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass over the books has read."""

    as_of_ms: int
    horizon_ms: int
    now_us: Callable[[], int]
    has_news: bool  # trades or settlements that were not known, positions that were shown otherwise before
    is_whole: bool  # whatever was shown could be read
    is_thorough: bool  # asked to look at everything again
    shown: Mapping[Market, Sighting]  # every position of the subaccounts that were read
    subaccounts: frozenset[int]  # those that were read to the end


# -- positions --------------------------------------------------------------------------------------------------------


def tie_positions(ledger: Ledger, read: Pass) -> list[BreakRecord]:
    """Hold what was shown against what was traded; the breaks that stand. Durable on return. Raises EpochLost."""
    noted = ties.untied(ledger)
    if read.is_whole:
        noted = _weighed(ledger, read, noted)
    proven = defaultdict(list)
    for market, each in sorted(noted.items()):
        if each.is_proven:
            proven[market.ticker].append((market.subaccount, each.ours_e2, each.position_e2))
    return [compare.position_break(ticker, differing) for ticker, differing in proven.items()]


def _weighed(ledger: Ledger, read: Pass, noted: dict[Market, ties.Untied]) -> dict[Market, ties.Untied]:
    is_due = _is_due(ledger, read)
    # What is not shown proves nothing, except that nothing is held where we hold nothing either.
    missing = {market for market in noted if market.subaccount in read.subaccounts and market not in read.shown}
    wanted = set(read.shown) if is_due else read.shown.keys() & noted.keys()
    if wanted or missing:
        noted = _held_against(ledger, read, noted, wanted, missing)
    if is_due:
        books.note_watermark(ledger, POSITIONS_TIED, read.as_of_ms, read.now_us())
    return noted


def _is_due(ledger: Ledger, read: Pass) -> bool:
    tied_ms = queries.watermark(ledger, POSITIONS_TIED)
    if tied_ms is None or read.has_news or read.is_thorough or read.as_of_ms - tied_ms >= _EVERY_MS:
        return True
    return ties.newest_trade_ms(ledger) > tied_ms  # recorded by a pass that did not get here


def _held_against(
    ledger: Ledger, read: Pass, noted: dict[Market, ties.Untied], wanted: set[Market], missing: set[Market]
) -> dict[Market, ties.Untied]:
    kept = ties.kept(ledger, {market.ticker for market in wanted | missing})
    newest = _newest_trades(ledger, min([read.as_of_ms, *(each.as_of_ms for each in noted.values())]) - read.horizon_ms)
    has_subaccounts = books.balances_read(ledger).keys() > {0}
    changed: dict[Market, ties.Untied] = {}
    nothing = ties.Kept(0, None, is_placed=True)
    tied = {market for market in missing if not kept.get(market, nothing).position_e2}
    for market in wanted:
        ours = kept.get(market, nothing)
        before = noted.get(market)
        if not _can_tell(ours, before, read, has_subaccounts=has_subaccounts):
            continue
        verdict = weigh(
            read.shown[market],
            None if before is None else Sighting(*before[2:5], is_proven=bool(before.is_proven)),
            Ours(ours.position_e2, newest[market]),
            read.horizon_ms,
        )
        if verdict is None:
            tied |= {market} & noted.keys()
        elif before is None or verdict[:3] != before[2:5] or verdict.is_proven:
            changed[market] = ties.Untied(*market, *verdict[:3], ours.position_e2, int(verdict.is_proven))
    ties.forget_untied(ledger, tied)
    ties.note_untied(ledger, changed.values())
    return {market: each for market, each in {**noted, **changed}.items() if market not in tied}


def _can_tell(ours: ties.Kept, before: ties.Untied | None, read: Pass, *, has_subaccounts: bool) -> bool:
    """Whether anything follows: not while its market settles, nor where a trade may be another subaccount's."""
    since_ms = (read.as_of_ms if before is None else before.as_of_ms) - _SETTLING_MS
    is_settling = ours.settled_ms is not None and ours.settled_ms >= since_ms
    return not is_settling and (ours.is_placed or not has_subaccounts)


def _newest_trades(ledger: Ledger, since_ms: int) -> dict[Market, list[tuple[int, int]]]:
    found: dict[Market, list[tuple[int, int]]] = defaultdict(list)
    for trade in ties.trades_since(ledger, since_ms):
        found[Market(trade.ticker, trade.subaccount)].append((trade.ts_ms, trade.signed_e2))
    return found


# -- balances ---------------------------------------------------------------------------------------------------------


def explain_balances(ledger: Ledger, account: Account, read: Pass) -> None:
    """Ask for deposits, withdrawals and transfers where a balance has moved by more than trading explains.

    What resting orders may hold back could hide one, so they count for nothing here. Whatever the answer is, the pass
    goes on: a key may not see these lists. They may lag too: what is still unexplained is asked about once more after a
    horizon. Durable on return. Raises EpochLost.
    """
    asked_ms, now_us = queries.watermark(ledger, MOVEMENTS_ASKED), read.now_us
    ties_now = _balance_ties(ledger, read)
    unexplained_ms = queries.watermark(ledger, UNEXPLAINED) or 0
    is_open = bool(unexplained_ms) and (asked_ms or 0) < unexplained_ms + read.horizon_ms
    has_gap = any(abs(tie.gap_e8) >= BALANCE_STEP_E8 for tie in ties_now)
    if asked_ms is not None and not (read.is_thorough or is_open or has_gap):
        return
    for kind in MOVEMENT_LISTS:
        with suppress(ReadFailed, CredentialsError):
            movements.note_movements(ledger, [_seen(each) for each in account.movements(kind)], now_us())
    books.note_watermark(ledger, MOVEMENTS_ASKED, read.as_of_ms, now_us())
    if has_gap and not all(tie.is_explained for tie in _balance_ties(ledger, read)):
        books.note_watermark(ledger, UNEXPLAINED, read.as_of_ms, now_us())


def _seen(found: Movement) -> movements.SeenMovement:
    kind: MovementKind = found.kind
    return movements.SeenMovement(
        *(kind, found.movement_id, found.status, found.from_subaccount, found.to_subaccount),
        *(found.amount_e6, found.fee_e6, found.created_ts, found.finalized_ts),
    )


def _balance_ties(ledger: Ledger, read: Pass) -> list[BalanceTie]:
    """Of every balance just read that may have moved since it was read before: what it moved by, and why."""
    pairs = [money.last_readings(ledger, of, even_if_equal=read.has_news) for of in sorted(read.subaccounts)]
    return [_tie(ledger, pair) for pair in pairs if pair is not None and pair[1].as_of_ms >= read.as_of_ms]


def _tie(ledger: Ledger, pair: tuple[Reading, Reading]) -> BalanceTie:
    of, since_ms = pair[0].subaccount, pair[0].as_of_ms
    trades = [trade for trade in ties.trades_since(ledger, since_ms) if trade.subaccount == of]
    settled = [each for each in money.settlements(ledger) if each.ts_ms > since_ms and each.subaccount == of]
    held = ties.kept(ledger, {each.ticker for each in trades} | {each.ticker for each in settled}, since_ms)
    counts = {market: each.position_e2 for market, each in held.items()}
    (tie,) = tie_balances(trades, settled, pair, movements.moved(ledger), counts)
    return tie
