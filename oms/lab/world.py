"""A world for oms: one exchange, one folder with a ledger, one virtual clock; lives are run in it and may crash.

    with World(folder) as world:
        life = world.live("submit", rows, batch="b")                  # a whole run of `Oms.submit`
        life = world.live("reconcile", crash_at=17)                   # ends by a kill at its 17th step
        for step in itertools.count(1):                               # a kill at every step of a scenario
            with World(folder / str(step)) as world:
                if not world.live("submit", rows, crash_at=step).crashed: break
                world.live("submit", rows); world.live("reconcile")
                assert judge(world.ledger_path, world.exchange_path) == []

`live(verb, ...)` calls that method of `Oms` as a process of its own would: fresh objects, the same files. Every other
knob is an argument of `World`: `fates` (what each request suffers), `disk` (what a crash leaves of the files), `knobs`
(the exchange's), `settings` (of oms, as environment variables name them). Between lives: `world.wait(s)`,
`world.outside(...)` (the sandbox's control requests), `world.restart_exchange()`, `world.clock`. `on_step` sees each
step of a life before it is made, and may run another life inside it: that is a second process, while the first sleeps.

Nothing reads a real clock or draws a random number of its own.
"""

import hashlib
import json
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oms.app.api import Oms
from oms.app.session import Endpoint
from oms.app.tally import Memory
from oms.config import load
from oms.errors import OmsError
from oms.interrupt import Interrupt
from oms.lab.clock import START_US, Clock
from oms.lab.crash import Crash, Disk, Steps, watching
from oms.lab.judge import Told
from oms.lab.network import BASE_URL, WELL, Drawn, Fate, Network, SimulatedTransport
from oms.lab.senders import SimulatedSenders
from oms.ledger.lock import Lock
from oms.records import OrderRecord, SubmitReport
from oms.sandbox import auth, control, wire
from oms.sandbox.exchange import Exchange
from oms.sandbox.journal import Journal
from oms.sandbox.knobs import Knobs
from oms.submitter.ports import Ports
from oms.venue.clock import ExchangeClock
from oms.venue.door import Venue
from oms.venue.keys import Key
from oms.venue.limiter import Limiter
from oms.venue.transport import Request

__all__ = ["Breach", "Life", "World"]

TIMEOUT_S = 2.0


class Breach(BaseException):
    """A promise of oms was broken while it ran; no Exception, so that nothing of oms answers it."""


@dataclass(frozen=True, slots=True)
class Life:
    """How one life went. A crashed one has neither a report nor an error."""

    verb: str
    steps: int
    crashed: str = ""  # the name of the step at which it ended
    report: Any = None  # what the verb returned
    error: OmsError | None = None

    @property
    def exit_code(self) -> int | None:
        """What its process would have exited with; None where a verb has no code."""
        if self.error is not None:
            return self.error.exit_code
        code: int | None = getattr(self.report, "exit_code", None)
        return code


