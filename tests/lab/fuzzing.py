"""What the fuzz tests draw from: answers of the real sandbox exchange, spoiled here and there, and hostile text.

`LENGTHS` gives a test its settings: a short run in the plain suite, a long one in the laboratory.
"""

import copy
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.sandbox.stepping import ORDERS, TICKER, Steps, order

_USUAL: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SHORT, LONG = (settings(max_examples=n, **_USUAL) for n in (50, 2_000))
LENGTHS = pytest.mark.parametrize(
    "length", [SHORT, pytest.param(LONG, marks=[pytest.mark.lab, pytest.mark.timeout(600)])], ids=["short", "long"]
)

# What reaches a person or a program that reads what we show, and must not act there.
HOSTILE = (
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\x9b31mred",
    "line\nnext: 201 Created",
    "over\rwritten\x08\x08",
    "\u202egnp.exe\u202c\u2066\u2069\u200f",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "-2+3+cmd",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\x00nul",
    "[bold]markup[/bold] {0} %s %n",
    "\ud800",
    "\u2028\u2029\x85\x0b\x0c\x1c",
    "a" * 5_000,
    "../../etc/passwd",
    "'; DROP TABLE orders; --",
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(HOSTILE),
    st.sampled_from(["1.00", "0", "-1", "0.5", "1e3", "NaN", "9" * 40, "2026-01-01T00:00:00Z", "9999-12-31T23:59:60Z"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["code", "error", "order_id", "x"]), st.text(max_size=5), max_size=2),
)
BYTES = st.one_of(
    st.binary(max_size=6), st.sampled_from([b"{", b"}", b"[", b'"', b"\\u", b"NaN", b"\xff", b"\x00", b","])
)


@cache
def answers() -> dict[str, Any]:
    """One whole answer of the exchange to each request that oms makes, as parsed JSON."""
    steps = Steps()
    said: dict[str, Any] = {}
    made = steps.create(client_order_id="c-1").json
    steps.create(client_order_id="c-2", price="0.9900", count="2.00")
    several = [order(client_order_id="c-3"), order(client_order_id="c-4", price="2")]
    said["batch"] = steps.call("POST", f"{ORDERS}/batched", {"orders": several}).json
    for path in READS:
        said[path] = steps.get(path.replace("{order_id}", made["order_id"]).replace("{ticker}", TICKER))
    said["create"] = made
    said["refusal"] = steps.create(client_order_id="c-1").json
    said["cancel"] = steps.cancel(made["order_id"]).json
    said["/markets"]["markets"] = said["/markets"]["markets"][:2]
    return said


READS = (
    "/portfolio/orders",
    "/portfolio/orders/{order_id}",
    "/portfolio/fills",
    "/portfolio/positions",
    "/portfolio/balance",
    "/historical/cutoff",
    "/exchange/status",
    "/exchange/user_data_timestamp",
    "/account/limits",
    "/account/endpoint_costs",
    "/markets",
    "/markets/{ticker}",
    "/markets/{ticker}/orderbook",
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, part in inner for each in _places(part, (*path, key)))]


def _changed(document: Any, path: tuple[Any, ...], value: Any, *, is_gone: bool) -> Any:
    if not path:
        return value
    document = copy.deepcopy(document)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    if is_gone:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return document


@st.composite
def spoiled(draw: st.DrawFn, document: Any) -> bytes:
    """The document as bytes, up to three parts of it odd or gone, and perhaps a few bytes as well."""
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(_places(document)))
        document = _changed(document, path, draw(ODD), is_gone=draw(st.booleans()))
    raw = json.dumps(document).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(BYTES) + raw[at + draw(st.integers(0, 4)) :]
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 20)) == 0 else raw
