"""The three headers that make a request ours. PURE but for the key's own arithmetic.

Signed text = timestamp in ms + METHOD + path from the root without the query. Neither host, query nor body is
covered, so the same signature would do for another body: the transport must never let one out but to the host it
was made for.
"""

from oms.venue.keys import Key

__all__ = ["ACCESS_KEY", "ACCESS_SIGNATURE", "ACCESS_TIMESTAMP", "signed_headers", "signed_text"]

ACCESS_KEY = "KALSHI-ACCESS-KEY"
ACCESS_TIMESTAMP = "KALSHI-ACCESS-TIMESTAMP"
ACCESS_SIGNATURE = "KALSHI-ACCESS-SIGNATURE"


def signed_text(timestamp_ms: int, method: str, path: str) -> str:
    """What is signed: `1781159362226POST/trade-api/v2/portfolio/events/orders`; a query is cut off."""
    return f"{timestamp_ms}{method.upper()}{path.partition('?')[0]}"


def signed_headers(key_id: str, key: Key, timestamp_ms: int, method: str, path: str) -> dict[str, str]:
    """The headers of a private request; `path` counts from the root of the host, so it holds `/trade-api/v2`."""
    return {
        ACCESS_KEY: key_id,
        ACCESS_TIMESTAMP: str(timestamp_ms),
        ACCESS_SIGNATURE: key.sign(signed_text(timestamp_ms, method, path).encode()),
    }
