"""A machine of Hypothesis over whole lives of oms: every draw is Hypothesis' own, so that a failure shrinks to a story.

Rules are what a caller, a stranger, the network and the machine can do. After each the judge says whether what must
hold at any moment holds; at the end the harm stops, and everything has to come to rest with both sides agreeing.

A further command is one rule: `self.live("amend", ...)` with the harm it is to suffer.
"""

import itertools
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oms.errors import NotSent, OutcomeUnknown
from oms.lab import network
from oms.lab.crash import Steps
from oms.lab.judge import judge
from oms.lab.network import WELL, Fate
from oms.lab.world import Life, World
from oms.sandbox.faults import Fault
from oms.sandbox.knobs import Knobs
from oms.sandbox.state import Moment
from oms.venue.transport import Request
from tests.lab import sample

TICKERS = ("SBXRAIN-A-T10", "SBXTEMP-A-T10", "SBXGAME-A-T10")
HORIZON_S = 3.0
SEEN: Counter[str] = Counter()  # what all stories of this process were made of
PASSES = 5  # after which everything has come to rest: resolve, send again what was absent, look once more
Row = dict[str, Any]


def suffered(kind: str, **how: Any) -> Fate:
    """One of the sandbox's own faults."""
    return Fate(kind, fault=Fault(kind=kind, **how))


LOST = Fate("lost", arrives=False)
UNHEARD = Fate("answer lost", returns=False)
LATE = Fate("late", out_us=2_400_000)  # after the sender has given up, before the horizon
TOO_LATE = Fate("too late", out_us=2_600_000)  # the exchange refuses its signature by then
SLOW = Fate("slow answer", back_us=2_500_000)
UNSENT = Fate("unsent", leaves=False)
TWICE = suffered("duplicate", ms=400)
# Where the exchange forgets ids nothing helps against the network's own second copy, or an empty listing that lies.
FORGIVEN = (TWICE, suffered("empty_list"))
WRITES = (
    *(UNHEARD, LOST, LATE, TOO_LATE, SLOW, UNSENT, TWICE),
    *(suffered("error"), suffered("error", commit=True), suffered("html", commit=True)),
    *(suffered("cut_body"), suffered("cut_headers"), suffered("empty"), suffered("rate_limited"), suffered("paused")),
    *(suffered("no_order_id"), suffered("reorder"), suffered("omit_items"), suffered("stale", ms=800)),
)
READS = (LOST, UNHEARD, SLOW, UNSENT, suffered("error"), suffered("cut_body"), *FORGIVEN[1:], suffered("repeat_cursor"))

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "ticker": st.sampled_from(TICKERS),
            "side": st.sampled_from(("bid", "ask")),
            "price": st.sampled_from(("0.01", "0.99", "0.30")),  # rests or trades, by its side
            "count": st.integers(1, 3).map(str),
        }
    ),
    min_size=1,
    max_size=4,
)


@dataclass(frozen=True, slots=True)
class Harm:
    """What a life suffers."""

    writes: list[Fate]  # of its first writes; the further ones go well
    reads: list[Fate]
    crash_at: int | None
    beside: tuple[int, str] | None  # at which of its waits another process comes along, and what that one does
    beside_crash_at: int | None


CRASHES = st.none() | st.integers(1, 120)
HARMS = st.builds(
    Harm,
    st.lists(st.sampled_from((WELL, *WRITES)), max_size=3),
    st.lists(st.sampled_from((WELL, WELL, *READS)), max_size=3),
    CRASHES,
    st.none() | st.none() | st.tuples(st.integers(1, 12), st.sampled_from(("drain", "reconcile"))),
    CRASHES,
)
PICKS = st.integers(0, 7)


