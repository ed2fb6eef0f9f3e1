"""One validated intent and the exact request body it will be sent with. PURE."""

import hashlib
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted

from oms.lifecycle.states import Action, Outcome, SelfTradePrevention, Side, TimeInForce
from oms.units import DOLLAR_E6, format_count, format_dollars


@dataclass(frozen=True, slots=True)
class Intent:
    """What a caller wants placed, in the exchange's words; `action` and `outcome` say it as he entered it."""

    client_order_id: str
    ticker: str
    side: Side
    price_e6: int  # YES price, dollars x 10^6
    count_e2: int  # contracts x 10^2
    time_in_force: TimeInForce = TimeInForce.GOOD_TILL_CANCELED
    self_trade_prevention_type: SelfTradePrevention = SelfTradePrevention.TAKER_AT_CROSS
    post_only: bool = False
    reduce_only: bool = False
    expiration_time: int | None = None  # Unix seconds
    subaccount: int | None = None
    action: Action = Action.BUY
    outcome: Outcome = Outcome.YES
    own_id: bool = False  # the caller brought the client_order_id
    tag: str | None = None
    submit_before_us: int | None = None
    order_group_id: str | None = None

    @property
    def outcome_price_e6(self) -> int:
        """The price of the leg the caller named."""
        return self.price_e6 if self.outcome is Outcome.YES else DOLLAR_E6 - self.price_e6


def request_body(intent: Intent) -> str:
    """The JSON text of `POST /portfolio/events/orders` for this intent: built once, stored, sent unchanged."""
    # Written out because json.dumps with its arguments costs five times as much; a test compares the bytes.
    text = (
        f'{{"ticker":{_quoted(intent.ticker)},"client_order_id":{_quoted(intent.client_order_id)},'
        f'"side":"{intent.side.value}","count":"{format_count(intent.count_e2)}",'
        f'"price":"{format_dollars(intent.price_e6)}","time_in_force":"{intent.time_in_force.value}",'
        f'"self_trade_prevention_type":"{intent.self_trade_prevention_type.value}"'
    )
    if intent.post_only:
        text += ',"post_only":true'
    if intent.reduce_only:
        text += ',"reduce_only":true'
    if intent.expiration_time is not None:
        text += f',"expiration_time":{intent.expiration_time:d}'
    if intent.subaccount is not None:
        text += f',"subaccount":{intent.subaccount:d}'
    if intent.order_group_id is not None:
        text += f',"order_group_id":{_quoted(intent.order_group_id)}'
    return text + "}"


def amend_body(ticker: str, side: str, price_e6: int, count_e2: int, expiration_time: int | None) -> str:
    """The JSON text of `POST /portfolio/events/orders/{order_id}/amend`; `count` is the total, filled included.

    The client_order_id is not sent: an amend never changes it, and the order_id in the path names the order.
    """
    text = (
        f'{{"ticker":{_quoted(ticker)},"side":"{side}","price":"{format_dollars(price_e6)}",'
        f'"count":"{format_count(count_e2)}"'
    )
    if expiration_time is not None:
        text += f',"expiration_time":{expiration_time:d}'
    return text + "}"


def decrease_body(ticker: str, reduce_to_e2: int) -> str:
    """The JSON text of `POST /portfolio/events/orders/{order_id}/decrease`, always to an absolute rest."""
    return f'{{"reduce_to":"{format_count(reduce_to_e2)}","market_ticker":{_quoted(ticker)}}}'


def body_digest(body: str) -> bytes:
    """SHA-256 of a stored body, first 16 bytes: checked at every claim, so that every attempt sends the same."""
    return hashlib.sha256(body.encode()).digest()[:16]
