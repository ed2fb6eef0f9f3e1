"""The venue in one piece: writes under `orders`, reads as methods, the clock and the limiter beside them.

venue = Venue.connect(base_url, key_id, load_key(path), timeout_s=10)
channel = venue.channel()                      # one per sender thread
event = venue.orders.create(channel, OrderRequest(body, client_order_id, attempt), signed_ms)
for order in venue.account.list_orders(min_ts=...): ...
"""

import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from oms.errors import CredentialsError, ReadFailed
from oms.venue.account import Account
from oms.venue.account_writes import AccountWrites
from oms.venue.clock import ExchangeClock, system_now_us
from oms.venue.exchange import Exchange
from oms.venue.groups import Groups
from oms.venue.keys import Key
from oms.venue.limiter import Limiter
from oms.venue.markets import Markets
from oms.venue.orders import Orders
from oms.venue.reads import Reader
from oms.venue.resting import RestingOrder, resting_orders
from oms.venue.transport import Channel, Transport

__all__ = ["Venue"]


class Venue:
    """One account at one exchange.

    `orders` writes (create, create_batch, cancel; events come back, nothing is raised), `account_writes` likewise for
    what is about no order of ours; `account`, `groups`, `markets` and `exchange` read (ReadFailed, CredentialsError),
    `clock` is the exchange's time, `limiter` its token buckets.
    """

    def __init__(self, transport: Transport, limiter: Limiter, sleep: Callable[[float], None] = time.sleep) -> None:
        self.transport = transport
        self.limiter = limiter
        self.clock = transport.clock
        reader = Reader(transport, limiter, sleep)
        self.account = Account(reader)
        self.markets = Markets(reader)
        self.exchange = Exchange(reader)
        self.orders = Orders(self._client_order_id_of)
        self.groups = Groups(reader)
        self.account_writes = AccountWrites()
        self._reader = reader

    @classmethod
    def connect(
        cls,
        base_url: str,
        key_id: str,
        key: Key | None,
        timeout_s: float,
        *,
        now_us: Callable[[], int] = system_now_us,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        tls: ssl.SSLContext | None = None,
    ) -> "Venue":
        """A venue that has not yet sent anything; `timeout_s` is the total deadline of one request.

        `key` None allows public reads only. Clocks and sleep are injected for tests. Raises ConfigError on a bad URL.
        """
        clock = ExchangeClock(now_us, monotonic)
        venue = cls(Transport(base_url, key_id, key, timeout_s, clock, tls), Limiter(), sleep)
        venue.limiter.on_due = venue.learn_limits_soon
        return venue

    def channel(self) -> Channel:
        """The calling thread's own connection for writes and reads."""
        return self.transport.channel()

    def resting_orders(self, subaccount: int | None = None) -> list[RestingOrder]:
        """The ids of what rests, as raw as can be. Raises ReadFailed, CredentialsError."""
        return resting_orders(self._reader, subaccount)

    def learn_limits(self) -> None:
        """Read the account's token buckets and costs into the limiter. Raises ReadFailed, CredentialsError."""
        limits = self.account.limits()
        self.limiter.learn(read=limits.read, write=limits.write, costs=self.account.endpoint_costs())

    def learn_limits_soon(self) -> None:
        """The same on a thread of its own, so that no order waits for it; what cannot be read stays as it was."""
        threading.Thread(target=self._learn_limits, name="oms-limits", daemon=True).start()

    def _learn_limits(self) -> None:
        with suppress(ReadFailed, CredentialsError):
            self.learn_limits()
        self.channel().close()

    def _client_order_id_of(self, order_id: str) -> str:
        found = self.account.get_order(order_id)
        if found is None:
            raise ReadFailed(f"order {order_id} was not found")
        return found.client_order_id
