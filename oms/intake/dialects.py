"""One row of input to one intent, or to every reason why not. PURE: no clock, no I/O, no float (P8).

A row is a mapping from key to raw value: CSV gives text, JSON gives text, booleans, null and `Number` (the literal
digits, never through float), Python gives the same or int, Decimal and aware datetime. An explicit empty or null is
the same as absent.

Two ways to say what is wanted, translated here and nowhere else:

    (action buy|sell, side yes|no, one of `price` | yes_price | no_price | yes_price_dollars | no_price_dollars)
    (side bid|ask, `price`)

    buy yes p = bid p      sell yes p = ask p      buy no p = ask 1-p      sell no p = bid 1-p

`price` is dollars of the side that the row names, yes_price and no_price are whole cents as in Kalshi's quick-start
guide, whose order object is a valid row as it stands. A sub-cent price is said in dollars: a decimal point in a cents
field is nearly always a price in dollars, and taking it for cents would be off by a factor of a hundred.

Everything that is wrong with a row is reported, not only the first thing. The readings of texts that come again
(tickers, prices, counts, terms) are remembered in small bounded caches.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar

from oms.errors import Problem
from oms.intake import fields
from oms.intake.fields import PLAIN_TYPES, Raw, plain
from oms.intake.intents import Intent
from oms.intake.wording import clipped, nearest
from oms.lifecycle.states import Action, Outcome, SelfTradePrevention, Side, TimeInForce
from oms.units import DOLLAR_E6

__all__ = ["KEYS", "NO_GROUPS", "PRICE_KEYS", "past_times", "unknown_key", "validate"]

PRICE_KEYS = ("price", "yes_price", "no_price", "yes_price_dollars", "no_price_dollars")
KEYS = (
    "ticker",
    "action",
    "side",
    "count",
    *PRICE_KEYS,
    "client_order_id",
    "time_in_force",
    "post_only",
    "reduce_only",
    "expiration_time",
    "subaccount",
    "self_trade_prevention_type",
    "submit_before",
    "order_group",
    "tag",
    "type",
)

_KEY_SET = frozenset(KEYS)
NO_GROUPS: Mapping[str, str] = MappingProxyType({})
_Fault: TypeAlias = tuple[str, str]  # field, reason
T = TypeVar("T")


def validate(
    row: Mapping[str, object],
    line: int | None = None,
    now_us: int | None = None,
    groups: Mapping[str, str] = NO_GROUPS,
) -> Intent | tuple[Problem, ...]:
    """The intent of one row, or every problem of it (never empty).

    The intent's `client_order_id` is the caller's own (`own_id`), else "" until `ids.assign` derives it.
    `groups` are the order groups that a row may name, and their ids; asked only where a row names one.
    With `now_us` (exchange time) an expiration_time or submit_before in the past is a problem as well.
    Raises nothing on any content.
    """
    if not PLAIN_TYPES.issuperset(map(type, row.values())):
        row = {key: plain(value) for key, value in row.items()}
    get: Callable[[str], Raw] = row.get  # type: ignore[assignment]
    faults = [] if row.keys() <= _KEY_SET else [unknown_key(key) for key in row if key not in _KEY_SET]
    ticker = _taken(faults, _ticker, get("ticker"))
    count_e2 = _taken(faults, _count, get("count"))
    leg = _taken(
        faults,
        _leg,
        get("action"),
        get("side"),
        get("price"),
        get("yes_price"),
        get("no_price"),
        get("yes_price_dollars"),
        get("no_price_dollars"),
    )
    terms = _taken(
        faults,
        _terms,
        get("type"),
        get("time_in_force"),
        get("self_trade_prevention_type"),
        get("post_only"),
        get("reduce_only"),
        get("subaccount"),
    )
    expiration_time = _read(faults, "expiration_time", fields.read_expiration_time, get("expiration_time"), None)
    submit_before_us = _read(faults, "submit_before", fields.read_submit_before, get("submit_before"), None)
    own_id = _read(faults, "client_order_id", fields.read_client_order_id, get("client_order_id"), None)
    tag = _read(faults, "tag", fields.read_tag, get("tag"), None)
    group_of = partial(fields.read_order_group, groups=groups)
    group = _read(faults, "order_group", group_of, get("order_group"), None)
    if terms is not None and expiration_time is not None and terms.time_in_force is not _GTC:
        faults.append(("expiration_time", f"cannot go with {terms.time_in_force}: it needs {_GTC}"))
    if faults or ticker is None or count_e2 is None or leg is None or terms is None:
        return tuple(Problem(line, field, reason) for field, reason in faults)
    intent = Intent(
        own_id or "",
        ticker,
        leg.side,
        leg.price_e6,
        count_e2,
        terms.time_in_force,
        terms.self_trade_prevention_type,
        terms.post_only,
        terms.reduce_only,
        expiration_time,
        terms.subaccount,
        leg.action,
        leg.outcome,
        own_id is not None,
        tag,
        submit_before_us,
        group,
    )
    return intent if now_us is None else past_times(intent, line, now_us) or intent


def past_times(intent: Intent, line: int | None, now_us: int) -> tuple[Problem, ...]:
    """What of an intent lies in the past at `now_us` (exchange time); empty when nothing does.

    Apart from the other checks because it holds only for an order that is not recorded yet: the same file placed
    again next week is the same batch, and not a mistake (P6).
    """
    problems = []
    if intent.expiration_time is not None and intent.expiration_time * 1_000_000 <= now_us:
        reason = f"{intent.expiration_time} is in the past: the exchange would refuse the order"
        problems.append(Problem(line, "expiration_time", reason))
    if intent.submit_before_us is not None and intent.submit_before_us <= now_us:
        problems.append(Problem(line, "submit_before", "is in the past: the order could never be sent"))
    return tuple(problems)


def unknown_key(key: object) -> _Fault:
    """The field and the reason for a key or column that no row has, naming the nearest one that exists."""
    field = clipped(key if isinstance(key, str) else repr(key))
    return field, f"is not a known field{nearest(field, KEYS)}"


class _Faulty(Exception):
    """What is wrong with the values that were read together."""

    def __init__(self, *faults: _Fault) -> None:
        super().__init__()
        self.faults = faults


def _taken(faults: list[_Fault], part: Callable[..., T], *values: Raw) -> T | None:
    """What `part` makes of the values, or None and what is wrong with them added to `faults`."""
    try:
        return part(*values)
    except _Faulty as exc:
        faults += exc.faults
        return None


def _read(faults: list[_Fault], field: str, read: Callable[[Raw], T], value: Raw, default: T) -> T:
    """One field that may be absent; a wrong value is `default` and a fault."""
    if value is None or value == "":
        return default
    try:
        return read(value)
    except ValueError as exc:
        faults.append((field, str(exc)))
        return default


def _needed(field: str, read: Callable[[Raw], T], value: Raw) -> T:
    """One field that has to be there. Raises _Faulty."""
    if value is None or value == "":
        raise _Faulty((field, "is missing"))
    try:
        return read(value)
    except ValueError as exc:
        raise _Faulty((field, str(exc))) from exc


# What belongs together, remembered by its texts. --------------------------------------------------------------------

_SIDES: Mapping[str, Outcome | Side] = {
    "yes": Outcome.YES,
    "no": Outcome.NO,
    "bid": Side.BID,
    "ask": Side.ASK,
}
_GTC, _TAKER = TimeInForce.GOOD_TILL_CANCELED, SelfTradePrevention.TAKER_AT_CROSS
_read_side = fields.words(_SIDES)
_read_action = fields.words({word.value: word for word in Action})
_read_time_in_force = fields.words({word.value: word for word in TimeInForce})
_read_prevention = fields.words({word.value: word for word in SelfTradePrevention})
_PRICE_READERS = {
    key: fields.read_cents if key in ("yes_price", "no_price") else fields.read_dollars for key in PRICE_KEYS
}
_ENTERED_AS = {Side.BID: Action.BUY, Side.ASK: Action.SELL}
_BOOK_SIDE = {
    (Action.BUY, Outcome.YES): Side.BID,
    (Action.SELL, Outcome.YES): Side.ASK,
    (Action.BUY, Outcome.NO): Side.ASK,
    (Action.SELL, Outcome.NO): Side.BID,
}


# Only what is right is remembered: it is short, while a wrong text can be as long as a line.
_ticker = lru_cache(maxsize=8192, typed=True)(partial(_needed, "ticker", fields.read_ticker))
_count = lru_cache(maxsize=4096, typed=True)(partial(_needed, "count", fields.read_count))


class _Leg(NamedTuple):
    side: Side
    price_e6: int
    action: Action
    outcome: Outcome


@lru_cache(maxsize=8192, typed=True)
def _leg(action: Raw, side: Raw, *prices: Raw) -> _Leg:
    """Side of the YES book and YES price of what a row says, `prices` in the order of PRICE_KEYS. Raises _Faulty."""
    faults: list[_Fault] = []
    key, price_e6 = _price(prices, faults)
    acted = _read(faults, "action", _read_action, action, None)
    named = _read(faults, "side", _read_side, side, None)
    if side is None or side == "":
        faults.append(("side", "is missing"))
    if isinstance(named, Side):
        if action is not None and action != "":
            faults.append(("action", f"does not go with side {named}: give action with side yes or no"))
        if key not in ("", "price"):
            faults.append((key, f"does not go with side {named}: give price, in YES dollars"))
    elif named is not None and (action is None or action == ""):
        faults.append(("action", f"is missing: side {named} needs action buy or sell"))
    if faults or named is None:
        raise _Faulty(*faults)
    if isinstance(named, Side):
        return _Leg(named, price_e6, _ENTERED_AS[named], Outcome.YES)
    assert acted is not None
    of_no = key.startswith("no_") or (key == "price" and named is Outcome.NO)
    return _Leg(_BOOK_SIDE[acted, named], DOLLAR_E6 - price_e6 if of_no else price_e6, acted, named)


def _price(prices: tuple[Raw, ...], faults: list[_Fault]) -> tuple[str, int]:
    """The one price key that is given, and its value in dollars x 10^6 of the leg that it prices."""
    given = [(key, value) for key, value in zip(PRICE_KEYS, prices, strict=True) if value is not None and value != ""]
    if not given:
        faults.append(("price", "is missing: give price in dollars, or yes_price or no_price in cents"))
        return "", 0
    for key, _ in given[1:]:
        faults.append((key, f"is given beside {given[0][0]}: give exactly one price"))
    readings = [_read(faults, key, _PRICE_READERS[key], value, 0) for key, value in given]
    return given[0][0], readings[0]


class _Terms(NamedTuple):
    time_in_force: TimeInForce
    self_trade_prevention_type: SelfTradePrevention
    post_only: bool
    reduce_only: bool
    subaccount: int | None


@lru_cache(maxsize=4096, typed=True)
def _terms(
    kind: Raw,
    time_in_force: Raw,
    prevention: Raw,
    post_only: Raw,
    reduce_only: Raw,
    subaccount: Raw,
) -> _Terms:
    """What may be left out and is the same for most rows. Raises _Faulty."""
    faults: list[_Fault] = []
    _read(faults, "type", fields.read_type, kind, None)
    tif = _read(faults, "time_in_force", _read_time_in_force, time_in_force, _GTC)
    tif_known = "time_in_force" not in (field for field, _ in faults)
    terms = _Terms(
        tif,
        _read(faults, "self_trade_prevention_type", _read_prevention, prevention, _TAKER),
        _read(faults, "post_only", fields.read_boolean, post_only, False),
        _read(faults, "reduce_only", fields.read_boolean, reduce_only, False),
        _read(faults, "subaccount", fields.read_subaccount, subaccount, None),
    )
    if tif_known:
        faults += _conflicts(terms)
    if faults:
        raise _Faulty(*faults)
    return terms


def _conflicts(terms: _Terms) -> list[_Fault]:
    """What the exchange would refuse of one time_in_force, by Kalshi's spec."""
    tif = terms.time_in_force
    faults = []
    if terms.post_only and tif is not _GTC:
        faults.append(("post_only", f"cannot go with {tif}: an order that must rest cannot end at once"))
    if terms.reduce_only and tif is not TimeInForce.IMMEDIATE_OR_CANCEL:
        faults.append(("reduce_only", f"cannot go with {tif}: the exchange takes it with immediate_or_cancel only"))
    return faults
