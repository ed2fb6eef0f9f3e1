"""The words for what one request and one order can be, and the two records that carry them. PURE.

A *command* is one thing we asked the exchange to do (create, cancel, ...); its state says whether it may have had an
effect. An *order* is what the exchange has, as far as we were shown. Both are projections of the events (P7).
"""

from enum import StrEnum

import msgspec


class Side(StrEnum):
    """Side of the YES book: bid buys YES, ask sells YES (which is buying NO at one minus the price)."""

    BID = "bid"
    ASK = "ask"


class Action(StrEnum):
    """What a trader says he does."""

    BUY = "buy"
    SELL = "sell"


class Outcome(StrEnum):
    """The leg a trader says he does it with."""

    YES = "yes"
    NO = "no"


class TimeInForce(StrEnum):
    """How long an order may rest."""

    GOOD_TILL_CANCELED = "good_till_canceled"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    FILL_OR_KILL = "fill_or_kill"


class SelfTradePrevention(StrEnum):
    """Which of two own orders yields when they would meet."""

    TAKER_AT_CROSS = "taker_at_cross"
    MAKER = "maker"


class Resend(StrEnum):
    """What becomes of a create whose absence was proven, or that is in doubt (at_once)."""

    WHEN_ABSENT = "when_absent"
    AT_ONCE = "at_once"
    NEVER = "never"


class CommandKind(StrEnum):
    """What a request asks for."""

    CREATE = "create"
    CANCEL = "cancel"
    AMEND = "amend"
    DECREASE = "decrease"


# Change what rests of an order: one at a time for each order, and a cancel makes those that wait needless.
MODIFIES = (CommandKind.AMEND, CommandKind.DECREASE)


class ActionKind(StrEnum):
    """What a request about no order of this ledger asks for."""

    CANCEL_ALL = "cancel_all"
    CANCEL_EXTERNAL = "cancel_external"
    GROUP_CREATE = "group_create"
    GROUP_TRIGGER = "group_trigger"
    GROUP_RESET = "group_reset"
    GROUP_LIMIT = "group_limit"
    GROUP_DELETE = "group_delete"


class CommandState(StrEnum):
    """What became of one request. The comment says who moves it on, after a crash too."""

    QUEUED = "queued"  # durable; the submitter claims it; no attempt of it may be live
    ON_WIRE = "on_wire"  # claimed by a running process; its answer moves it, or the next start calls it in doubt
    IN_DOUBT = "in_doubt"  # the reconciler moves it, on evidence only
    ACCEPTED = "accepted"  # final: a definite yes
    REFUSED = "refused"  # final unless found: a definite no to every attempt
    WITHDRAWN = "withdrawn"  # final unless found: ended while no attempt could be live
    ABSENT = "absent"  # absence of every attempt was proven; watched all the same
    PARKED = "parked"  # evidence conflicts; a person decides; counts as in doubt


# The states a run has to do something about. The ledger's partial index repeats exactly this list.
UNFINISHED = (CommandState.QUEUED, CommandState.ON_WIRE, CommandState.IN_DOUBT, CommandState.PARKED)
# May be at the exchange without our knowing: full exposure (P4), and exit code 3 while it lasts.
DOUBTFUL = (CommandState.ON_WIRE, CommandState.IN_DOUBT, CommandState.PARKED)


class OrderStatus(StrEnum):
    """What a person asks for."""

    PENDING = "pending"  # recorded, nothing known from the exchange yet
    RESTING = "resting"  # the exchange's words from here ...
    EXECUTED = "executed"
    CANCELED = "canceled"  # ... to here; its fill_count may still rise
    REJECTED = "rejected"  # the exchange said no
    UNSENT = "unsent"  # never reached the exchange and never will; the reason is stored


AT_EXCHANGE = (OrderStatus.RESTING, OrderStatus.EXECUTED, OrderStatus.CANCELED)


