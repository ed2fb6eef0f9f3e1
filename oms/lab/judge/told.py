"""What a caller was told of an order, to be held against the ledger later (I13)."""

from typing import NamedTuple


class Told(NamedTuple):
    """One order as an answer of oms showed it."""

    client_order_id: str
    status: str
    order_id: str | None = None
    fill_count_e2: int = 0
