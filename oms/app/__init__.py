"""The public Python API, and the only place where clock, ids, configuration, ledger and venue meet.

from oms import Oms

with Oms.open(environment="demo") as oms:
    report = oms.submit([{"ticker": "KX...", "action": "buy", "side": "yes", "count": 1, "price": "0.01"}])
    for order in oms.run_orders(report):
        print(order.client_order_id, order.status)
"""

from oms.app.api import Oms
from oms.app.questions import Preview, ResumePrompt

__all__ = ["Oms", "Preview", "ResumePrompt"]