class Reason(StrEnum):
    """Why an order or command is where it is: the closed list; free text goes into `detail`."""

    REFUSED = "refused"  # by the exchange; its code and message are the detail
    ID_CONSUMED = "id_consumed"  # proven absent, yet the exchange keeps its id: never resend
    EXPIRED = "expired"  # its time to be submitted passed before it was sent
    WITHDRAWN = "withdrawn"  # by hand, before it was sent
    RETRIED = "retried"  # placed already, as a retry that a lost ledger knew of
    HALTED = "halted"
    PROVEN_ABSENT = "proven_absent"  # it never arrived, and policy is not to send it again
    CANCEL_REQUESTED = "cancel_requested"  # it never arrived, and its cancel had been asked for
    MOOT = "moot"  # a cancel whose order had ended first
    NO_EFFECT = "no_effect"  # a cancel that changed nothing
    NO_ANSWER = "no_answer"  # sent; no answer came, or it could not be understood
    SENDER_DIED = "sender_died"  # sent by a run that ended before its answer was recorded
    ID_TAKEN = "id_taken"  # the exchange says an order with this id exists; it has to be read
    CONFLICT = "conflict"  # parked: an order under our id cannot be ours
    SUPERSEDED = "superseded"  # a newer command for the same order made it needless before it was sent
    LIMIT = "limit"  # one of your own limits; its name and value are the detail
    WAITING = "waiting"  # not processed so far (rate limit, pause, no connection); it will be tried again
    RESOLVED_BY_HAND = "resolved_by_hand"
    # Why an order at the exchange ended before it was filled, where that can be told
    EXPIRY = "expiry"  # its expiration_time came
    MARKET_CLOSED = "market_closed"
    ORDER_GROUP = "order_group"  # its group was triggered
    CANCEL_ALL = "cancel_all"  # everything of the account was canceled at once from here
    SELF_TRADE = "self_trade"  # it would have traded with another order of the account
    CANCELED_ELSEWHERE = "canceled_elsewhere"  # by the website, another program, or the exchange itself


class Terms(msgspec.Struct, frozen=True):
    """What an amend or a decrease asks for; absolute, so that asking twice is asking once."""

    price_e6: int | None = None  # amend
    count_e2: int | None = None  # amend: the total, what has traded included
    expiration_time: int | None = None  # amend: unix seconds, 0 for none, None to leave it as it is
    reduce_to_e2: int | None = None  # decrease: what may remain


class Command(msgspec.Struct, frozen=True):
    """One request and what is known of it."""

    kind: CommandKind
    state: CommandState = CommandState.QUEUED
    attempts: int = 0
    live: tuple[int, ...] = ()  # attempts without a definite outcome, the one on the wire included
    id_taken: bool = False
    epoch: int | None = None  # of the latest claim
    first_signed_ms: int | None = None  # of the earliest attempt, exchange clock
    last_signed_ms: int | None = None  # of the latest attempt, exchange clock
    not_before_us: int = 0  # backoff: not to be claimed earlier
    reason: Reason | None = None
    detail: str | None = None
    terms: Terms | None = None  # of an amend or decrease


class Order(msgspec.Struct, frozen=True):
    """One order as far as the exchange has shown it (its intent is kept beside it and never changes)."""

    count_e2: int  # in all: as recorded, or as amended and decreased since
    price_e6: int  # the YES price it rests at, likewise
    terms_elsewhere: bool = False  # count and price are nothing that this ledger asked for
    status: OrderStatus = OrderStatus.PENDING
    order_id: str | None = None
    fill_count_e2: int = 0
    remaining_count_e2: int | None = None
    average_fill_price_e6: int | None = None  # as acknowledged; the trades below are the better source
    fees_e6: int | None = None
    traded_count_e2: int = 0  # sum over the trades we were shown, each trade_id once
    traded_value_e8: int = 0  # sum of count_e2 x price_e6 over them, YES prices
    traded_fees_e6: int = 0
    fact_ts_ms: int = 0  # exchange time of the newest fact applied; an older read changes nothing
    created_ts_ms: int | None = None  # when the exchange took it
    late: bool = False  # it turned up after we had concluded that it was not there
    reason: Reason | None = None
    detail: str | None = None
    sent_at_us: int | None = None  # our clock, first claim
