"""Fixed stories of a few lives for what a drawn campaign meets rarely or cannot meet; each says what must hold.

A story is well when nothing it looks at is wrong: the judge's findings, and checks of its own by a name of their own.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from oms.lab.crash import Steps
from oms.lab.judge import judge
from oms.lab.network import WELL, Fate
from oms.lab.world import World
from oms.ledger import record
from oms.ledger.ledger import open_ledger
from oms.records import Progress
from oms.sandbox import wire
from oms.sandbox.faults import Fault
from oms.sandbox.knobs import Knobs
from oms.venue.transport import Request

Story = Callable[[Path], tuple[list[str], int, int]]
SINGLY = {"OMS_SUBMIT__BATCH_SIZE": "1", "OMS_SUBMIT__CONCURRENCY": "1", "OMS_SUBMIT__IN_FLIGHT_HORIZON_S": "3"}
FORGETFUL = Knobs(tier="unlimited", skew_ms=2_500, dedupe="open_only")
LOST = Fate("answer lost", returns=False)
DOWN = Fate("down", leaves=False)
SLOW = Fate("late", out_us=2_000_000, returns=False)
# It trades with nobody and is off the book at once, so that a forgetful exchange takes its id a second time.
FLEETING = {"time_in_force": "immediate_or_cancel"}


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A bid that rests."""
    usual = {"ticker": "SBXRAIN-A-T10", "side": "bid", "price": "0.05", "count": str(number), "tag": f"row {number}"}
    return {**usual, **changes}


def fates(*first: Fate, of: str = "POST") -> Callable[[Request], Fate]:
    """These for the first writes of that method, then none."""
    left = list(first)
    return lambda request: left.pop(0) if request.method == of and left else WELL


def at(nth: int, beginning: str, act: Callable[[], object]) -> Callable[[Steps, str], None]:
    """Let something happen before the n-th step with that beginning."""
    left = nth

    def on_step(steps: Steps, name: str) -> None:
        nonlocal left
        if name.startswith(beginning):
            left -= 1
            if left == 0:
                act()

    return on_step


def killed(before: str = "", after: str = "", nth: int = 1) -> Callable[[Steps, str], None]:
    """The life ends before the n-th step with the one beginning, or right after the n-th with the other."""
    left, is_due = nth, False

    def on_step(steps: Steps, name: str) -> None:
        nonlocal left, is_due
        if is_due:
            steps.end(name)
        if name.startswith(before or after):
            left -= 1
            if left == 0 and before:
                steps.end(name)
            is_due = left == 0

    return on_step


def settled(world: World, **how: bool) -> list[str]:
    """Two quiet passes later, what the judge finds."""
    for _ in range(2):
        world.live("drain")
        world.wait(10)
        world.live("reconcile")
    return [str(finding) for finding in judge(world.ledger_path, world.exchange_path, is_settled=True, **how)]


def there(world: World) -> list[Any]:
    """All orders of the account, as the exchange has them."""
    state = world.exchange.state
    return list(state.accounts[state.user_id].orders)


def ended(world: World, said: Iterable[str]) -> tuple[list[str], int, int]:
    return list(said), world.lives, 1


def second_process(folder: Path) -> tuple[list[str], int, int]:
    """Another process begins while a run sends: it waits its turn, and the run is not pushed aside."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)])
        beside = at(2, "send POST", lambda: world.live("reconcile", wait_s=0))
        life = world.live("submit", [row(n) for n in range(2, 6)], batch="b", on_step=beside)
        said = [f"one at a time: the run was pushed aside: {life.error}"] if life.error is not None else []
        return ended(world, [*said, *settled(world)])


def lost_lock_file(folder: Path) -> tuple[list[str], int, int]:
    """Somebody deletes the file of the writer lock while a run sends; another run begins, and leaves work behind."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)])
        is_answered, is_done = False, False

        def intrude(steps: Steps, name: str) -> None:
            nonlocal is_answered, is_done
            if is_answered and not is_done and name == "sql begin immediate":
                is_done = True
                Path(f"{world.ledger_path}.lock").unlink()
                world.live("submit", [row(3)], batch="other", wait=False)
                world.live("submit", [row(4), row(5)], batch="more", send=False)
            is_answered = is_answered or name.startswith("answer POST")

        world.live("submit", [row(2)], batch="b", on_step=intrude)
        now = judge(world.ledger_path, world.exchange_path, is_settled=False)
        return ended(world, [*map(str, now), *settled(world)])


