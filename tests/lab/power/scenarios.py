"""Eight commands in eight situations, fixed."""

from collections.abc import Callable
from typing import Any

from oms.lab.network import WELL, Fate
from oms.venue.transport import Request
from tests.lab.power.bench import Scenario
from tests.lab.power.worlds import PowerWorld

LOST = Fate("answer lost", returns=False)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A row with an id of its own; it rests."""
    return {
        "ticker": "SBXRAIN-A-T10",
        "action": "buy",
        "side": "yes",
        "count": number,
        "price": "0.05",
        "client_order_id": f"row-{number}",
        **changes,
    }


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [row(number) for number in numbers]


def losing(method: str, *lost: int) -> Callable[[], Callable[[Request], Fate]]:
    """The answers to these writes are lost, counted from one over all lives."""

    def fresh() -> Callable[[Request], Fate]:
        met: list[Request] = []

        def fate(request: Request) -> Fate:
            if request.method == method:
                met.append(request)
                return LOST if len(met) in lost else WELL
            return WELL

        return fate

    return fresh


def having(*numbers: int) -> Callable[[PowerWorld], object]:
    """These rows were submitted before."""
    return lambda world: world.live("submit", rows(*numbers))


def halted(world: PowerWorld) -> None:
    """Two orders rest, and sending is halted."""
    world.live("submit", rows(1, 2))
    world.live("halt")


SINGLY = {"OMS_SUBMIT__BATCH_SIZE": "1", "OMS_SUBMIT__CONCURRENCY": "1"}
PAIRS = {"OMS_SUBMIT__BATCH_SIZE": "2", "OMS_SUBMIT__CONCURRENCY": "1"}
NO_SUCH_MARKET = row(2, ticker="SBXNONE-A-T10")
SCENARIOS = {
    "first of all": Scenario("submit", (rows(1),), 1, SINGLY),
    "one by one": Scenario("submit", (rows(2, 3),), 3, SINGLY, before=having(1)),
    "batched": Scenario("submit", (rows(2, 3, 4, 5),), 5, PAIRS, before=having(1)),
    "answer lost": Scenario("submit", (rows(2, 3),), 3, SINGLY, losing("POST", 1), having(1)),
    "cancel": Scenario("cancel", (["row-1", "row-2"],), 2, SINGLY, losing("DELETE", 1), having(1, 2)),
    "amend": Scenario("amend", ("row-1",), 2, SINGLY, losing("POST", 3), having(1, 2), {"price": "0.04", "count": "3"}),
    "clear": Scenario("clear", (), 2, SINGLY, losing("DELETE", 3), halted),
    "retry": Scenario(
        "retry", ("b",), 1, SINGLY, before=lambda world: world.live("submit", [row(1), NO_SUCH_MARKET], batch="b")
    ),
}
