"""Stories over real sockets, for bugs in the way out, which the simulation replaces by its own."""

from collections.abc import Callable
from pathlib import Path

from oms.app.api import Oms
from oms.config import load
from oms.interrupt import Interrupt
from oms.lab.judge import judge
from tests.sandbox.running import start_sandbox

_DROPPED = {"fault": {"kind": "drop", "commit": True}, "match": {"operation": "CreateOrderV2"}}
_ROW = {
    "ticker": "SBXRAIN-A-T10",
    "side": "bid",
    "price": "0.01",
    "count": "1",
    "time_in_force": "immediate_or_cancel",
}


def answer_lost(folder: Path) -> tuple[list[str], int, int]:
    """The exchange takes an order and the connection ends without an answer; it forgets ids of orders that are over."""
    ledger = folder / "oms.sqlite3"
    with start_sandbox(folder / "sandbox", dedupe="open_only", skew_s=1) as sandbox:
        sandbox.control(faults=[_DROPPED])
        environment = {
            "HOME": str(folder),
            "OMS_VENUE__SANDBOX__BASE_URL": sandbox.base_url,
            "OMS_VENUE__SANDBOX__KEY_ID": sandbox.key_id,
            "OMS_VENUE__SANDBOX__PRIVATE_KEY_PATH": str(sandbox.private_key_path),
            "OMS_LEDGER__URL": f"sqlite:///{ledger}",
            "OMS_SUBMIT__IN_FLIGHT_HORIZON_S": "1.5",
        }
        with Oms(load({}, environment), Interrupt()) as oms:
            oms.submit([_ROW], batch="b")
            oms.reconcile()
    found = judge(ledger, folder / "sandbox" / "exchange.sqlite3", is_settled=True)
    return [str(finding) for finding in found], 2, 1


STORIES: dict[str, Callable[[Path], tuple[list[str], int, int]]] = {"answer_lost": answer_lost}
