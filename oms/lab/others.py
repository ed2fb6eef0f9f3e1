"""What others do at the exchange: they trade, cancel, pause and close, and the exchange itself is started again."""

from contextlib import suppress
from typing import Any

from oms.lab.running import OPEN, PAUSED
from oms.lab.scene import Scene
from oms.sandbox.state import Moment


class Others:
    """Acts of strangers, and of the exchange."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._world = scene.world
        self._rng = scene.rng
        self._paused: set[str] = set()
        self._closed: set[str] = set()

    def trade(self) -> None:
        """Somebody takes a part of an order that rests."""
        resting = [order for order in self._scene.resting() if order.ticket.subaccount == 0]
        if resting:
            order = self._rng.choice(resting)
            name = order.ticket.client_order_id
            side = "ask" if order.ticket.side == "bid" else "bid"
            price = f"{order.now.price_e4 / 10_000:.4f}"
            count = f"{self._rng.randint(1, 4)}"
            trade = {"ticker": order.ticket.ticker, "side": side, "price": price, "count": count}
            self._outside(trade={**trade, "client_order_id": name})

    def cancel(self) -> None:
        """Somebody cancels an order by hand."""
        resting = self._scene.resting()
        if resting:
            # Past the wire log: it was not oms that asked.
            order, exchange, now_us = self._rng.choice(resting), self._world.exchange, self._world.clock.now_us
            exchange.advance(now_us)
            if order.now.status == "resting":
                exchange.desk.end(order, Moment(now_us, now_us), "canceled")
                exchange.state.journal.commit()
            self._world.note("canceled outside", order.order_id)

    def pause_market(self) -> None:
        """One market is paused, or opened again."""
        ticker = self._rng.choice([ticker for ticker in OPEN if ticker not in self._closed])
        is_paused = ticker in self._paused
        (self._paused.discard if is_paused else self._paused.add)(ticker)
        self._outside(market={"ticker": ticker, "status": "open" if is_paused else "paused"})

    def pause_exchange(self) -> None:
        """Trading, or all of it, is paused, or goes on."""
        self._outside(pause=self._rng.choice(("none", "trading", "exchange")))

    def restart(self) -> None:
        """The exchange's process dies and starts again."""
        self._scene.harm += 1
        self._world.restart_exchange()

    def close_market(self) -> None:
        """One market closes for good, which cancels what rests in it."""
        self._outside(market={"ticker": OPEN[1], "status": "closed"})
        self._closed.add(OPEN[1])

    def calm(self) -> None:
        """Nothing is paused any more."""
        self._world.outside(pause="none")
        for ticker in sorted({*self._paused, PAUSED} - self._closed):
            self._world.outside(market={"ticker": ticker, "status": "open"})

    def _outside(self, **change: Any) -> None:
        with suppress(ValueError):  # a price off that market's grid
            self._world.outside(**change)
