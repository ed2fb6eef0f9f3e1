"""What oms answers with: the records of the command line, the Python API and every export. PURE.

Field names and their meaning are a contract (docs/records.md): additions are free, changes are not. Prices, counts and
fees are the exchange's decimal strings, times RFC 3339 UTC, unknown is None.
"""

from collections.abc import Mapping

import msgspec


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One order, as a person or a bot sees it."""

    client_order_id: str
    order_id: str | None
    environment: str
    batch: str  # its name, or the key oms gave it
    row: int  # ordinal within the batch, from 1
    ticker: str
    side: str  # bid | ask, of the YES book
    price: str  # YES dollars
    action: str  # buy | sell, as entered
    outcome: str  # yes | no, as entered
    outcome_price: str  # dollars of that leg
    count: str
    time_in_force: str
    subaccount: int | None
    tag: str | None
    status: str  # pending | resting | executed | canceled | rejected | unsent
    in_doubt: bool
    late: bool
    preexisting: bool
    fill_count: str
    remaining_count: str | None
    average_fill_price: str | None
    fees: str | None
    attempts: int
    reason: str | None
    detail: str | None
    created_at: str
    sent_at: str | None
    updated_at: str
    state: str  # of its create command: queued, on_wire, in_doubt, accepted, refused, withdrawn, absent, parked
    change_state: str | None  # of its latest amend or decrease
    cancel_state: str | None = None  # of its latest cancel command, if there is one
    order_group_id: str | None = None  # the order group it was placed in


class BreakRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A difference between ledger and exchange that a person should know of.

    Kinds, a closed list: duplicate (a second order under one id), parked (evidence conflicts), lost (an acknowledged
    order the exchange no longer shows), amended (fields differ from the intent), renamed (it got another
    client_order_id elsewhere), fills (trades do not add up to the order's fill_count), late (turned up after its
    absence was concluded), unreadable (a listing held an order that could not be read), no_effect (a cancel, amend or
    decrease that left its order as it was), position (the exchange holds another one than trades and settlements add
    up to), halted (sending is halted).
    """

    kind: str
    client_order_id: str | None
    order_id: str | None
    ticker: str | None
    expected: str
    seen: str
    suggestion: str
    first_seen_at: str | None = None  # of those that are kept: by which reconcile


class ExternalOrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One order at the exchange that this ledger did not make, as it was last seen."""

    order_id: str
    client_order_id: str
    ticker: str
    side: str  # bid | ask
    price: str  # YES dollars
    count: str  # what it was placed with
    fill_count: str
    remaining_count: str
    status: str  # the exchange's word; "ended": it rests no more, and how it ended was not read
    subaccount: int | None
    created_at: str | None
    as_of: str


class OtherCancelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The cancel of one order that this ledger did not place, by its order_id."""

    order_id: str
    client_order_id: str | None  # of this ledger's order beside which it was seen, a second one under one id
    ticker: str | None
    state: str  # of the cancel, as of a command
    status: str  # of the order, as it was last seen: the exchange's word
    reason: str | None
    detail: str | None


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One batch and how far it has come."""

    batch: str
    key: str
    name: str | None
    source: str  # file | stdin | flags | api | retry
    rows: int
    created_at: str
    counts: Mapping[str, int]  # orders by status
    in_doubt: int


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded fact, for `oms why`."""

    at: str
    event: str
    command: str | None  # create | cancel | None for facts about the order
    text: str  # a sentence for people
    data: Mapping[str, object]  # the evidence as recorded


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the ledger knows of one order."""

    order: OrderRecord
    summary: str  # where it stands and what happens next, one or two sentences
    timeline: tuple[TimelineEntry, ...]


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run ended before its queue was empty; `exit_code` is the design's (4, 5, 6, 130, 143)."""

    code: str  # credentials | halted | paused | rate_limited | unreachable | refusals | interrupted
    message: str
    hint: str
    exit_code: int


class SubmitReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run recorded and drained."""

    environment: str
    batch: str | None  # None when it drained what was pending
    recorded: int  # newly recorded by this call
    preexisting: int  # rows that were in the ledger before
    placed_before_at: str | None  # when this very batch was recorded earlier
    counts: Mapping[str, int]  # orders of this run by status
    in_doubt: int
    queued: int
    rejected_now: int  # refused by the exchange during this run
    unsent_now: int
    leftovers: int  # older pending orders of other batches that this run does not send
    stop: Stop | None
    notes: tuple[str, ...]  # sentences for stderr
    seconds: str  # elapsed, for people
    exit_code: int
    batch_key: int | None = None  # of the ledger, for `Oms.run_orders`
    order_keys: tuple[int, ...] = ()  # likewise, when it was not one batch
    others: tuple[OtherCancelRecord, ...] = ()  # of a cancel: orders that this ledger did not place


class ReconcileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one reconcile learned."""

    environment: str
    resolved: int  # commands that left doubt
    found: int
    absent: int
    late: int
    updated: int  # orders whose status or fills moved
    fills: int  # new trades
    in_doubt: int  # what remains
    queued: int
    halted: str | None  # why sending is halted
    external: int  # orders at the exchange that are not ours
    external_fills: int  # new trades of such orders
    settlements: int  # new ones
    breaks: tuple[BreakRecord, ...]
    balance: str | None
    positions: int
    stop: Stop | None
    notes: tuple[str, ...]
    exit_code: int


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ledger and the exchange stand."""

    environment: str
    ledger: str
    ledger_exists: bool
    holder: str | None  # who is sending from it now
    counts: Mapping[str, int]
    halted: str | None  # why sending is halted
    queued: int
    on_wire: int
    in_doubt: int
    parked: int
    oldest_in_doubt_at: str | None
    batches: int
    exchange: str  # open | paused | closed | unreachable | not asked
    base_url: str


class MarketRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One market, enough to place an order."""

    ticker: str
    title: str
    status: str
    yes_bid: str | None
    yes_ask: str | None
    last_price: str | None
    volume: str | None
    close_time: str | None
    price_ranges: tuple[Mapping[str, str], ...]


class FillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of one order; counted once, whatever was shown how often."""

    trade_id: str
    order_id: str
    client_order_id: str | None  # None: its order was made elsewhere
    batch: str | None
    tag: str | None
    ticker: str
    subaccount: int
    side: str  # bid | ask, of the YES book
    price: str  # YES dollars
    count: str
    fee: str  # as the exchange booked it
    is_taker: bool
    at: str


class PositionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Contracts of one market in one subaccount, from our fills, beside what the exchange shows."""

    ticker: str
    subaccount: int
    position: str  # contracts: positive YES, negative NO
    average_price: str | None  # YES dollars, rounded; nothing is computed from it
    cost: str  # of the open contracts, in dollars of the leg that is held
    realized: str  # profit of what was closed, without fees
    fees: str
    price: str | None  # YES dollars that the open contracts are valued at
    price_source: str | None  # bid | ask | last | settlement
    price_at: str | None  # when that was read
    unrealized: str | None
    fills: int
    exchange_position: str | None  # None: it shows none
    exchange_realized: str | None
    exchange_fees: str | None
    exchange_at: str | None  # as of when it shows that
    agrees: bool | None  # whether the counts are equal; None: it does not show what we hold


class PnlRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the trades of one market, day, tag or batch, or of all."""

    key: str | None  # the ticker, day (UTC), tag or batch; None: of no tag, of an order made elsewhere, of all
    fills: int
    volume: str  # contracts
    position: str | None  # contracts that are open; by market only
    realized: str
    fees: str
    unrealized: str | None  # None: by day, or a price is not known
    total: str | None  # realized and unrealized less fees


class PnlReport(msgspec.Struct, frozen=True, kw_only=True):
    """Profit and loss with what it rests on, and what nothing explains."""

    environment: str
    by: str  # market | day | tag | batch
    total: PnlRecord
    lines: tuple[PnlRecord, ...]
    prices_at: str | None  # the oldest price used
    unvalued: tuple[str, ...]  # tickers of open positions of which no price is known
    since: str | None  # of the first reading of a balance
    unexplained: str | None  # by how much balances moved since then beyond all that is known to have moved them
    notes: tuple[str, ...]  # every difference to the exchange's own figures, as sentences
    deposits: str | None = None  # since then, what came to the account, its fees taken off
    withdrawals: str | None = None  # since then, what left it and the fees of that; negative
    transfers: str | None = None  # since then, between subaccounts


class BalanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a balance, and what explains it since the reading before."""

    subaccount: int
    at: str  # the instant it is true of, by the exchange's clock
    balance: str
    portfolio_value: str  # as the exchange tells it, in whole cents
    since: str | None  # the reading before; None: this is the first, and nothing below is known
    moved: str | None
    trades: str | None
    settlements: str | None
    fees: str | None  # taken off
    held: str  # the most that resting orders can hold back at this instant
    unexplained: str | None
    deposits: str | None = None  # their fees taken off
    withdrawals: str | None = None  # with their fees; negative
    transfers: str | None = None  # from and to other subaccounts


class TransferRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came to the account, left it, or went from one subaccount to another, as it was last shown."""

    kind: str  # deposit | withdrawal | transfer
    id: str
    status: str  # pending | applied | failed | returned
    amount: str
    fee: str
    from_subaccount: int | None  # None: from outside the exchange
    to_subaccount: int | None
    created_at: str
    moved_at: str | None  # when it changed a balance
    returned_at: str | None  # when that was undone


class SettlementRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One market that paid, beside what our position in it was worth."""

    ticker: str
    event_ticker: str
    subaccount: int
    settled_at: str
    result: str  # yes | no | scalar
    value: str | None  # dollars that a YES contract paid
    yes_count: str
    no_count: str
    revenue: str  # as the exchange tells it, in whole cents
    position: str  # that our fills add up to before it
    paid: str | None  # what that was worth; None: the value is not known
    realized: str
    difference: str | None  # revenue less paid


class CheckRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `oms doctor` or `oms db check`."""

    name: str
    ok: bool | None  # None: could not be checked
    seen: str
    fix: str


class GroupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One order group."""

    order_group_id: str
    name: str | None  # what it is called in this ledger
    subaccount: int | None
    contracts_limit: str | None  # contracts that may match within 15 seconds
    state: str  # open | triggered | deleted
    orders: int | None  # of this ledger that rest in it
    updated_at: str


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request about no order of this ledger, and what became of it."""

    action: int  # its number in the ledger
    kind: str  # cancel_all | cancel_external | group_create | group_trigger | group_reset | group_limit | group_delete
    target: str  # order_id, order_group_id or the name of a group to be; "" for the whole account
    subaccount: int | None
    state: str  # as of a command: queued, on_wire, in_doubt, accepted, refused, withdrawn, absent, parked
    in_doubt: bool
    attempts: int
    order_group_id: str | None
    reason: str | None
    detail: str | None
    created_at: str


class ActionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run made of one action."""

    environment: str
    action: ActionRecord
    notes: tuple[str, ...]
    exit_code: int
    members: Mapping[str, int] | None = None  # orders that rested in a group, by status after it took them along


class RestingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An order that rests at the exchange, whoever placed it."""

    order_id: str
    ticker: str | None
    subaccount: int | None
    client_order_id: str | None  # None: it is none of this ledger's


class ClearReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to leave nothing resting, and what still rests."""

    environment: str
    withdrawn: int  # queued commands that are not sent any more
    canceled: int  # orders of this ledger that have ended
    external: int  # orders of others that were canceled one by one
    cancel_all: str | None  # state of the exchange's own cancel-all, where it was asked for
    in_doubt: int
    resting: tuple[RestingRecord, ...] | None  # what the exchange still shows; None: it could not be asked
    stop: Stop | None
    notes: tuple[str, ...]
    exit_code: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run has come, for a progress line."""

    phase: str  # recording | sending | resolving | reading
    done: int
    total: int | None
    in_doubt: int = 0
    note: str = ""


EXIT_PRECEDENCE = (3, 4, 130, 143, 7, 5, 6, 1)


def worst(codes: set[int]) -> int:
    """The one exit code of a run to which several apply (design 8); 0 when none does."""
    for code in EXIT_PRECEDENCE:
        if code in codes:
            return code
    return 2 if 2 in codes else 0
