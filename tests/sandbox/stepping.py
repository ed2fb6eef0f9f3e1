"""The exchange without HTTP, one request at a time, at instants the test chooses."""

import json
from pathlib import Path
from typing import Any

from oms.sandbox import auth, control
from oms.sandbox.amounts import MICROS
from oms.sandbox.exchange import Exchange
from oms.sandbox.faults import Faults, read_rules
from oms.sandbox.journal import IN_MEMORY, Journal
from oms.sandbox.knobs import Knobs
from oms.sandbox.wire import PREFIX, Request, Response
from tests.sandbox.running import order, signed_headers

START_US = 1_790_000_000 * MICROS
TICKER = "SBXRAIN-A-T10"
SPORTS = "SBXGAME-A-T10"  # lives on shard 1
ORDERS = "/portfolio/events/orders"
PRIVATE_PEM = auth.new_private_pem("ed25519")

__all__ = ["ORDERS", "PRIVATE_PEM", "SPORTS", "START_US", "TICKER", "Answer", "Steps", "order"]


class Answer:
    """A response with its JSON."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.status = response.status
        self.json: Any = json.loads(response.body) if response.body[:1] in (b"{", b"[") else None

    @property
    def code(self) -> str:
        """The error code, wherever the shape keeps it."""
        error = self.json.get("error", self.json)
        return str(error["code"] if isinstance(error, dict) else error)

    def __repr__(self) -> str:
        return f"{self.status} {self.response.body!r}"


class Steps:
    """An exchange, a clock that only moves when told, and a client whose signatures are always fresh."""

    def __init__(self, path: Path | str = IN_MEMORY, faults: list[Any] | None = None, **knobs: Any) -> None:
        self.path = path
        self.knobs = Knobs(**{"tier": "unlimited", **knobs})
        self.now_us = START_US
        self._open(Faults(read_rules(faults or [])))

    def _open(self, faults: Faults) -> None:
        self.exchange = Exchange.open(Journal(self.path), self.now_us, knobs=self.knobs, faults=faults)
        self.key = auth.key_of_private(PRIVATE_PEM, self.exchange.state.user_id)
        self.exchange.add_key(self.key)

    def reopen(self) -> None:
        """What a restart does: everything comes back from the file alone."""
        self.exchange.state.journal.close()
        self._open(self.exchange.faults)

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.now_us += ms * 1000

    def call(self, method: str, path: str, body: Any = None, *, signed_s: int = 0, **query: Any) -> Answer:
        """One request now, signed `signed_s` seconds off."""
        return self.ask(self.request(method, path, body, signed_s=signed_s, **query))

    def ask(self, request: Request) -> Answer:
        """Hand over a request now."""
        return Answer(self.exchange.handle(request, self.now_us))

    def request(self, method: str, path: str, body: Any = None, *, signed_s: int = 0, **query: Any) -> Request:
        """A signed request."""
        at_ms = self.now_us // 1000 + signed_s * 1000
        headers = signed_headers(self.key.key_id, PRIVATE_PEM, method, PREFIX + path, at_ms)
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        values = [
            (name, each) for name, value in query.items() for each in (value if isinstance(value, list) else [value])
        ]
        pairs = tuple((name, str(value)) for name, value in values)
        return Request(method, PREFIX + path, pairs, {name.lower(): value for name, value in headers.items()}, raw)

    def create(self, **changes: Any) -> Answer:
        """POST one order (`order(**changes)`)."""
        return self.call("POST", ORDERS, order(**changes))

    def cancel(self, order_id: str, **query: Any) -> Answer:
        """DELETE one order; names the first open market unless the query says otherwise."""
        return self.call("DELETE", f"{ORDERS}/{order_id}", **(query or {"market_ticker": TICKER}))

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a read that must succeed."""
        answer = self.call("GET", path, **query)
        assert answer.status == 200, answer
        return answer.json

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        """The orders that the first page of the list shows."""
        rows: list[dict[str, Any]] = self.get("/portfolio/orders", **query)["orders"]
        return rows

    def control(self, **change: Any) -> dict[str, Any]:
        """Change the exchange."""
        return control.apply(self.exchange, json.dumps(change).encode(), self.now_us)

    def best(self, ticker: str = TICKER) -> tuple[str, str]:
        """The best bid and ask of a market."""
        market = self.get(f"/markets/{ticker}")["market"]
        return market["yes_bid_dollars"], market["yes_ask_dollars"]

    def log(self) -> list[dict[str, Any]]:
        """The wire log."""
        return [dict(row) for row in self.exchange.state.journal.read("wire")]
