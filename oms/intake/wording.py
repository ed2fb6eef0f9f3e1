"""How a bad value is shown and why it is not a number: words for problems of rows. PURE.

A hostile value cannot reach a terminal from here: it is cut, and what is not printable is escaped.
"""

import re
from collections.abc import Sequence

__all__ = ["clipped", "nearest", "shown", "why_not_decimal"]

SHOWN = 40  # characters of a value that a message shows
_EXPONENT = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", re.ASCII)

# What people write for a field of ours, where likeness of spelling would mislead.
_ALIASES = {
    "tif": "time_in_force",
    "stp": "self_trade_prevention_type",
    "expiration": "expiration_time",
    "expiration_ts": "expiration_time",
    "expires_at": "expiration_time",
    "count_fp": "count",
    "contracts": "count",
    "quantity": "count",
    "qty": "count",
    "size": "count",
    "market": "ticker",
    "market_ticker": "ticker",
    "symbol": "ticker",
    "outcome": "side",
    "book_side": "side",
    "limit_price": "price",
    "id": "client_order_id",
    "ttl": "submit_before",
    "note": "tag",
    "order_group_id": "order_group",
    "group": "order_group",
}
_WITHOUT_SUCCESSOR = {
    "buy_max_cost": "; Kalshi's V2 has no counterpart: use count and price with time_in_force fill_or_kill",
    "sell_position_floor": "; Kalshi's V2 has no counterpart: use reduce_only with immediate_or_cancel",
    "cancel_order_on_pause": "; oms does not send it",
    "exchange_index": "; oms does not send it, the exchange routes by ticker",
}


def clipped(text: str) -> str:
    """A text short enough for a message, with everything that is not printable escaped."""
    cut = text[:SHOWN]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return cut + "..." if len(text) > SHOWN else cut


def shown(text: str) -> str:
    """A text in quotes, short and safe to print."""
    return f'"{clipped(text)}"'


def nearest(key: str, keys: Sequence[str]) -> str:
    """The end of a message about an unknown key: what was probably meant, or what there is instead."""
    from difflib import get_close_matches  # only a wrong key pays for it

    wanted = key.strip().lower().replace("-", "_").replace(" ", "_")
    if wanted in _WITHOUT_SUCCESSOR:
        return _WITHOUT_SUCCESSOR[wanted]
    alias = _ALIASES.get(wanted)
    if alias not in keys:
        alias = next(iter(get_close_matches(wanted, keys, n=1, cutoff=0.5)), None)
    return f"; did you mean {alias}?" if alias else f"; the fields are {', '.join(keys)}"


def why_not_decimal(text: str, reason: str) -> str:
    """Why a text is not a decimal number, as exactly as can be said; `reason` is what the parser said."""
    if reason != "not a decimal number":
        return reason
    if not text.strip():
        return "is blank"
    if text != text.strip():
        return "has blanks around it"
    if not text.isprintable():
        return "has a control character or one that cannot be printed"
    if not text.isascii():
        return "has characters other than the ASCII digits 0-9"
    if _EXPONENT.fullmatch(text):
        return "has an exponent: write the number out"
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return "is not a finite number"
    for mark, name in (("_", "an underscore"), (",", "a comma"), ("$", "a currency sign"), ("+", "a plus sign")):
        if mark in text:
            return f"has {name}: only digits and one decimal point"
    if text.startswith((".", "-.")) or text.endswith("."):
        return "needs digits on both sides of the decimal point"
    if re.fullmatch(r"-?[0-9.]+", text) and text.count(".") <= 1:
        return "has too many digits"
    return "is not a decimal number"
