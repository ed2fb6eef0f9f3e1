"""Whatever a client sends, the exchange answers: nothing that comes over the wire may raise or corrupt."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.sandbox import group_requests, subaccounts, v1
from oms.sandbox.routes import OPERATIONS, Operation
from oms.sandbox.tickets import CREATE_FIELDS
from oms.sandbox.wire import PREFIX, Request
from oms.sandbox.writes import AMEND_FIELDS, CANCEL_FIELDS, DECREASE_FIELDS
from tests.sandbox.stepping import ORDERS, TICKER, Steps, order

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["bid", "ask", "1.00", "0.01", "0.5", "-1", "1e3", TICKER, "good_till_canceled", "maker", "\ud800"]
    )
)
FIELDS = st.sampled_from(
    sorted(
        {
            *CREATE_FIELDS,
            *CANCEL_FIELDS,
            *AMEND_FIELDS,
            *DECREASE_FIELDS,
            *v1.FIELDS,
            *group_requests.CREATE_FIELDS,
            *subaccounts.TRANSFER_FIELDS,
            *subaccounts.NETTING_FIELDS,
            "orders",
            "ids",
        }
    )
)
OBJECTS = st.dictionaries(FIELDS, SCALARS | st.lists(SCALARS, max_size=2), max_size=5)
QUERY = st.dictionaries(
    st.sampled_from(
        ["limit", "cursor", "status", "min_ts", "max_ts", "ticker", "subaccount", "exchange_index", "depth"]
    ),
    st.text(max_size=12) | st.integers().map(str),
    max_size=3,
)


def body_of(value: Any) -> bytes:
    """JSON as a hostile client writes it: lone surrogates and all."""
    return json.dumps(value).encode()


@settings(max_examples=250)
@given(
    operation=st.sampled_from(OPERATIONS),
    value=OBJECTS | st.lists(OBJECTS, max_size=2) | SCALARS,
    extra=OBJECTS,
    query=QUERY,
)
def test_every_request_is_answered(
    operation: Operation, value: Any, extra: dict[str, Any], query: dict[str, str]
) -> None:
    order_id = FUZZED.create().json["order_id"]
    method, path = operation.method, operation.path.replace("{order_id}", order_id).replace("{ticker}", TICKER)
    path = path.replace("{order_group_id}", GROUP)
    for body in (body_of(value), body_of({**order(), **extra}), body_of({"orders": [{**order(), **extra}, value]})):
        answer = FUZZED.ask(FUZZED.request(method, path, body, **dict[str, Any](query)))
        assert 200 <= answer.status < 500
        if answer.response.body:
            msgspec.json.decode(answer.response.body)


@settings(max_examples=200)
@given(
    body=st.binary(max_size=60),
    headers=st.dictionaries(
        st.sampled_from(["kalshi-access-key", "kalshi-access-timestamp", "kalshi-access-signature"]),
        st.text(max_size=30),
    ),
)
def test_every_unsigned_request_is_answered(body: bytes, headers: dict[str, str]) -> None:
    answer = FUZZED.exchange.handle(Request("POST", PREFIX + ORDERS, (), headers, body), FUZZED.now_us)
    assert answer.status == 401


FUZZED = Steps(v1_compat=True)
GROUP = FUZZED.call("POST", "/portfolio/order_groups/create", {"contracts_limit": 10**6}).json["order_group_id"]