class World:
    """See the module. Times in microseconds; a context manager that closes the exchange and lets go of the files."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: str = "0",
        fates: Callable[[Request], Fate] = lambda request: WELL,
        disk: Callable[[Path], Disk] = Disk,
        knobs: Knobs | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`folder` is made and should be new; on a memory file system the many syncs cost nothing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.exchange_path = folder / "exchange.sqlite3"
        self.ledger_path = folder / "ledger" / "oms.sqlite3"
        self.ledger_path.parent.mkdir(exist_ok=True)
        self.disk = disk(self.ledger_path.parent)
        self.clock = Clock()
        self.lives = self.crashes = 0
        self.trace: list[str] = []
        self.told: list[Told] = []  # what lives have answered of orders
        self._digest = hashlib.sha256()
        self.rng = random.Random(f"world {seed}")  # noqa: S311 - the draw of a simulation
        self._running = 0  # lives inside lives
        self._knobs = knobs or Knobs(tier="unlimited", skew_ms=2_500)
        self._seed = seed
        self.network = Network(self.clock, self._open_exchange(), fates)
        self.network.on_arrival = self._note_arrival
        self.network.on_departure = self._check_written_ahead
        self.key = self._key(0)
        self._settings = dict(settings or {})
        self.config = load({}, self._environ(self._settings))

    # -- lives ------------------------------------------------------------------------------------------------------

    def live(
        self,
        verb: str,
        *arguments: Any,
        crash_at: int | None = None,
        on_step: Callable[[Steps, str], None] = lambda steps, name: None,
        **options: Any,
    ) -> Life:
        """Run one verb of `Oms` in a process of its own, until it returns, raises an OmsError, or crashes.

        `crash_at` numbers the step at which it is killed (1 is the first). `on_step(steps, name)` sees each step before
        it is made; `steps.end(name)` in it is a kill there, `steps.interrupt(15)` the signal that asks it to stop.
        After a crash the files hold what `disk` says, locks are free, and what had left is still on its way. Raises
        Breach when something was sent that was not on the disk.
        """
        self.lives += 1
        self.note("live", verb, *(options[name] for name in ("batch",) if name in options))
        interrupt = Interrupt()
        steps = Steps(crash_at, lambda name: self._on_step(steps, name, on_step), interrupt.request)
        steps.on_crash = self._die
        oms = self._oms(steps, interrupt)
        self._running += 1
        with watching(self.disk, steps, self.rng.randbytes):
            try:
                life = self._lived(oms, verb, arguments, options, steps)
            finally:
                self._running -= 1
        if steps.is_dead and not self._running:
            self.disk.restore()
        return life

    def _lived(self, oms: Oms, verb: str, arguments: tuple[Any, ...], options: Mapping[str, Any], steps: Steps) -> Life:
        report, error = None, None
        try:
            try:
                report = getattr(oms, verb)(*arguments, **options)
                self.told += _told(oms, report)
            except OmsError as exc:
                error = exc
            oms.close()
        except Crash:
            self._bury(oms)
            self.note("crashed", steps.count, steps.crashed_at)
            return Life(verb, steps.count, steps.crashed_at)
        except BaseException:
            self._bury(oms)
            raise
        life = Life(verb, steps.count, report=report, error=error)
        self.note("lived", life.exit_code, steps.count, error.code if error is not None else "")
        return life

    def _on_step(self, steps: Steps, name: str, on_step: Callable[[Steps, str], None]) -> None:
        self.note(name)
        on_step(steps, name)

    def _die(self) -> None:
        self.crashes += 1
        if self._running == 1:  # beside another process the files are shared, and that one goes on
            self.disk.remember()

    def _bury(self, oms: Oms) -> None:
        """What the kernel does for a dead process: its locks are free, and its connections are gone."""
        if oms._ledger is not None:
            oms._ledger.locks.close()
            oms._ledger.let_go()

    def _oms(self, steps: Steps, interrupt: Interrupt) -> Oms:
        clock = self.clock

        def sleep(seconds: float) -> None:
            steps.reach("sleep")
            clock.sleep(seconds)

        def acquire(lock: Lock, wait_s: float) -> bool:
            if lock.acquire(0):
                return True
            sleep(wait_s)
            return lock.acquire(0)

        exchange_clock = ExchangeClock(clock.wall_us, clock.monotonic)
        transport = SimulatedTransport(
            self.key.key_id, _signing(self.key.public_pem), TIMEOUT_S, exchange_clock, self.network, steps
        )
        venue = Venue(transport, Limiter(), sleep)
        where = Endpoint(BASE_URL, self.key.key_id, Path("unused"))
        ports = Ports(clock.wall_us, clock.monotonic, sleep, acquire, SimulatedSenders)
        return Oms(self.config, interrupt, memory=Memory(where=where, venue=venue), ports=ports)

    # -- the exchange -------------------------------------------------------------------------------------------------

    def use_key(self, number: int) -> None:
        """Let the next lives sign with another of the account's two API keys, 0 or 1."""
        self.key = self._key(number)
        self.use()
        self.note("key", number)

    def use(self, **settings: str) -> None:
        """Let the next lives have these settings too, by the names of their environment variables."""
        self._settings.update(settings)
        self.config = load({}, self._environ(self._settings))
        self.note("settings", json.dumps(settings, sort_keys=True))

    def _key(self, number: int) -> auth.Key:
        (found,) = (key for key in self.exchange.state.keys.values() if key.public_pem == _public_pem(number))
        return found

    @property
    def exchange(self) -> Exchange:
        """The exchange as it runs now."""
        return self.network.exchange

    def restart_exchange(self) -> None:
        """Its process dies and starts again on its own file."""
        on_the_way = self.exchange._arrivals
        self.exchange.state.journal.close()
        self.network.exchange = self._open_exchange()
        self.exchange._arrivals = on_the_way  # the network has them, not the exchange
        self.note("exchange restarted")

    def outside(self, **change: Any) -> dict[str, Any]:
        """What others do at the exchange: a control request of the sandbox, such as trade=..., market=..., pause=..."""
        self.note("outside", json.dumps(change, sort_keys=True))
        return control.apply(self.exchange, json.dumps(change).encode(), self.clock.now_us)

    def wait(self, seconds: float) -> None:
        """Let time pass between lives; what is on its way arrives."""
        self.clock.sleep(seconds)

    def _open_exchange(self) -> Exchange:
        if not self.exchange_path.exists():
            self.exchange_path.write_bytes(_founded(self._seed))
        return Exchange.open(
            Journal(self.exchange_path),
            self.clock.now_us,
            knobs=self._knobs,
            faults=Drawn(),
        )

    # -- watching -----------------------------------------------------------------------------------------------------

    def note(self, *facts: object) -> None:
        """Write a line of the trace."""
        line = f"{self.clock.now_us} " + " ".join(str(fact) for fact in facts)
        self.trace.append(line)
        self._digest.update(line.encode() + b"\n")

    @property
    def digest(self) -> str:
        """A digest of the trace so far: the same for the same seed, in every process."""
        return self._digest.hexdigest()

    def _note_arrival(self, request: wire.Request, response: wire.Response) -> None:
        body = hashlib.sha256(request.body).hexdigest()[:16]
        signed_ms = request.headers["kalshi-access-timestamp"]
        self.note("arrived", request.method, request.path, request.query, body, signed_ms, response.status)

    def _check_written_ahead(self, request: Request, signed_ms: int) -> None:
        """I1: whatever is sent now is on the disk now, as the attempt that it is. Raises Breach."""
        if request.method == "GET":
            return
        connection = self.disk.committed(self.ledger_path)
        try:
            for name in subjects(request):
                body = (request.body or b"").decode()
                claims = [json.loads(data) for (data,) in connection.execute(_CLAIMS, (name, name, body, name))]
                if all(claim["signed_ms"] != signed_ms for claim in claims):
                    raise Breach(f"I1: {request.method} of {name} signed at {signed_ms} leaves; on the disk: {claims}")
        finally:
            connection.close()

    # -- ending -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the exchange and let go of the files; harmless twice."""
        with suppress(sqlite3.Error):
            self.exchange.state.journal.close()
        self.disk.close()

    def __enter__(self) -> "World":
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _environ(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            "HOME": str(self.ledger_path.parent),
            "OMS_VENUE__SANDBOX__BASE_URL": BASE_URL,
            "OMS_VENUE__SANDBOX__KEY_ID": self.key.key_id,
            "OMS_VENUE__SANDBOX__PRIVATE_KEY_PATH": "unused",
            "OMS_VENUE__TIMEOUT_S": str(TIMEOUT_S),
            "OMS_LEDGER__URL": f"sqlite:///{self.ledger_path}",
            "OMS_SUBMIT__WAIT_S": "3",
            **settings,
        }


