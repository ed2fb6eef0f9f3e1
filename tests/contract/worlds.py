"""A ledger, an exchange and what passes between them: real HTTP to a sandbox in a process of its own, a real file.

A `World` is used by one test after another as long as each leaves it settled; what a test sees of itself it names by
its own batch. `judge` is never asked of oms: it reads the exchange's own file.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oms import Oms
from oms.config import Config, load
from oms.records import OrderRecord, SubmitReport
from tests.sandbox.running import Sandbox

TICKER = "SBXRAIN-A-T10"
CREATE, CREATE_BATCH, CANCEL, LIST = "CreateOrderV2", "BatchCreateOrdersV2", "CancelOrderV2", "GetOrders"
_serial = itertools.count(1)


def row(**changes: Any) -> dict[str, Any]:
    """One contract bid at a cent, which rests."""
    usual = {"ticker": TICKER, "action": "buy", "side": "yes", "count": "1", "price": "0.01"}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def flags(**changes: Any) -> list[str]:
    """The same as flags of `oms submit`."""
    return [word for name, value in row(**changes).items() for word in (f"--{name.replace('_', '-')}", str(value))]


def fault(kind: str, operation: str | None = CREATE, **more: Any) -> dict[str, Any]:
    """One rule of the exchange's script: fields of a match under their names, all others belong to the fault."""
    match: dict[str, Any] = {
        name: more.pop(name) for name in ("times", "nth", "client_order_id", "ticker", "method", "path") if name in more
    }
    if operation is not None:
        match["operation"] = operation
    return {"match": match, "fault": {"kind": kind, **more}}


class World:
    """One exchange and one ledger on it."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox = sandbox
        self.directory = directory
        self.ledger_path = directory / f"ledger-{next(_serial)}.sqlite3"
        self.key_id = sandbox.key_id
        self.key_path = sandbox.private_key_path

    # -- oms

    def environ(self, **settings: Any) -> dict[str, str]:
        """The variables that point oms at this world; `submit__wait_s=1` is OMS_SUBMIT__WAIT_S."""
        given = {
            "HOME": str(self.directory),
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_CONFIG_HOME": str(self.directory / "config"),
            "KALSHI_API_KEY_ID": self.key_id,
            "KALSHI_PRIVATE_KEY_PATH": str(self.key_path),
        }
        usual = {
            "environment": "sandbox",
            "venue__sandbox__base_url": self.sandbox.base_url,
            "venue__timeout_s": 2,
            "ledger__url": self.ledger_path,
            "submit__in_flight_horizon_s": 0.2,
            "submit__batch_size": 1,
            "submit__concurrency": 2,
            "submit__wait_s": 0.6,
        }
        return given | {f"OMS_{name.upper()}": str(value) for name, value in {**usual, **settings}.items()}

    def config(self, **settings: Any) -> Config:
        return load({}, self.environ(**settings))

    def serial(self) -> int:
        """A number that no other test has."""
        return next(_serial)

    def opened(self, **settings: Any) -> Oms:
        """The API on this world; a context manager."""
        return Oms.open(self.config(**settings))

    def submit(self, rows: Sequence[Mapping[str, Any]], *, name: str | None = None, **settings: Any) -> "Run":
        """Record rows and send them, as one batch that bears a name of its own."""
        name = name or f"b{next(_serial)}"
        with self.opened(**settings) as oms:
            report = oms.submit(rows, batch=name)
            return Run(self, report, list(oms.run_orders(report)))

    def drain(self, **settings: Any) -> "Run":
        """Send what is pending."""
        with self.opened(**settings) as oms:
            report = oms.drain()
            return Run(self, report, list(oms.run_orders(report)))

    def cancel(self, *names: str, **settings: Any) -> "Run":
        with self.opened(**settings) as oms:
            report = oms.cancel(names)
            return Run(self, report, list(oms.run_orders(report)))

    def order(self, name: str) -> OrderRecord:
        with self.opened() as oms:
            return oms.order(name)

    def events(self, name: str, command: str | None = "create") -> list[str]:
        """What the ledger recorded about one command of an order (None: about the order alone), in order."""
        with self.opened() as oms:
            return [entry.event for entry in oms.why(name).timeline if entry.command == command]

    def submit_each(self, rules: Mapping[str, dict[str, Any]], **settings: Any) -> "Run":
        """One order for each name, in this order, each meeting the rule of its name."""
        prefix = f"e{next(_serial)}"
        rows = [row(client_order_id=f"{prefix}-{number}") for number in range(len(rules))]
        for given, rule in zip(rows, rules.values(), strict=True):
            rule["match"]["client_order_id"] = f"^{given['client_order_id']}$"
        self.faults(*rules.values())
        return self.submit(rows, **settings)

    # -- the exchange

    def faults(self, *rules: dict[str, Any]) -> None:
        """Replace the exchange's script of faults."""
        self.sandbox.control(faults=list(rules))

    def book(self, orders: Sequence[OrderRecord]) -> list[str | None]:
        """What the exchange really holds under the ids of these orders; fails where one id has two orders."""
        found: list[str | None] = []
        for order in orders:
            rows = [x for x in self.sandbox.orders() if x["client_order_id"] == order.client_order_id]
            assert len(rows) <= 1, rows
            found.append(rows[0]["status"] if rows else None)
        return found

    def sent(self, operation: str = CREATE) -> list[dict[str, Any]]:
        """Every request of that kind that reached the exchange, oldest first."""
        return [each for each in self.sandbox.log() if each["operation"] == operation]

    # -- between two tests

    def is_settled(self) -> bool:
        """Whether nothing is queued, in doubt, parked or halted: then the next test may have this world."""
        with self.opened() as oms:
            if not self.ledger_path.exists():
                return True
            status = oms.status(ask_exchange=False)
            return not (status.queued or status.on_wire or status.in_doubt or status.parked)


class Run:
    """What one submit, drain or cancel came to."""

    def __init__(self, world: World, report: SubmitReport, orders: list[OrderRecord]) -> None:
        self.world = world
        self.report = report
        self.orders = orders

    @property
    def exit_code(self) -> int:
        return self.report.exit_code

    @property
    def statuses(self) -> list[str]:
        return [order.status for order in self.orders]

    @property
    def states(self) -> list[str]:
        return [order.state for order in self.orders]

    def events(self, place: int = 0, command: str | None = "create") -> list[str]:
        return self.world.events(self.orders[place].client_order_id, command)

    def book(self) -> list[str | None]:
        return self.world.book(self.orders)