class Lives(RuleBasedStateMachine):
    """One world; `batches` are names of what was submitted."""

    batches = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        # In memory, where syncs cost nothing, if there is such a place.
        memory = Path("/dev/shm")
        self.place = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.submitted: dict[str, list[Row]] = {}
        self.paused: set[str] = set()
        self.copies: list[Path] = []
        self.was_set_back = False
        self.numbers = itertools.count(1)
        self.rows: dict[str, str] = {}  # client_order_id -> the row it stands for
        self.harm: Harm | None = None
        self.world: World | None = None

    @initialize(
        dedupe=st.sampled_from(("forever", "open_only")),
        read_lag_ms=st.sampled_from((0, 900)),
        batch_size=st.sampled_from(("1", "2", "auto")),
        concurrency=st.sampled_from(("1", "3")),
        resend=st.sampled_from(("when_absent", "never", "at_once")),
    )
    def open(self, dedupe: Any, read_lag_ms: int, batch_size: str, concurrency: str, resend: str) -> None:
        # Sending again at once rests on the exchange's memory of ids (P2).
        resend = "when_absent" if resend == "at_once" and dedupe == "open_only" else resend
        self.forgets = dedupe == "open_only"
        self.is_patient = resend != "never"
        self.world = World(
            Path(self.place.name, "world"),
            fates=self.fate,
            knobs=Knobs(tier="unlimited", skew_ms=2_500, dedupe=dedupe, read_lag_ms=read_lag_ms),
            settings={
                "OMS_SUBMIT__BATCH_SIZE": batch_size,
                "OMS_SUBMIT__CONCURRENCY": concurrency,
                "OMS_SUBMIT__RESEND": resend,
                "OMS_SUBMIT__IN_FLIGHT_HORIZON_S": str(HORIZON_S),
            },
        )

    # -- lives ------------------------------------------------------------------------------------------------------

    @rule(target=batches, rows=ROWS, harm=HARMS, ttl_s=st.sampled_from((None, None, 1)))
    def submit(self, rows: list[Row], harm: Harm, ttl_s: int | None) -> str:
        name = f"batch {next(self.numbers)}"
        self.submitted[name] = rows
        self.live("submit", rows, harm=harm, batch=name, ttl_s=ttl_s)
        return name

    @rule(batch=batches, harm=HARMS)
    def submit_again(self, batch: str, harm: Harm) -> None:
        self.live("submit", self.submitted[batch], harm=harm, batch=batch)

    @rule(row=ROWS.map(lambda rows: rows[0]), harm=HARMS, times=st.integers(1, 2))
    def one_order(self, row: Row, harm: Harm, times: int) -> None:
        named = {**row, "client_order_id": f"own-{next(self.numbers)}"}
        self.submitted[named["client_order_id"]] = [named]
        for _ in range(times):
            self.live("submit", [named], harm=harm)

    @rule(batch=batches, harm=HARMS)
    def retry(self, batch: str, harm: Harm) -> None:
        self.live("retry", batch, harm=harm)

    @rule(harm=HARMS)
    def drain(self, harm: Harm) -> None:
        self.live("drain", harm=harm)

    @rule(harm=HARMS)
    def reconcile(self, harm: Harm) -> None:
        self.live("reconcile", harm=harm)

    @rule(first=PICKS, more=st.integers(1, 2), harm=HARMS)
    def cancel(self, first: int, more: int, harm: Harm) -> None:
        names = self.known()
        if names:
            start = first % len(names)
            self.live("cancel", names[start : start + more], harm=harm)

    @rule(pick=PICKS, harm=HARMS)
    def withdraw(self, pick: int, harm: Harm) -> None:
        names = self.known()
        if names:
            self.live("withdraw", [names[pick % len(names)]], harm=harm)

    @rule(pick=PICKS, price=st.sampled_from((None, "0.01", "0.02", "0.98")), count=st.integers(1, 5), harm=HARMS)
    def amend(self, pick: int, price: str | None, count: int, harm: Harm) -> None:
        names = self.known()
        if names:
            count_asked = str(count) if price is None or count > 3 else None
            self.live("amend", names[pick % len(names)], harm=harm, price=price, count=count_asked)

    @rule(pick=PICKS, how=st.sampled_from((("to", "1"), ("to", "2"), ("by", "1"))), harm=HARMS)
    def decrease(self, pick: int, how: tuple[str, str], harm: Harm) -> None:
        names = self.known()
        if names:
            self.live("decrease", names[pick % len(names)], harm=harm, **{how[0]: how[1]})

    @precondition(lambda self: self.has_ledger())
    @rule(verb=st.sampled_from(("halt", "unhalt")), harm=HARMS)
    def halt_or_unhalt(self, verb: str, harm: Harm) -> None:
        self.live(verb, harm=harm)

    @precondition(lambda self: self.has_ledger())
    @rule(is_halted=st.booleans(), harm=HARMS)
    def clear(self, is_halted: bool, harm: Harm) -> None:
        if is_halted:
            self.live("halt", harm=None)
        self.live("clear" if is_halted else "cancel_account", harm=harm)

    @rule(limit=st.sampled_from(("1", "40")), harm=HARMS)
    def create_group(self, limit: str, harm: Harm) -> None:
        self.live("create_group", limit, harm=harm)

    @rule(verb=st.sampled_from(("trigger_group", "reset_group", "delete_group")), pick=PICKS, harm=HARMS)
    def change_group(self, verb: str, pick: int, harm: Harm) -> None:
        groups = self.of_ledger(GROUPS) if self.has_ledger() else []
        if groups:
            self.live(verb, groups[pick % len(groups)], harm=harm)

    def live(self, verb: str, *arguments: Any, harm: Harm | None, **options: Any) -> Life:
        """One life, which suffers this harm; never a traceback."""
        assert self.world is not None
        self.harm = harm
        self.fates = (iter(harm.writes), iter(harm.reads)) if harm else (iter(()), iter(()))
        crash_at, on_step = (harm.crash_at, self.beside(harm)) if harm else (None, lambda steps, name: None)
        return self.world.live(verb, *arguments, crash_at=crash_at, on_step=on_step, **options)

    def beside(self, harm: Harm) -> Callable[[Steps, str], None]:
        """Another process runs while this one waits, perhaps with the writer lock in its hand."""
        waits = itertools.count(1)

        def on_step(steps: Steps, name: str) -> None:
            if harm.beside is None or not name.startswith(("send", "answer", "sleep")):
                return
            at, what = harm.beside
            if next(waits) != at:
                return
            # A withdrawal is left out: it would wait for the lock in real time.
            how: dict[str, Any] = {"wait": False} if what == "drain" else {"wait_s": 0}
            self.world.live(what, crash_at=harm.beside_crash_at, **how)

        return on_step

    def fate(self, request: Request) -> Fate:
        writes, reads = self.fates
        drawn = next(reads if request.method == "GET" else writes, WELL)
        return WELL if self.forgets and drawn in FORGIVEN else drawn

    # -- others -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.resting())
    @rule(pick=PICKS, count=st.integers(1, 3))
    def fill(self, pick: int, count: int) -> None:
        order = self.resting()[pick % len(self.resting())]
        trade = {
            "ticker": order.ticket.ticker,
            "side": "ask" if order.ticket.side == "bid" else "bid",
            "price": f"{order.now.price_e4 / 10_000:.4f}",
            "count": str(count),
            "client_order_id": order.ticket.client_order_id,
        }
        with suppress(ValueError):  # a price off that market's grid
            self.world.outside(trade=trade)

    @precondition(lambda self: self.resting())
    @rule(pick=PICKS)
    def cancel_outside(self, pick: int) -> None:
        # Past the wire log: it was not oms that asked.
        order = self.resting()[pick % len(self.resting())]
        exchange, now_us = self.world.exchange, self.world.clock.now_us
        exchange.advance(now_us)
        if order.now.status == "resting":
            exchange.desk.end(order, Moment(now_us, now_us), "canceled")
            exchange.state.journal.commit()

    @rule(ticker=st.sampled_from(TICKERS))
    def pause_or_open_market(self, ticker: str) -> None:
        self.paused ^= {ticker}
        self.world.outside(market={"ticker": ticker, "status": "paused" if ticker in self.paused else "open"})

    @rule(what=st.sampled_from(("none", "trading", "exchange")))
    def pause_exchange(self, what: str) -> None:
        self.world.outside(pause=what)

    @rule()
    def restart_exchange(self) -> None:
        self.world.restart_exchange()

    @rule(seconds=st.sampled_from((0.5, 4.0, 60.0)))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    # -- accidents of files -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.has_ledger())
    @rule()
    def back_up(self) -> None:
        copy = Path(self.place.name, f"copy{len(self.copies)}")
        shutil.copytree(self.world.ledger_path.parent, copy)
        self.copies.append(copy)

    @precondition(lambda self: self.copies)
    @rule(pick=PICKS, with_old_mark=st.booleans())
    def restore_older_backup(self, pick: int, with_old_mark: bool) -> None:
        mark = self.world.ledger_path.with_name("oms.sqlite3.mark")
        today = mark.read_bytes() if mark.exists() and not with_old_mark else None
        self.lose_ledger()
        for path in self.copies[pick % len(self.copies)].iterdir():
            if not path.name.endswith("-shm"):
                shutil.copy(path, mark.parent)
        if today is not None:
            mark.write_bytes(today)

    @precondition(lambda self: self.has_ledger())
    @rule()
    def lose_ledger(self) -> None:
        if self.forgets:  # what was on its way when a ledger is lost only the exchange's memory of ids covers (P2)
            self.world.wait(2 * HORIZON_S)
        self.was_set_back = True
        for path in self.world.ledger_path.parent.iterdir():
            path.unlink()

    # -- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        found = self.judged(is_settled=False)
        assert not found, "\n".join(found)

    def teardown(self) -> None:
        try:
            if self.world is not None and self.submitted:
                self.come_to_rest()
        finally:
            if self.world is not None:
                SEEN.update(stories=1, lives=self.world.lives, crashes=self.world.crashes)
                SEEN["faults"] += self.world.network.requests - self.world.network.met.get("well", 0)
                SEEN["set back"] += self.was_set_back
                self.world.close()
            self.place.cleanup()

    def come_to_rest(self) -> None:
        """The harm stops; whatever was submitted is submitted once more; nothing is left open and nothing differs."""
        if self.has_ledger():
            self.live("unhalt", harm=None)
        self.world.outside(pause="none")
        for ticker in sorted(self.paused):
            self.world.outside(market={"ticker": ticker, "status": "open"})
        self.world.wait(60)
        found: list[str] = []
        for _ in range(PASSES):
            self.settle()
            found = self.judged(is_settled=True)
            if not found:
                break
        assert not found, "\n".join(found)
        there = len(self.account().orders)
        self.settle()
        assert len(self.account().orders) == there, "I25: at rest, and something was placed"

    def settle(self) -> None:
        """One pass of somebody who wants everything done."""
        for name, rows in self.submitted.items() if self.was_set_back else ():
            self.live("submit", rows, harm=None, **({} if "client_order_id" in rows[0] else {"batch": name}))
        self.live("drain", harm=None)
        self.world.wait(HORIZON_S + 2)
        self.live("reconcile", harm=None)
        for number in self.of_ledger(PARKED_ACTIONS):
            known = set(self.of_ledger("SELECT order_group_id FROM order_groups"))
            new = [group for group in self.world.exchange.state.groups if group not in known]
            self.live("settle_action", number, harm=None, order_group_id=new[0] if new else None, absent=not new)
        for name in self.of_ledger(PARKED):  # a person looks it up at the exchange
            there = self.account().by_client_order_id.get(name)
            self.live("resolve", name, harm=None, order_id=there.order_id if there else None, absent=there is None)

    def judged(self, *, is_settled: bool) -> list[str]:
        if not self.has_ledger():
            return []
        whole = not self.was_set_back
        found = judge(
            self.world.ledger_path,
            self.world.exchange_path,
            is_settled=is_settled,
            is_alone=whole,
            is_complete=whole,
            told=self.world.told if whole else (),
        )
        # Right after a ledger went back its mark is ahead of it, until the next run begins and notices (I20).
        seen = [finding for finding in found if whole or is_settled or finding.invariant != "I20"]
        return [str(finding) for finding in seen] + self.doubled()

    def doubled(self) -> list[str]:
        """No row of any batch, whatever ids its retries had, is two orders at the exchange."""
        with self.ledger() as ledger:
            self.rows |= {name: tag or name for name, tag in ledger.execute("SELECT client_order_id, tag FROM orders")}
        found: dict[str, list[str]] = {}
        for order in self.account().orders:
            name = order.ticket.client_order_id
            found.setdefault(self.rows.get(name, name), []).append(name)
        return [f"I3: {row} is {len(names)} orders: {names}" for row, names in found.items() if len(names) > 1]

    # -- knowing ----------------------------------------------------------------------------------------------------

    def has_ledger(self) -> bool:
        """Whether there is one; the making of one that was cut off leaves none."""
        if self.world is None or not self.world.ledger_path.exists():
            return False
        return bool(self.of_ledger("SELECT name FROM sqlite_master WHERE name = 'orders'"))

    def known(self) -> list[str]:
        return self.of_ledger("SELECT client_order_id FROM orders ORDER BY key") if self.has_ledger() else []

    def of_ledger(self, query: str) -> list[Any]:
        with self.ledger() as ledger:
            return [value for (value,) in ledger.execute(query)]

    @contextmanager
    def ledger(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"{self.world.ledger_path.as_uri()}?mode=ro", uri=True)) as connection:
            yield connection

    def account(self) -> Any:
        state = self.world.exchange.state
        return state.accounts[state.user_id]

    def resting(self) -> list[Any]:
        if self.world is None:
            return []
        return [order for order in self.account().orders if order.now.status == "resting"]