def _told(oms: Oms, report: Any) -> Iterator[Told]:
    """The orders that a report speaks of, as the command line shows them beneath it."""
    records = oms.run_orders(report) if isinstance(report, SubmitReport) else ()
    for record in (report,) if isinstance(report, OrderRecord) else records:
        fill_count_e2 = int(Decimal(record.fill_count) * 100)
        yield Told(record.client_order_id, record.status, record.order_id, fill_count_e2)


_CLAIMS = """
SELECT e.data FROM orders o JOIN commands c ON c.order_key = o.key JOIN events e ON e.command_key = c.key
WHERE e.kind = 'claimed' AND (o.client_order_id = ? AND c.kind = 'create' OR o.order_id = ? AND c.kind <> 'create')
UNION ALL
SELECT e.data FROM actions a JOIN action_events e ON e.action_key = a.key
WHERE e.kind = 'claimed' AND CASE a.kind WHEN 'group_create' THEN a.body = ? ELSE a.target = ? END
"""


def subjects(request: Request) -> list[str]:
    """The client_order_ids that a write creates, or the ids of the orders or the group that it is about."""
    verb = request.path.rpartition("/")[2]
    if "/order_groups/" in request.path:
        return [request.path.split("/")[3]]
    if request.method == "DELETE" and verb == "orders":
        return [""]  # of the whole account
    if request.body is None:
        return [verb]
    if verb in ("amend", "decrease"):
        return [request.path.split("/")[-2]]
    document = json.loads(request.body)
    name = "order_id" if request.method == "DELETE" else "client_order_id"
    return [order[name] for order in document.get("orders", [document])]


@cache
def _founded(seed: str) -> bytes:
    """The file of a new exchange, with the laboratory's keys, and strangers' quotes in the first markets only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exchange.sqlite3")
        exchange = Exchange.open(Journal(path), START_US, seed=seed, identity=seed)
        for number in (0, 1):
            exchange.add_key(auth.key_of_private(_private_pem(number), exchange.state.user_id))
        exchange.state.journal.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            # Reading them all would be a good part of a short campaign.
            database.execute("DELETE FROM placed WHERE ticker NOT LIKE '%-A-T10' AND ticker NOT LIKE '%-A-T20'")
            database.execute("DELETE FROM versions WHERE seq NOT IN (SELECT seq FROM placed)")
        return path.read_bytes()


@cache
def _private(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"the laboratory's key {number}".encode()).digest())


@cache
def _private_pem(number: int) -> bytes:
    return _private(number).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@cache
def _public_pem(number: int) -> str:
    public = _private(number).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@cache
def _signing(public_pem: str) -> Key:
    return Key(_private(0 if public_pem == _public_pem(0) else 1))
