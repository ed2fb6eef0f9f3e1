"""What happens in a campaign, act by act: runs of oms, other people at the exchange, accidents of machine and files."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from oms.lab.crash import Steps
from oms.lab.options import Options
from oms.lab.world import Life, World
from oms.sandbox.account import Account
from oms.sandbox.orders import Order
from oms.sandbox.state import Moment

# Three shards, three grids, one market that is paused from the start, one ticker that nobody knows.
_TICKERS = (
    *("SBXRAIN-A-T10", "SBXRAIN-A-T20", "SBXTEMP-A-T10", "SBXGAME-A-T10", "SBXCOIN-A-T10", "SBXRATE-A-T10"),
    *("SBXRATE-B-T10", "SBXNONE-A-T10"),
)
_OPEN, _PAUSED = _TICKERS[:6], _TICKERS[6]
_WAYS = ("good_till_canceled",) * 6 + ("immediate_or_cancel", "fill_or_kill")

_PARKED = """
SELECT client_order_id FROM orders JOIN commands ON commands.order_key = orders.key WHERE commands.state = 'parked'
"""

_LIVE = "SELECT client_order_id FROM orders WHERE status IN ('pending', 'resting') ORDER BY key"

Row = dict[str, Any]


class Story:
    """The acts of one campaign. `harm` counts accidents besides those of the network."""

    def __init__(self, world: World, options: Options, rng: random.Random) -> None:
        self.world = world
        self.options = options
        self.harm = 0
        self.was_set_back = False
        self._rng = rng
        self._batches: list[tuple[str | None, list[Row]]] = []
        self._rows: dict[str, str] = {}  # client_order_id -> which row of which batch it is
        self._late: list[str] = []  # turned up after they had ended
        self._is_made = False  # there is a ledger, that is, and not only the beginning of one
        self._copies: list[Path] = []
        self._paused: set[str] = set()
        self._closed: set[str] = set()
        self._other = world.ledger_path.parent.parent / "other"  # a copy of the ledger on another machine
        acts: list[tuple[int, Callable[[], None]]] = [
            (8, self._submit),
            (3, self._submit_again),
            (3, self._single),
            (4, self._drain),
            (2, self._retry),
            (4, self._cancel),
            (1, self._cancel_in_bulk),
            (9, self._amend),
            (6, self._decrease),
            (1, self._withdraw),
            (5, self._reconcile),
            (4, self._trade),
            (2, self._cancel_outside),
            (1, self._pause_market),
            (1, self._pause_exchange),
            (2, self._restart_exchange),
            (2, self._wait),
            (1, self._change_key),
            (1, self._change_settings),
            (1, self._close_market),
        ]
        if options.clock_harm:
            acts += [(3, self._set_clock), (1, self._suspend)]
        if options.ledger_harm:
            acts += [(2, self._copy), (2, self._lose), (3, self._set_back), (2, self._swap)]
        self._acts = [act for _, act in acts]
        self._weights = [weight for weight, _ in acts]

    def act(self) -> None:
        """Let one thing happen."""
        act = self._rng.choices(self._acts, self._weights)[0] if self._batches else self._submit
        act()

    # -- runs of oms --------------------------------------------------------------------------------------------------

    def _live(self, verb: str, *arguments: Any, **options: Any) -> Life:
        rng = self._rng
        crash_at = None
        on_step: Callable[[Steps, str], None] = lambda steps, name: None  # noqa: E731
        if rng.random() < self.options.crash_rate:
            if rng.random() < 0.5:
                on_step = self._amid_sending(rng.randint(1, 12))
            else:  # as many ends among the first twenty steps as among the next three hundred
                crash_at = round(2 ** rng.uniform(0, 8.5))
        elif rng.random() < 0.06:
            on_step = self._interrupting(rng.randint(1, 120))
        elif self.options.second_process and rng.random() < 0.5:
            on_step = self._beside(rng.randint(1, 25))
        return self.world.live(verb, *arguments, crash_at=crash_at, on_step=on_step, **options)

    def _amid_sending(self, after: int) -> Callable[[Steps, str], None]:
        """The life ends while requests are handed over, sent and answered."""
        left = after

        def on_step(steps: Steps, name: str) -> None:
            nonlocal left
            left -= name.startswith(("hand over", "send POST", "answer POST", "send DELETE", "answer DELETE"))
            if left == 0:
                steps.end(name)

        return on_step

    def _interrupting(self, after: int) -> Callable[[Steps, str], None]:
        """Somebody asks the run to stop."""
        left = after

        def on_step(steps: Steps, name: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.harm += 1
                steps.interrupt(15)

        return on_step

    def _beside(self, after: int) -> Callable[[Steps, str], None]:
        """A second process runs while the first one waits for the network."""
        left = after

        def on_step(steps: Steps, name: str) -> None:
            nonlocal left
            if name.startswith(("send", "sleep", "answer")):
                left -= 1
                if left == 0:
                    self.harm += 1
                    self._second()

        return on_step

    def _second(self) -> None:
        crash_at = self._rng.randint(1, 60) if self._rng.random() < self.options.crash_rate else None
        if self._rng.random() < 0.45:  # somebody removes the lock of the first one's run: only the epoch is left
            self.world.ledger_path.with_name("oms.sqlite3.lock").unlink(missing_ok=True)
            self.world.note("lock removed")
            self.world.live("drain", crash_at=crash_at)
        elif self._rng.random() < 0.6:
            name, rows = self._new_batch()
            self.world.live("submit", rows, batch=name, wait=False, crash_at=crash_at)
        else:
            self.world.live("reconcile", wait_s=0, crash_at=crash_at)

    def _submit(self) -> None:
        name, rows = self._new_batch()
        ttl_s = self._rng.choice((None, None, None, 1, 20))
        self._live("submit", rows, batch=name, ttl_s=ttl_s)

    def _submit_again(self) -> None:
        name, rows = self._rng.choice(self._batches)
        if name is not None or "client_order_id" in rows[0]:
            self._live("submit", rows, batch=name)

    def _single(self) -> None:
        rows = self._new_rows(1)
        if self._rng.random() < 0.5:
            rows[0]["client_order_id"] = f"own-{len(self._batches)}"
        self._batches.append((None, rows))
        self._live("submit", rows)

    def _drain(self) -> None:
        self._live("drain")

    def _retry(self) -> None:
        name, _ = self._rng.choice(self._batches)
        if name is not None:
            self._live("retry", name)

    def _cancel(self) -> None:
        names = self._known()
        if names:
            self._live("cancel", self._rng.sample(names, min(len(names), self._rng.randint(1, 3))))

    def _cancel_in_bulk(self) -> None:
        if self.has_ledger:
            if self._rng.random() < 0.5:
                self._live("cancel", ticker=self._rng.choice(_OPEN))
            else:
                self._live("cancel", everything=True)

    def _amend(self) -> None:
        names = self._live_here()
        if names:
            rng = self._rng
            price = f"0.{rng.randint(1, 12):02}" if rng.random() < 0.7 else None
            count = str(rng.randint(1, 9)) if price is None or rng.random() < 0.4 else None
            self._live("amend", rng.choice(names), price=price, count=count)

    def _decrease(self) -> None:
        names = self._live_here()
        if names:
            how, count = self._rng.choice((("to", "1"), ("to", "2"), ("by", "1"), ("by", "0.50")))
            self._live("decrease", self._rng.choice(names), **{how: count})

    def _withdraw(self) -> None:
        names = self._known()
        if names:
            self._live("withdraw", [self._rng.choice(names)])

    def _reconcile(self) -> None:
        self._live("reconcile")

    # -- others -------------------------------------------------------------------------------------------------------

    def _trade(self) -> None:
        resting = [order for order in self._resting() if order.ticket.subaccount == 0]
        if resting:
            order = self._rng.choice(resting)
            name = order.ticket.client_order_id
            side = "ask" if order.ticket.side == "bid" else "bid"
            price = f"{order.now.price_e4 / 10_000:.4f}"
            count = f"{self._rng.randint(1, 4)}"
            trade = {"ticker": order.ticket.ticker, "side": side, "price": price, "count": count}
            self._outside(trade={**trade, "client_order_id": name})

    def _cancel_outside(self) -> None:
        resting = self._resting()
        if resting:
            # Past the wire log: it was not oms that asked.
            order, exchange, now_us = self._rng.choice(resting), self.world.exchange, self.world.clock.now_us
            exchange.advance(now_us)
            if order.now.status == "resting":
                exchange.desk.end(order, Moment(now_us, now_us), "canceled")
                exchange.state.journal.commit()
            self.world.note("canceled outside", order.order_id)

    def _pause_market(self) -> None:
        ticker = self._rng.choice([ticker for ticker in _OPEN if ticker not in self._closed])
        is_paused = ticker in self._paused
        (self._paused.discard if is_paused else self._paused.add)(ticker)
        self._outside(market={"ticker": ticker, "status": "open" if is_paused else "paused"})

    def _pause_exchange(self) -> None:
        self._outside(pause=self._rng.choice(("none", "trading", "exchange")))

    def _restart_exchange(self) -> None:
        self.harm += 1
        self.world.restart_exchange()

    def _outside(self, **change: Any) -> None:
        with suppress(ValueError):  # a price off that market's grid
            self.world.outside(**change)

    def _wait(self) -> None:
        self.world.wait(self._rng.choice((0.5, 2, 10, 60)))

    def _change_key(self) -> None:
        self.world.use_key(self._rng.randrange(2))

    def _change_settings(self) -> None:
        """Somebody edits the configuration between two runs."""
        rng = self._rng
        resend = rng.choice(("when_absent", "never", "at_once" if self.options.dedupe == "forever" else "when_absent"))
        self.world.use(
            OMS_SUBMIT__RESEND=resend,
            OMS_SUBMIT__CONCURRENCY=str(rng.choice((1, 3, 8))),
            OMS_SUBMIT__BATCH_SIZE=rng.choice(("1", "3", "auto")),
        )

    def _close_market(self) -> None:
        """One market closes for good, which cancels what rests in it."""
        self._outside(market={"ticker": _OPEN[1], "status": "closed"})
        self._closed.add(_OPEN[1])

    # -- accidents ----------------------------------------------------------------------------------------------------

    def _set_clock(self) -> None:
        self.harm += 1
        self.world.clock.wall_offset_us = self._rng.choice(
            (0, 900_000, -1_500_000, 4_000_000, -30_000_000, 3_600_000_000)
        )
        self.world.note("clock set", self.world.clock.wall_offset_us)

    def _suspend(self) -> None:
        self.harm += 1
        self.world.clock.suspend(self._rng.choice((1, 8, 3_600)) * 1_000_000)

    def _copy(self) -> None:
        """Somebody keeps a copy of the ledger's files as they are."""
        if not self.has_ledger:
            return
        copy = self.world.ledger_path.parent.parent / f"copy-{len(self._copies)}"
        if self._rng.random() < 0.5:
            copy.mkdir()
            if self.world.live("backup", copy / "oms.sqlite3").error is not None:
                return
        else:
            shutil.copytree(self.world.ledger_path.parent, copy)
        self._copies.append(copy)
        self.world.note("copied")

    def _lose(self) -> None:
        """All files of the ledger are gone."""
        self._let_arrive()
        self._set_aside()
        self.world.note("lost")

    def _set_back(self) -> None:
        """An older copy comes back, with the mark of its time or with the one of today."""
        if not self._copies:
            return
        self._let_arrive()
        if self._rng.random() < 0.3 and self.has_ledger:
            self._note_harm()
            self._live("restore", self._rng.choice(self._copies) / "oms.sqlite3")
            return
        folder = self.world.ledger_path.parent
        mark = folder / "oms.sqlite3.mark"
        today = mark.read_bytes() if mark.exists() and self._rng.random() < 0.7 else None
        copy = self._rng.choice(self._copies)
        if today is None and self._rng.random() < 0.5:  # a snapshot of the whole disk: not even an inode differs
            self._empty(folder)
        else:
            self._set_aside()
        self._note_harm()
        for path in sorted(copy.iterdir()):
            if path.suffix != ".sqlite3-shm":
                (folder / path.name).write_bytes(path.read_bytes())
        if today is not None:
            mark.write_bytes(today)
        self.world.note("set back", today is not None)

    def _let_arrive(self) -> None:
        """What was on its way when a ledger is lost only the exchange's own memory of ids covers (P2)."""
        if self.options.dedupe != "forever":
            self.world.wait(2 * self.options.horizon_s)

    def _swap(self) -> None:
        """Two machines go on from one ledger and its copy, each with its own marks, in turn."""
        if not self.has_ledger:
            return
        self._let_arrive()
        self._note_harm()
        folder = self.world.ledger_path.parent
        if not self._other.exists():
            shutil.copytree(folder, self._other)
        away = folder.parent / "away"
        for source, target in ((folder, away), (self._other, folder), (away, self._other)):
            target.mkdir(exist_ok=True)
            for path in sorted(source.iterdir()):
                if path.is_file():
                    path.rename(target / path.name)
        self.world.note("swapped")

    def _set_aside(self) -> None:
        self._note_harm()
        for path in sorted(self.world.ledger_path.parent.iterdir()):
            if path.is_file():
                path.unlink()

    def _empty(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            if path.name.endswith(("-wal", "-shm")):
                path.unlink()

    def _note_harm(self) -> None:
        self.harm += 1
        self.was_set_back = True
        self._is_made = False  # to be looked at again

    # -- the end ------------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing goes wrong from now on, and everything that was ever submitted is submitted once more."""
        world = self.world
        world.note("calm")
        world.clock.wall_offset_us = 0
        world.outside(pause="none")
        for ticker in sorted({*self._paused, _PAUSED} - self._closed):
            world.outside(market={"ticker": ticker, "status": "open"})
        world.wait(2 * self.options.horizon_s + 60)

    def settle(self) -> None:
        """One pass of somebody who wants everything done."""
        world = self.world
        if self.was_set_back:
            for name, rows in self._batches:
                if name is not None or "client_order_id" in rows[0]:
                    world.live("submit", rows, batch=name)
        world.live("drain")
        world.wait(self.options.horizon_s + 2)
        world.live("reconcile")
        for name in self._parked():  # what a person does who looks it up at the exchange
            there = self._account.by_client_order_id.get(name)
            world.live("resolve", name, order_id=there.order_id if there else None, absent=there is None)

    def again(self) -> list[str]:
        """I25: once all is settled, another pass sends nothing and records nothing."""
        before = self._recorded()
        self.settle()
        after = self._recorded()
        return [] if before == after else [f"I25: events and writes were {before}, and {after} after one more pass"]

    def _recorded(self) -> tuple[int, int]:
        with self._ledger() as ledger:
            (events,) = ledger.execute("SELECT count(*) FROM events").fetchone()
        return events, len(self.world.exchange.state.journal.read("wire", "method <> 'GET'"))

    # -- knowing ------------------------------------------------------------------------------------------------------

    @property
    def has_ledger(self) -> bool:
        """Whether there is one; the making of one that was cut off leaves none."""
        if not self._is_made and self.world.ledger_path.exists():
            with self._ledger() as ledger:
                found = ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchone()
            self._is_made = found is not None
        return self._is_made

    def note_rows(self) -> None:
        """Remember which row every id in the ledger stands for (its tag, which a retry takes over), and if late."""
        self._late = []
        with self._ledger() as ledger:
            for name, tag, is_late in ledger.execute("SELECT client_order_id, tag, late FROM orders"):
                self._rows[name] = tag or name
                if is_late:
                    self._late.append(name)

    def doubled(self) -> list[str]:
        """I3, beyond ids: no row of any batch, whatever ids its retries had, is two orders at the exchange."""
        found: dict[str, list[str]] = {}
        for order in self._account.orders:
            name = order.ticket.client_order_id
            found.setdefault(self._rows.get(name, name), []).append(name)
        return [
            f"I3: {row} is {len(names)} orders: {', '.join(names)}" for row, names in found.items() if len(names) > 1
        ]

    def late(self) -> list[str]:
        """I8: no order turns up that was taken for rejected or unsent, unless a ledger went back or a listing lied."""
        if self.was_set_back or self.world.network.met.get("empty_list"):
            return []
        return [f"I8: {name} had ended, and turned up at the exchange" for name in self._late]

    def _parked(self) -> list[str]:
        if not self.has_ledger:
            return []
        with self._ledger() as ledger:
            return [name for (name,) in ledger.execute(_PARKED)]

    def _known(self) -> list[str]:
        if not self.has_ledger:
            return []
        with self._ledger() as ledger:
            return [name for (name,) in ledger.execute("SELECT client_order_id FROM orders ORDER BY key")]

    def _live_here(self) -> list[str]:
        """Mostly those that may rest, as far as the ledger knows; sometimes any."""
        if self._rng.random() < 0.15 or not self.has_ledger:
            return self._known()
        with self._ledger() as ledger:
            return [name for (name,) in ledger.execute(_LIVE)]

    @contextmanager
    def _ledger(self) -> Iterator[sqlite3.Connection]:
        address = f"{self.world.ledger_path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            yield connection

    @property
    def _account(self) -> Account:
        state = self.world.exchange.state
        return state.accounts[state.user_id]

    def _resting(self) -> list[Order]:
        return [order for order in self._account.orders if order.now.status == "resting"]

    def _new_batch(self) -> tuple[str, list[Row]]:
        name = f"b{len(self._batches)}"
        rows = self._new_rows(self._rng.randint(1, self.options.most_rows))
        self._batches.append((name, rows))
        return name, rows

    def _new_rows(self, count: int) -> list[Row]:
        return [self._new_row(f"{len(self._batches)}/{number}") for number in range(count)]

    def _new_row(self, tag: str) -> Row:
        rng = self._rng
        row: Row = {
            "ticker": rng.choice(_OPEN) if rng.random() < 0.93 else rng.choice(_TICKERS),
            "side": rng.choice(("bid", "ask")),
            "price": f"{rng.randint(1, 99) / 100:.2f}",
            "count": str(rng.randint(1, 5)) if rng.random() < 0.9 else "1.5",
            "time_in_force": rng.choice(_WAYS),
            "tag": tag,
        }
        if rng.random() < 0.1:  # rests and never trades: oms reads the positions of the primary subaccount only
            row.update(subaccount=1, side="bid", price="0.01", time_in_force=_WAYS[0])
        return row
