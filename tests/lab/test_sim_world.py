"""The simulated world: a life ends at any of its steps, and the next ones make whole what it left."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from oms.errors import EpochLost, LedgerBusy
from oms.lab.crash import Steps
from oms.lab.judge import judge
from oms.lab.network import WELL, Fate
from oms.lab.weather import NOT_FOUND, SWAPPED
from oms.lab.world import Breach, Life, World
from oms.ledger import actions
from oms.ledger.actions import ActionEntry
from oms.ledger.ledger import Ledger
from oms.lifecycle.actions import apply_action
from oms.lifecycle.events import Claimed
from oms.sandbox.knobs import Knobs
from oms.venue.transport import Request

ROWS = [
    {"ticker": "SBXRAIN-A-T10", "side": "bid", "count": 2, "price": "0.01"},
    {"ticker": "SBXGAME-A-T10", "action": "buy", "side": "no", "count": 1, "price": "0.30"},
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder where syncs cost nothing, if there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def test_a_life_without_harm_places_every_order(folder: Path) -> None:
    with World(folder) as world:
        life = world.live("submit", ROWS, batch="b")
        assert (life.exit_code, life.report.counts, life.crashed) == (0, {"resting": 2}, "")
        assert world.live("reconcile").exit_code == 0
        assert judge(world.ledger_path, world.exchange_path, is_settled=True) == []


def test_a_kill_at_many_steps_of_a_submission_is_made_whole_by_the_next_one(folder: Path) -> None:
    """At every step of many scenarios: tests marked lab."""
    for step in itertools.count(1, 9):
        with World(folder / str(step)) as world:
            life = world.live("submit", ROWS, batch="b", crash_at=step)
            assert world.live("submit", ROWS, batch="b").exit_code == 0, life
            assert world.live("reconcile").exit_code == 0, life
            assert judge(world.ledger_path, world.exchange_path, is_settled=True) == [], life
        if not life.crashed:
            break
    assert step > 50


def test_a_process_that_fails_does_not_outlive_its_requests(folder: Path) -> None:
    """Seed 1014393 of the long run: the ledger was lost, and then a request left that the process before had begun."""
    with World(folder) as world:
        world.network.naps = lambda: 50_000
        handed_over: list[str] = []

        def fail(steps: Steps, name: str) -> None:
            if name.startswith("hand over"):
                handed_over.append(name)
            elif handed_over and name.startswith("sql"):
                raise EpochLost("somebody else sends")

        life = world.live("submit", ROWS, batch="b", on_step=fail)
        assert isinstance(life.error, EpochLost)
        assert any("send POST" in line for line in world.trace)
        seen = len(world.trace)
        world.wait(5)
        assert not any("send POST" in line for line in world.trace[seen:])


def test_a_second_process_beside_a_sleeping_one_learns_that_the_ledger_is_in_use(folder: Path) -> None:
    seen: list[Life] = []
    with World(folder) as world:

        def beside(steps: Steps, name: str) -> None:
            if name.startswith("send POST") and not seen:
                seen.append(world.live("reconcile", wait_s=0))
                seen.append(world.live("submit", ROWS[:1], batch="c", wait=False))

        assert world.live("submit", ROWS, batch="b", on_step=beside).exit_code == 0
        assert isinstance(seen[0].error, LedgerBusy)
        assert seen[1].report.queued == 1 or seen[1].report.counts == {"resting": 1}
        assert world.live("drain").exit_code == 0
        assert world.live("reconcile").exit_code == 0
        assert judge(world.ledger_path, world.exchange_path, is_settled=True) == []


def test_a_life_that_is_asked_to_stop_leaves_the_rest_queued(folder: Path) -> None:
    rows = [{**ROWS[0], "tag": str(number)} for number in range(40)]

    def stop(steps: Steps, name: str) -> None:
        if name.startswith("answer POST"):
            steps.interrupt(15)

    with World(folder, settings={"OMS_SUBMIT__BATCH_SIZE": "1"}) as world:
        life = world.live("submit", rows, batch="b", on_step=stop)
        assert (life.exit_code, life.report.in_doubt, life.crashed) == (143, 0, "")
        assert life.report.queued > 0
        assert judge(world.ledger_path, world.exchange_path, is_settled=False) == []


def test_an_answer_to_another_request_settles_nothing(folder: Path) -> None:
    """The first order's answer comes back for the second one as well, and the first cancel's for the second."""
    met: list[str] = []

    def fate(request: Request) -> Fate:
        met.append(request.method)
        return SWAPPED if request.method != "GET" and met.count(request.method) == 2 else WELL

    singly = {"OMS_SUBMIT__BATCH_SIZE": "1", "OMS_SUBMIT__CONCURRENCY": "1"}
    with World(folder, settings=singly, fates=fate) as world:
        rows = [{**ROWS[0], "client_order_id": name} for name in ("a", "b")]
        world.live("submit", rows)
        world.live("reconcile")
        world.live("cancel", ["a", "b"])
        for _ in range(2):
            world.live("drain")
            world.live("reconcile")
        assert world.network.met["answer of another"] == 2
        assert judge(world.ledger_path, world.exchange_path, is_settled=True, told=world.told) == []
        assert {(told.client_order_id, told.status) for told in world.told} >= {("a", "resting"), ("b", "canceled")}


def test_a_cancel_that_meets_404_while_its_order_rests_is_made_again(folder: Path) -> None:
    met: list[str] = []

    def fate(request: Request) -> Fate:
        met.append(request.method)
        return NOT_FOUND if request.method == "DELETE" and met.count("DELETE") == 1 else WELL

    with World(folder, fates=fate) as world:
        world.live("submit", [{**ROWS[0], "client_order_id": "a"}])
        world.live("cancel", ["a"])
        for _ in range(2):
            world.live("drain")
            world.live("reconcile")
        assert met.count("DELETE") == 2
        assert judge(world.ledger_path, world.exchange_path, is_settled=True, told=world.told) == []
        assert [order.now.status for order in world.exchange.state.accounts[world.exchange.state.user_id].orders] == [
            "canceled"
        ]


def test_changes_that_wait_in_a_halt_come_to_what_was_asked_last(folder: Path) -> None:
    with World(folder) as world:
        world.live("submit", [{**ROWS[0], "client_order_id": "a"}])
        world.live("halt", "to see")
        for verb, change in (
            ("amend", {"count": "9", "price": "0.02"}),
            ("decrease", {"to": "5"}),
            ("amend", {"count": "3"}),
        ):
            assert world.live(verb, "a", **change).exit_code == 6, verb
        assert not any(" send POST /portfolio/events/orders/" in line for line in world.trace)
        world.live("unhalt")
        world.live("drain")
        assert world.live("reconcile").exit_code == 0
        (order,) = world.exchange.state.accounts[world.exchange.state.user_id].orders
        assert (order.now.remaining_e2, order.now.price_e4) == (300, 200)
        assert judge(world.ledger_path, world.exchange_path, is_settled=True, told=world.told) == []


def test_an_action_that_is_not_on_the_disk_when_it_leaves_is_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim(ledger: Ledger, entry: ActionEntry, signed_ms: int, now_us: int, **more: object) -> ActionEntry:
        claimed = Claimed(attempt=1, epoch=ledger.epoch or 0, signed_ms=signed_ms, at_us=now_us)
        return msgspec.structs.replace(entry, action=apply_action(entry.action, claimed))

    monkeypatch.setattr(actions, "claim", claim)
    with World(folder) as world, pytest.raises(Breach, match="I1: POST of create"):
        world.live("create_group", "5")


def test_what_has_left_arrives_after_its_sender_has_died(folder: Path) -> None:
    slow = Fate("slow", out_us=400_000)
    one_each = {"OMS_SUBMIT__BATCH_SIZE": "1"}
    with World(folder, settings=one_each, fates=lambda x: slow if x.method == "POST" else WELL) as world:

        def placed() -> int:
            return len(world.exchange.state.accounts[world.exchange.state.user_id].orders)

        def die(steps: Steps, name: str) -> None:
            if name.startswith("send POST") and world.network.met.get("slow"):
                steps.end(name)  # the first has left, the second has not

        assert world.live("submit", ROWS, batch="b", on_step=die).crashed
        assert placed() == 0
        world.wait(1)
        assert placed() == 1
        assert world.live("submit", ROWS, batch="b").exit_code == 0
        assert world.live("reconcile").exit_code == 0
        assert placed() == 2
        assert judge(world.ledger_path, world.exchange_path, is_settled=True) == []


def test_an_order_that_was_shown_canceled_is_told_to_be(folder: Path) -> None:
    """Seed 60: the time of a reading was asked before a fact, the reading itself came after its cancel."""
    met: list[str] = []

    def fate(request: Request) -> Fate:
        met.append(request.method)
        if request.method == "DELETE":
            return Fate("answer lost", returns=False)
        return Fate("slow", out_us=1_200_000) if "DELETE" in met and "/orders/" in request.path else WELL

    knobs = Knobs(tier="unlimited", skew_ms=2_500, read_lag_ms=900)
    with World(folder, knobs=knobs, fates=fate) as world:
        world.live("submit", [{**ROWS[0], "client_order_id": "a"}])
        assert world.live("cancel", ["a"]).report.counts == {"canceled": 1}
        assert judge(world.ledger_path, world.exchange_path, is_settled=False, told=world.told) == []