def halted(folder: Path) -> tuple[list[str], int, int]:
    """Sending is halted, in another process, while a run sends: nothing more leaves than was claimed by then."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)])
        sent: list[int] = []

        def halt() -> None:
            from oms.ledger.append import set_halt

            ledger = open_ledger(f"sqlite:///{world.ledger_path}", "sandbox", create=False)
            with ledger.write() as connection:
                set_halt(connection, "by hand", world.clock.now_us)
            ledger.close()
            sent.append(world.network.requests)

        life = world.live("submit", [row(n) for n in range(2, 12)], batch="b", on_step=at(2, "send POST", halt))
        placed = len(there(world))
        said = [] if placed <= 5 else [f"I16: {placed} of 11 orders were placed, the halt came at the second; {life}"]
        return ended(world, said)


def past_its_time(folder: Path) -> tuple[list[str], int, int]:
    """An order may be sent for five seconds; the exchange is away for ten."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)], send=False, ttl_s=5)
        world.wait(10)
        world.live("drain")
        said = [f"time to live: order {x.order_id} was placed after its time" for x in there(world)]
        return ended(world, [*said, *settled(world)])


def half_a_batch(folder: Path) -> tuple[list[str], int, int]:
    """Another process drains while a long batch is being recorded; then the recorder is killed."""
    record.CHUNK = 2
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)])
        drained: list[list[str]] = []

        def drain(_: Progress) -> None:  # between two chunks, when the recorder holds no lock that a run needs
            if not drained and _is_recording(world):
                world.live("drain")
                found = judge(world.ledger_path, world.exchange_path, is_settled=False)
                drained.append(list(map(str, found)))

        def end(steps: Steps, name: str) -> None:
            if drained:
                steps.end(name)

        world.live("submit", [row(n) for n in range(2, 8)], batch="b", progress=drain, on_step=end)
        (said,) = drained
        return ended(world, [*said, *settled(world)])


def _is_recording(world: World) -> bool:
    with closing(sqlite3.connect(f"{world.ledger_path.as_uri()}?mode=ro", uri=True)) as database:
        return bool(database.execute("SELECT count(*) FROM batches WHERE state = 'recording'").fetchone()[0])


def repeated_on_the_way(folder: Path) -> tuple[list[str], int, int]:
    """Something on the way repeats a request, and the answer to the repetition is the one that comes back."""
    with World(folder, settings=SINGLY) as world:
        handle = world.exchange.handle

        def twice(request: wire.Request, now_us: int) -> wire.Response:
            if request.method == "POST":
                handle(request, now_us)
            return handle(request, now_us)

        world.exchange.handle = twice  # type: ignore[method-assign]
        world.live("submit", [row(1), row(2)], batch="b")
        now = judge(world.ledger_path, world.exchange_path, is_settled=True)
        return ended(world, [str(finding) for finding in now if finding.invariant != "I1"])


def answer_from_before(folder: Path) -> tuple[list[str], int, int]:
    """Something on the way answers a create with the answer to another one, of a ledger that is lost."""
    with World(folder, settings=SINGLY) as world:
        answers: list[wire.Response] = []
        handle = world.exchange.handle

        def old(request: wire.Request, now_us: int) -> wire.Response:
            response = handle(request, now_us)
            if request.method == "POST":
                answers.append(response)
                return answers[0]
            return response

        world.exchange.handle = old  # type: ignore[method-assign]
        world.live("submit", [row(1)])
        _lose(world)
        world.wait(60)
        world.live("submit", [row(2)], batch="b")
        found = judge(world.ledger_path, world.exchange_path, is_settled=True, is_alone=False, is_complete=False)
        return ended(world, map(str, found))


