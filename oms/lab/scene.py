"""Where a campaign plays: its world, the draws that make it, and what can be known of both sides from outside."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from oms.lab.options import Options
from oms.lab.world import World
from oms.sandbox.account import Account
from oms.sandbox.orders import Order

_PARKED = """
SELECT client_order_id FROM orders JOIN commands ON commands.order_key = orders.key WHERE commands.state = 'parked'
"""
_PARKED_ACTIONS = "SELECT key FROM actions WHERE state = 'parked'"
_GROUPS = "SELECT order_group_id FROM order_groups WHERE state <> 'deleted' ORDER BY order_group_id"
_DELETED = "SELECT order_group_id FROM order_groups WHERE state = 'deleted' ORDER BY order_group_id"
_LIVE = "SELECT client_order_id FROM orders WHERE status IN ('pending', 'resting') ORDER BY key"


class Scene:
    """One campaign's world. `harm` counts accidents besides those of the network."""

    def __init__(self, world: World, options: Options, rng: random.Random) -> None:
        self.world = world
        self.options = options
        self.rng = rng
        self.harm = 0
        self.was_set_back = False  # the ledger was lost, or went back in time
        self._is_made = False  # there is a ledger, that is, and not only the beginning of one
        self._rows: dict[str, str] = {}  # client_order_id -> which row of which batch it is
        self._late: list[str] = []  # turned up after they had ended

    def note_set_back(self) -> None:
        """The ledger is not the one that it was."""
        self.harm += 1
        self.was_set_back = True
        self._is_made = False  # to be looked at again

    # -- of the ledger ------------------------------------------------------------------------------------------------

    @property
    def has_ledger(self) -> bool:
        """Whether there is one; the making of one that was cut off leaves none."""
        if not self._is_made and self.world.ledger_path.exists():
            with self._ledger() as ledger:
                found = ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchone()
            self._is_made = found is not None
        return self._is_made

    def known(self) -> list[str]:
        """Every order of the ledger, by its client_order_id."""
        return self._names("SELECT client_order_id FROM orders ORDER BY key")

    def live_here(self) -> list[str]:
        """Mostly those that may rest, as far as the ledger knows; sometimes any."""
        if self.rng.random() < 0.15 or not self.has_ledger:
            return self.known()
        return self._names(_LIVE)

    def parked(self) -> list[str]:
        """The orders about which a person has to decide."""
        return self._names(_PARKED)

    def parked_actions(self) -> list[int]:
        """The actions about which a person has to decide."""
        return self._read(_PARKED_ACTIONS)

    def groups(self, *, deleted: bool = False) -> list[str]:
        """The order groups that the ledger knows, by their ids: those that are there, or those that are gone."""
        return self._names(_DELETED if deleted else _GROUPS)

    def _names(self, query: str) -> list[str]:
        return self._read(query)

    def _read(self, query: str) -> list[Any]:
        if not self.has_ledger:
            return []
        with self._ledger() as ledger:
            return [value for (value,) in ledger.execute(query)]

    def recorded(self) -> tuple[int, int]:
        """How many events there are, of orders and of actions, and how many writes have reached the exchange."""
        with self._ledger() as ledger:
            (events,) = ledger.execute(
                "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM action_events)"
            ).fetchone()
        return events, len(self.world.exchange.state.journal.read("wire", "method <> 'GET'"))

    def note_rows(self) -> None:
        """Remember which row every id in the ledger stands for (its tag, which a retry takes over), and if late."""
        self._late = []
        with self._ledger() as ledger:
            for name, tag, is_late in ledger.execute("SELECT client_order_id, tag, late FROM orders"):
                self._rows[name] = tag or name
                if is_late:
                    self._late.append(name)

    @contextmanager
    def _ledger(self) -> Iterator[sqlite3.Connection]:
        address = f"{self.world.ledger_path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            yield connection

    # -- of the exchange ----------------------------------------------------------------------------------------------

    @property
    def account(self) -> Account:
        """The account at the exchange."""
        state = self.world.exchange.state
        return state.accounts[state.user_id]

    def groups_there(self) -> list[str]:
        """The account's order groups at the exchange, by their ids."""
        groups = self.world.exchange.state.groups.values()
        return [group.group_id for group in groups if group.user_id == self.account.user_id and not group.is_deleted]

    def resting(self) -> list[Order]:
        """What rests there."""
        return [order for order in self.account.orders if order.now.status == "resting"]

    # -- of both ------------------------------------------------------------------------------------------------------

    def doubled(self) -> list[str]:
        """I3, beyond ids: no row of any batch, whatever ids its retries had, is two orders at the exchange."""
        found: dict[str, list[str]] = {}
        for order in self.account.orders:
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