PARKED = "SELECT client_order_id FROM orders o JOIN commands c ON c.order_key = o.key WHERE c.state = 'parked'"
PARKED_ACTIONS = "SELECT key FROM actions WHERE state = 'parked'"
GROUPS = "SELECT order_group_id FROM order_groups WHERE state <> 'deleted' ORDER BY order_group_id"


CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def run(examples: int, **more: Any) -> None:
    """So many stories, each of up to a dozen rules and an end."""
    chosen = settings(
        max_examples=examples, stateful_step_count=12, deadline=None, suppress_health_check=CHECKS, **more
    )
    run_state_machine_as_test(Lives, settings=chosen)


def told(before: Counter[str]) -> str:
    """What the stories since then were made of."""
    since = Counter(SEEN)
    since.subtract(before)
    return ", ".join(f"{since[what]} {what}" for what in ("stories", "lives", "crashes", "faults", "set back"))


@pytest.mark.timeout(120)
def test_whatever_happens_nothing_is_doubled_or_lost(record_property: Callable[[str, object], None]) -> None:
    before = Counter(SEEN)
    run(12)
    record_property("counted", f"stateful properties, a sample: {told(before)}")


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_whatever_happens_in_many_stories_nothing_is_doubled_or_lost(
    record_property: Callable[[str, object], None],
) -> None:
    before = Counter(SEEN)
    run(sample.amount(150, 600))
    record_property("counted", f"stateful properties: {told(before)}")


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_transport_that_takes_a_lost_answer_for_a_request_that_never_left_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = network._answered

    def hopeful(ending: network.Ending) -> Any:
        return real(NotSent("no answer") if isinstance(ending, OutcomeUnknown) else ending)

    monkeypatch.setattr(network, "_answered", hopeful)
    with pytest.raises(AssertionError, match=r"I\d+"):
        run(600, phases=[Phase.generate], derandomize=True, database=None, report_multiple_bugs=False)