def two_attempts(folder: Path) -> tuple[list[str], int, int]:
    """While a first attempt is still on its way, a second meets the rate limit, which says nothing of the first."""
    first = Fate("late", out_us=2_400_000, returns=False)
    limited = Fate("rate limited", fault=Fault(kind="rate_limited"))
    with World(folder, fates=fates(first, limited), settings={**SINGLY, "OMS_SUBMIT__RESEND": "at_once"}) as world:
        answered, recorded = 0, 0

        def end(steps: Steps, name: str) -> None:
            nonlocal answered, recorded
            answered += name.startswith("answer POST")
            recorded += answered == 2 and name == "committed"
            if recorded and name != "committed":
                steps.end(name)

        world.live("submit", [row(1)], batch="b", on_step=end)
        now = judge(world.ledger_path, world.exchange_path, is_settled=False)
        return ended(world, [*map(str, now), *settled(world)])


def cancel_not_found(folder: Path) -> tuple[list[str], int, int]:
    """A cancel is answered 404, and the order rests all the same."""
    missing = Fate("not found", fault=Fault(kind="not_found"))
    with World(folder, fates=fates(missing, of="DELETE"), settings=SINGLY) as world:
        world.live("submit", [row(1, client_order_id="mine")])
        world.live("cancel", ["mine"])
        return ended(world, settled(world))


def rate_limited(folder: Path) -> tuple[list[str], int, int]:
    """The first order meets the rate limit; in the end all are placed."""
    limited = Fate("rate limited", fault=Fault(kind="rate_limited"))
    with World(folder, fates=fates(limited), settings=SINGLY) as world:
        world.live("submit", [row(1), row(2)], batch="b")
        said = settled(world)
        missing = 2 - len(there(world))
        return ended(world, [*said, *(["all placed: an order was given up"] if missing else [])])


def own_id_of_another(folder: Path) -> tuple[list[str], int, int]:
    """Under a caller's own id there is an order of another size at the exchange: it is not taken for ours."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(3, client_order_id="mine")])
        _lose(world)
        world.wait(60)
        world.live("submit", [row(5, client_order_id="mine")])
        world.live("reconcile")
        found = judge(world.ledger_path, world.exchange_path, is_settled=True, is_complete=False)
        # It waits for a person to decide, and the request that placed the other is on no record of this ledger.
        return ended(world, [str(finding) for finding in found if finding.invariant not in ("I5", "I23")])


def late_arrival(folder: Path) -> tuple[list[str], int, int]:
    """An order arrives after the horizon, which should not be: it was given up, and is taken up again."""
    very_late = Fate("late", out_us=6_000_000, returns=False)
    knobs = Knobs(tier="unlimited", skew_ms=10_000)
    with World(
        folder, fates=fates(very_late), knobs=knobs, settings={**SINGLY, "OMS_SUBMIT__RESEND": "never"}
    ) as world:
        world.live("submit", [row(1)], batch="b")
        world.wait(10)
        return ended(world, settled(world))


def old_reading(folder: Path) -> tuple[list[str], int, int]:
    """Orders trade, and then reads fall behind for a while: what was known stays known."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(3, client_order_id="part"), row(4, client_order_id="whole")])
        world.wait(2)
        for name, count in (("part", "1"), ("whole", "4")):
            trade = {"ticker": "SBXRAIN-A-T10", "side": "ask", "price": "0.05", "count": count}
            world.outside(trade={**trade, "client_order_id": name})
        world.live("reconcile")
        world.outside(read_lag_ms=900)
        world.live("reconcile")
        now = judge(world.ledger_path, world.exchange_path, is_settled=False)
        return ended(world, [*map(str, now), *settled(world)])


