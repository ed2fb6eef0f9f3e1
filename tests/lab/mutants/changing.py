"""Stories of orders that are changed while they rest, and of a halt that only its file tells of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from oms.lab.network import WELL, Fate
from oms.lab.world import World
from oms.ledger.halt import HaltFile
from oms.sandbox import wire
from oms.sandbox.knobs import Knobs
from oms.venue.transport import Request
from tests.lab.mutants.stories import SINGLY, Story, at, ended, killed, row, settled, there

Outcome = tuple[list[str], int, int]
# Longer under way than its sender waits for an answer, but not than the horizon.
TARDY = Fate("late", out_us=2_900_000, returns=False)
PATIENT = Knobs(tier="unlimited", skew_ms=10_000)


def _first_change(fate: Fate) -> Callable[[Request], Fate]:
    left = [fate]

    def fates(request: Request) -> Fate:
        return left.pop() if left and request.path.endswith("/amend") else WELL

    return fates


def _rests_at(world: World) -> tuple[str, str]:
    """Price and what remains of the only order."""
    (order,) = there(world)
    return f"{order.now.price_e4 / 10_000:.2f}", f"{order.now.remaining_e2 / 100:g}"


def amend_arrives_late(folder: Path) -> Outcome:
    """An amend arrives after its sender has given it up; the next one is not sent before that is known."""
    return _amended_twice(folder)


def amend_killed_in_flight(folder: Path) -> Outcome:
    """A run is killed while its amend is slow on the way; somebody amends the order again at once."""
    return _amended_twice(folder, on_step=killed(after="send POST"))


def _amended_twice(folder: Path, **how: Any) -> Outcome:
    with World(folder, fates=_first_change(TARDY), knobs=PATIENT, settings=SINGLY) as world:
        world.live("submit", [row(5, client_order_id="mine")])
        world.live("amend", "mine", price="0.06", **how)
        life = world.live("amend", "mine", price="0.07")
        world.wait(5)
        price, _ = _rests_at(world)
        said = []
        if life.exit_code == 0 and price != "0.07":
            said.append(f"last change: the amend to 0.07 was told as done, and the order rests at {price}")
        return ended(world, [*said, *settled(world)])


def decrease_repeated(folder: Path) -> Outcome:
    """Something on the way repeats a decrease: what was asked to remain remains."""
    with World(folder, settings=SINGLY) as world:
        handle = world.exchange.handle

        def twice(request: wire.Request, now_us: int) -> wire.Response:
            if request.path.endswith("/decrease"):
                handle(request, now_us)
            return handle(request, now_us)

        world.live("submit", [row(9, client_order_id="mine")])
        world.exchange.handle = twice  # type: ignore[method-assign]
        world.live("decrease", "mine", by="2")
        _, left = _rests_at(world)
        said = [f"what remains: {left} of 9 after a decrease by 2"] if left != "7" else []
        # The copy on the way is no request of oms.
        return ended(world, [*said, *(each for each in settled(world) if not each.startswith("I1:"))])


def halted_by_file(folder: Path) -> Outcome:
    """A run sends while a halt is set whose row cannot be written: only its file is there."""
    with World(folder, settings=SINGLY) as world:
        world.live("submit", [row(1)])
        halt = HaltFile(world.ledger_path)
        life = world.live(
            "submit",
            [row(n) for n in range(2, 12)],
            batch="b",
            on_step=at(2, "send POST", lambda: halt.set("by hand", world.clock.now_us)),
        )
        placed = len(there(world))
        said = [] if placed <= 5 else [f"I16: {placed} of 11 orders were placed, the halt came at the second; {life}"]
        return ended(world, said)


_ALL: tuple[Story, ...] = (amend_arrives_late, amend_killed_in_flight, decrease_repeated, halted_by_file)
STORIES = {story.__name__: story for story in _ALL}
