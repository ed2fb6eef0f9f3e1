"""A ledger and an exchange that really spoke to each other, as two files to judge, and ways to spoil them.

Made once a session by the real oms over a real sandbox, with faults; each test gets copies of its own.
"""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oms.lab.judge import Finding, judge
from oms.sandbox.options import STATE_FILE
from tests.contract.worlds import CANCEL, CREATE, CREATE_BATCH, World, fault, row
from tests.sandbox.running import start_sandbox

LEDGER, EXCHANGE = "ledger.sqlite3", "exchange.sqlite3"


@dataclass(frozen=True, slots=True)
class Pair:
    """The two files, at rest, and the bodies that the exchange answers reads with."""

    ledger: Path
    exchange: Path
    bodies: Path

    def judged(self, *, is_settled: bool = True) -> list[Finding]:
        return judge(self.ledger, self.exchange, is_settled=is_settled)

    def invariants(self, *, is_settled: bool = True) -> set[str]:
        return {each.invariant for each in self.judged(is_settled=is_settled)}

    def one(self, where: str) -> dict[str, Any]:
        """The first order of the ledger for which that holds."""
        with closing(sqlite3.connect(self.ledger)) as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute(f"SELECT * FROM orders WHERE {where} ORDER BY key").fetchone())

    def command(self, order_key: int, kind: str = "create") -> int:
        with closing(sqlite3.connect(self.ledger)) as database:
            query = "SELECT key FROM commands WHERE order_key = ? AND kind = ?"
            return int(database.execute(query, (order_key, kind)).fetchone()[0])

    def spoil(self, statement: str, *values: Any, side: str = "ledger") -> None:
        """Change one side by SQL, past every rule of its tables."""
        with closing(sqlite3.connect(getattr(self, side))) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            assert database.execute(statement, values).rowcount > 0
            database.commit()

    def tell(self, order_key: int, kind: str, command_key: int | None = None, **said: Any) -> None:
        """Append an event to an order, as somebody would who knows how the chain is made, and leave the rows alone."""
        with closing(sqlite3.connect(self.ledger)) as database:
            seq, epoch = database.execute("SELECT max(seq) + 1, (SELECT epoch FROM ledger) FROM events").fetchone()
            n = database.execute("SELECT count(*) + 1 FROM events WHERE order_key = ?", (order_key,)).fetchone()[0]
            data = json.dumps({"event": kind, **said})
            values = (seq, order_key, n, command_key, epoch, 1, kind, data, b"")
            database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            database.commit()
        self.rechain()

    def tell_action(self, key: int, kind: str, **said: Any) -> None:
        """Append an event to an action in the same way."""
        with closing(sqlite3.connect(self.ledger)) as database:
            (seq,) = database.execute("SELECT max(seq) + 1 FROM action_events").fetchone()
            n, head = database.execute(
                "SELECT event_count + 1, chain_hash FROM actions WHERE key = ?", (key,)
            ).fetchone()
            data = json.dumps({"event": kind, **said})
            hashed = hashlib.sha256(head + f"{key}|{n}|None|1|1|{kind}|{data}".encode()).digest()[:16]
            database.execute(
                "INSERT INTO action_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (seq, key, n, 1, 1, kind, data, hashed)
            )
            database.execute("UPDATE actions SET event_count = ?, chain_hash = ? WHERE key = ?", (n, hashed, key))
            database.commit()

    def rechain(self) -> None:
        """Compute every chain anew, so that only what the events say is wrong with them."""
        with closing(sqlite3.connect(self.ledger)) as database:
            for key, name in database.execute("SELECT key, client_order_id FROM orders").fetchall():
                head = hashlib.sha256(name.encode()).digest()[:16]
                query = "SELECT * FROM events WHERE order_key = ? ORDER BY n"
                events = database.execute(query, (key,)).fetchall()
                for seq, _, n, command_key, epoch, at_us, kind, data, _ in events:
                    text = f"{key}|{n}|{command_key}|{epoch}|{at_us}|{kind}|{data}"
                    head = hashlib.sha256(head + text.encode()).digest()[:16]
                    database.execute("UPDATE events SET hash = ? WHERE seq = ?", (head, seq))
                database.execute(
                    "UPDATE orders SET chain_hash = ?, event_count = ? WHERE key = ?", (head, len(events), key)
                )
            database.commit()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pair that all tests copy."""
    place = tmp_path_factory.mktemp("judged")
    with start_sandbox(place / "sandbox", tier="unlimited", skew_s=1) as sandbox:
        world = World(sandbox, place)
        live(world)
        for name, source in ((LEDGER, world.ledger_path), (EXCHANGE, sandbox.options.dir / STATE_FILE)):
            with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(place / name)) as copy:
                database.backup(copy)
        shutil.copy(f"{world.ledger_path}.mark", place / f"{LEDGER}.mark")
        for path in ("portfolio/orders", "portfolio/fills", "portfolio/positions", "historical/orders"):
            answer = sandbox.call("GET", f"/{path}?limit=1000")
            (place / path.replace("/", "-")).write_bytes(answer.content)
    return place


def live(world: World) -> None:
    """Everything that can become of an order, in two batches."""
    lost = {f"lost{commit}": commit for commit in (True, False)}
    world.faults(
        *(fault("drop", CREATE, client_order_id=f"^{name}$", commit=commit) for name, commit in lost.items()),
        fault("drop", CREATE_BATCH, nth=1, commit=True),
        fault("drop", CANCEL, nth=1, commit=True),
    )
    world.submit([row(client_order_id=name) for name in lost], submit__concurrency=1)
    trading = [row(price="0.95", count=str(count)) for count in (1, 2, 3)]
    resting = [row(price="0.02"), row(price="0.03", ticker="SBXTEMP-A-T20"), row(side="no", price="0.02")]
    world.submit([*trading, *resting, row(ticker="NOWHERE")], name="mixed", submit__batch_size=20)
    with world.opened() as oms:
        names = [order.client_order_id for order in oms.orders(status="resting")]
    world.cancel(names[0])
    world.cancel(names[1])
    with world.opened() as oms:
        assert oms.create_group("5", name="guard").exit_code == 0
        assert oms.trigger_group("guard").exit_code == 0
        assert oms.reconcile().exit_code == 0


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> Pair:
    for name in (LEDGER, EXCHANGE, f"{LEDGER}.mark"):
        shutil.copy(made / name, tmp_path / name)
    return Pair(tmp_path / LEDGER, tmp_path / EXCHANGE, made)