def two_orders(folder: Path) -> tuple[list[str], int, int]:
    """The network delivers a request twice to an exchange that forgets: sending is halted and the break is shown."""
    twice = Fate("duplicate", fault=Fault(kind="duplicate", ms=400))
    with World(folder, fates=fates(twice), knobs=FORGETFUL, settings=SINGLY) as world:
        world.live("submit", [row(1, **FLEETING)])
        world.wait(5)
        report = world.live("reconcile").report
        assert len(there(world)) == 2
        kinds = {each.kind for each in report.breaks}
        life = world.live("submit", [row(2)])
        said = []
        if "duplicate" not in kinds:
            said.append(f"second order: nobody is told of it; breaks: {sorted(kinds)}")
        if life.report.stop is None or life.report.stop.code != "halted":
            said.append("second order: sending goes on")
        return ended(world, said)


def writing_beside(folder: Path) -> tuple[list[str], int, int]:
    """While a write transaction is open nobody else can write, from its beginning on."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)])
        said = []
        with (
            closing(open_ledger(f"sqlite:///{world.ledger_path}", "sandbox", create=False)) as ledger,
            ledger.write(),
            closing(sqlite3.connect(world.ledger_path, timeout=0)) as other,
            suppress(sqlite3.OperationalError),
        ):
            other.execute("UPDATE orders SET tag = 'x'")
            other.rollback()
            said.append("one writer: another process wrote within a transaction of ours")
        return ended(world, said)


# -- an exchange that forgets ids: what was sent twice is there twice ------------------------------------------------


def set_back(folder: Path) -> tuple[list[str], int, int]:
    """A copy of the ledger is put back while a request of its successor is on its way."""
    with World(folder, fates=fates(WELL, SLOW), knobs=FORGETFUL, settings=SINGLY) as world:
        world.live("submit", [row(1)])
        world.live("submit", [row(2, **FLEETING)], batch="b", on_step=killed(before="send POST"))
        copy = folder / "copy"
        shutil.copytree(world.ledger_path.parent, copy)
        world.wait(10)
        world.live("drain", on_step=killed(after="send POST"))
        _put_back(world, copy)
        world.live("drain")
        world.wait(10)
        return ended(world, settled(world, is_complete=False))


def lost_in_mid_batch(folder: Path) -> tuple[list[str], int, int]:
    """The ledger is lost while one order of a batch is placed and another on its way; the batch is submitted again."""
    with World(folder, fates=fates(WELL, SLOW), knobs=FORGETFUL, settings=SINGLY) as world:
        rows = [row(1, **FLEETING), row(2, **FLEETING)]
        world.live("submit", rows, batch="b", on_step=killed(after="send POST", nth=2))
        _lose(world)
        world.live("submit", rows, batch="b")
        world.wait(10)
        return ended(world, settled(world, is_complete=False))


def lost_batch_comes_back(folder: Path) -> tuple[list[str], int, int]:
    """The ledger is lost, other work is done in a new one, and then the old batch is submitted again."""
    with World(folder, knobs=FORGETFUL, settings=SINGLY) as world:
        rows = [row(1, **FLEETING), row(2, **FLEETING)]
        world.live("submit", rows, batch="b")
        _lose(world)
        world.wait(60)
        world.live("submit", [row(3)], batch="other")
        world.wait(60)
        world.live("submit", rows, batch="b")
        return ended(world, settled(world, is_complete=False))


def killed_in_flight(folder: Path) -> tuple[list[str], int, int]:
    """A run is killed while its request is slow on the way; the next run begins at once."""
    with World(folder, fates=fates(SLOW), knobs=FORGETFUL, settings=SINGLY) as world:
        world.live("submit", [row(1, **FLEETING)], batch="b", on_step=killed(after="send POST"))
        world.live("drain")
        return ended(world, settled(world))


def killed_before_it_left(folder: Path) -> tuple[list[str], int, int]:
    """A run is killed between the commit of a claim and its request; the next ones bring the order to its end."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)], batch="b", on_step=killed(before="send POST"))
        return ended(world, settled(world))


