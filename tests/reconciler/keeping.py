"""Reading the books of an account as a reconcile does, over a ledger and a venue held open for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oms.ledger.ledger import Ledger, open_ledger
from oms.reconciler import books
from oms.reconciler.books import BooksRead, How
from oms.venue.clock import system_now_us
from oms.venue.door import Venue
from oms.venue.keys import load_key
from tests.contract.worlds import World


class Keeper:
    """A ledger with an epoch, and the exchange."""

    def __init__(self, ledger: Ledger, venue: Venue) -> None:
        self.ledger = ledger
        self.venue = venue

    def read(self, **how: Any) -> BooksRead:
        as_of_ms = self.venue.exchange.user_data_timestamp_ms()
        usual = {"as_of_ms": as_of_ms, "horizon_ms": 200, "now_us": system_now_us}
        return books.read(self.ledger, self.venue, How(**{**usual, **how}))


@contextmanager
def keeper(world: World) -> Iterator[Keeper]:
    """The world's ledger, taken for as long as the block lasts."""
    venue = Venue.connect(world.sandbox.base_url, world.key_id, load_key(str(world.key_path)), 5)
    ledger = open_ledger(f"sqlite:///{world.ledger_path}", "sandbox", create=True, now_us=system_now_us())
    try:
        ledger.locks.take_writer(1)
        ledger.open_epoch(purpose="reconcile", key_print=None, now_us=system_now_us())
        yield Keeper(ledger, venue)
    finally:
        ledger.end_epoch()
        ledger.close()
