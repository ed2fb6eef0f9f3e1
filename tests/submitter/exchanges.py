"""A venue that answers as it is told, for the submitter: no socket, and clocks that are set by hand."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from oms.lifecycle import events as e
from oms.venue.clock import ExchangeClock
from oms.venue.exchange import ExchangeStatus
from oms.venue.limiter import Limiter
from oms.venue.orders import OrderRequest

Ending = Callable[[OrderRequest], e.Event]


class Hands:
    """Two clocks that stand still until they are moved; used as a real clock where nobody moves them."""

    def __init__(self, at_us: int) -> None:
        self.wall_us = at_us
        self.monotonic_s = 1_000.0

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.wall_us += int(seconds * 1_000_000)
        self.monotonic_s += seconds

    def set_wall(self, by_s: float) -> None:
        """Somebody sets the clock, or the machine slept."""
        self.wall_us += int(by_s * 1_000_000)

    def clock(self) -> ExchangeClock:
        return ExchangeClock(lambda: self.wall_us, lambda: self.monotonic_s)


def acknowledged(request: OrderRequest) -> e.Event:
    """The exchange takes the order, and it rests."""
    return e.Acknowledged(
        attempt=request.attempt,
        order_id=f"at-{request.client_order_id}",
        fill_count_e2=0,
        remaining_count_e2=100,
        ts_ms=1_763_800_000_005,
    )


@dataclass
class Scripted:
    """The write side of a venue: what it was sent, and how each request ends."""

    clock: ExchangeClock
    ending: Ending = acknowledged
    limiter: Limiter = field(default_factory=Limiter)
    requests: list[list[str]] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    signed: list[int] = field(default_factory=list)
    most_at_once: int = 0
    status: ExchangeStatus = field(default_factory=lambda: ExchangeStatus(exchange_active=True, trading_active=True))
    statuses_asked: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.limiter.learn(write=(1_000_000, 10_000))

    # what the submitter sees of a venue

    @property
    def orders(self) -> "Scripted":
        return self

    @property
    def exchange(self) -> "_Status":
        return _Status(self)

    def channel(self) -> "_Channel":
        return _Channel()

    def create(self, channel: object, request: OrderRequest, signed_ms: int) -> e.Event:
        return self.create_batch(channel, [request], signed_ms)[0]

    def create_batch(self, channel: object, requests: Sequence[OrderRequest], signed_ms: int) -> list[e.Event]:
        with self._lock:
            self.requests.append([request.client_order_id for request in requests])
            self.signed.append(signed_ms)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return [self.ending(request) for request in requests]
        finally:
            with self._lock:
                self._now -= 1

    def cancel(
        self, channel: object, order_id: str, ticker: str, subaccount: int | None, attempt: int, signed_ms: int
    ) -> e.Event:
        with self._lock:
            self.canceled.append(order_id)
        return e.CancelAcknowledged(attempt=attempt, order_id=order_id, reduced_by_e2=100, ts_ms=9)

    @property
    def sent(self) -> list[str]:
        """Every order sent, in the order of the requests."""
        return [name for request in self.requests for name in request]


class _Channel:
    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class _Status:
    venue: Scripted

    def status(self) -> ExchangeStatus:
        self.venue.statuses_asked += 1
        return self.venue.status
