"""Reads of the account, with how far each can be trusted. Concludes nothing, writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from oms.compare import View
from oms.lifecycle.events import Snapshot
from oms.venue.door import Venue
from oms.venue.pages import Listing, Unread

_CHUNK = 500
_DAY_MS = 86_400_000


@dataclass(slots=True)
class Scan:
    """One walk over the account's orders: iterate over `chunks`, then ask for the `view`.

    The freshness of the data is read before the first page, so that it is a lower bound of what the pages show.
    """

    venue: Venue
    min_ts_ms: int | None
    known_cutoff_ms: int | None = None  # of the historical list, where it was asked for lately
    cutoff_ms: int | None = None  # as it was asked for now
    sees_all: bool = True
    as_of_ms: int = 0
    seen: int = 0
    pages: int = 0
    order_ids: set[str] = field(default_factory=set)
    client_order_ids: set[str] = field(default_factory=set)
    user_ids: set[str] = field(default_factory=set)
    nameless: list[Snapshot] = field(default_factory=list)
    unreadable: list[Unread] = field(default_factory=list)
    is_complete: bool = False

    def chunks(self) -> Iterator[tuple[str, list[Snapshot]]]:
        """(source, orders) in pieces, the live list first. Raises ReadFailed: then nothing may be concluded.

        No status, subaccount or shard filter: an order in any of them must be seen. An order moving to the
        historical list meanwhile is in it when that is read second.
        """
        self.as_of_ms = self.venue.exchange.user_data_timestamp_ms()
        min_ts = None if self.min_ts_ms is None else self.min_ts_ms // 1000
        yield from self._walk("orders", self.venue.account.list_orders(min_ts=min_ts))
        if self._may_be_historical():
            yield from self._walk("historical", self.venue.account.historical_orders(min_ts=min_ts))
        self.is_complete = True

    def _may_be_historical(self) -> bool:
        known, from_ms = self.known_cutoff_ms, self.min_ts_ms
        # It moves on by itself, months behind: from a day away it does not get there within the hour.
        if known is not None and from_ms is not None and known < from_ms - _DAY_MS:
            return False
        self.cutoff_ms = self.venue.exchange.historical_cutoff().orders_updated_ms
        return self.min_ts_ms is None or self.cutoff_ms > self.min_ts_ms

    def view(self) -> View:
        """What the scan is worth as evidence."""
        return View(
            as_of_ms=self.as_of_ms,
            min_ts_ms=self.min_ts_ms,
            is_complete=self.is_complete,
            order_ids=self.order_ids,
            client_order_ids=self.client_order_ids,
            nameless=self.nameless,
            unreadable=len(self.unreadable),
            sees_all=self.sees_all,
        )

    def _walk(self, source: str, listing: Listing[Snapshot]) -> Iterator[tuple[str, list[Snapshot]]]:
        chunk: list[Snapshot] = []
        for order in listing:
            if order.order_id in self.order_ids:
                continue  # in both lists while it moves from one to the other
            self.order_ids.add(order.order_id)
            self.client_order_ids.add(order.client_order_id)
            if not order.client_order_id:
                self.nameless.append(order)
            if order.user_id:
                self.user_ids.add(order.user_id)
            chunk.append(order)
            if len(chunk) >= _CHUNK:
                yield source, chunk
                chunk = []
        if chunk:
            yield source, chunk
        self.seen = len(self.order_ids)
        self.pages += listing.pages
        self.unreadable += listing.unreadable