def retry_of_a_lost_ledger(folder: Path) -> tuple[list[str], int, int]:
    """A row was refused and placed by a retry, under another id; the ledger is lost and the batch submitted again."""
    no = Fault(kind="answer", status=400, body='{"error":{"code":"insufficient_balance","message":"no"}}')
    with World(folder, fates=fates(Fate("refused", fault=no)), settings=SINGLY) as world:
        world.live("submit", [row(1)], batch="b")
        world.live("retry", "b")
        _lose(world)
        world.wait(60)
        world.live("submit", [row(1)], batch="b")
        found = settled(world, is_complete=False, is_alone=False)
        names = [order.ticket.client_order_id for order in there(world)]
        return ended(world, [*found, *([f"I3: one row is {len(names)} orders"] if len(names) != 1 else [])])


def listing_lies(folder: Path) -> tuple[list[str], int, int]:
    """An answer is lost, and then the list of orders is empty for a while, though one is known to be there."""
    return _doubt(folder, Fate("empty", fault=Fault(kind="empty_list")), WELL, LOST)


def listing_fails(folder: Path) -> tuple[list[str], int, int]:
    """The first answer of all is lost, and then the list of orders cannot be read for a while."""
    return _doubt(folder, Fate("error", fault=Fault(kind="error", status=500)), LOST)


def _doubt(folder: Path, listing: Fate, *first: Fate) -> tuple[list[str], int, int]:
    with World(folder, knobs=FORGETFUL, settings=SINGLY) as world:
        writes = fates(*first)
        until_us = 0

        def fate(request: Request) -> Fate:
            nonlocal until_us
            given = writes(request)
            if given is LOST:
                until_us = world.clock.now_us + 8_000_000
            is_listing = request.method == "GET" and request.path.endswith("/orders")
            return listing if is_listing and world.clock.now_us < until_us else given

        world.network.fates = fate
        world.live("submit", [row(n, **FLEETING) for n, _ in enumerate(first, 1)], batch="b")
        return ended(world, settled(world))


def slow_listing(folder: Path) -> tuple[list[str], int, int]:
    """An order arrives late and its answer is lost; lists of orders take a second to come back."""
    with World(folder, knobs=FORGETFUL, settings=SINGLY) as world:
        writes = fates(Fate("late", out_us=2_400_000, returns=False))

        def fate(request: Request) -> Fate:
            is_listing = request.method == "GET" and request.path.endswith("/orders")
            return Fate("slow answer", back_us=1_000_000) if is_listing else writes(request)

        world.network.fates = fate
        world.live("submit", [row(1, **FLEETING)], batch="b")
        return ended(world, settled(world))


def _put_back(world: World, copy: Path) -> None:
    _lose(world)
    for path in copy.iterdir():
        if path.suffix != ".sqlite3-shm":
            shutil.copy(path, world.ledger_path.parent / path.name)


def _lose(world: World) -> None:
    for path in world.ledger_path.parent.iterdir():
        if path.is_file():
            path.unlink()


_ALL: tuple[Story, ...] = (
    second_process,
    lost_lock_file,
    halted,
    past_its_time,
    half_a_batch,
    repeated_on_the_way,
    answer_from_before,
    two_attempts,
    cancel_not_found,
    rate_limited,
    own_id_of_another,
    late_arrival,
    old_reading,
    two_orders,
    writing_beside,
    set_back,
    lost_in_mid_batch,
    lost_batch_comes_back,
    killed_in_flight,
    killed_before_it_left,
    retry_of_a_lost_ledger,
    listing_lies,
    listing_fails,
    slow_listing,
)
STORIES = {story.__name__: story for story in _ALL}
