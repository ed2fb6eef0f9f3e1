"""What a run of the sandbox can be told, at its start and while it runs."""

from typing import Literal, get_args

import msgspec

Dedupe = Literal["forever", "open_only"]
Pause = Literal["none", "trading", "exchange"]
Tier = Literal["basic", "advanced", "premier", "paragon", "prime", "unlimited"]
TIERS: tuple[str, ...] = get_args(Tier)


class Knobs(msgspec.Struct):
    """The settings of the exchange itself. Changing one takes effect with the next request."""

    tier: Tier = "advanced"
    dedupe: Dedupe = "forever"
    burn_refused_ids: bool = False  # does a refused create use up its client_order_id?
    skew_ms: int = 10_000  # how far a signed timestamp may be from the exchange's clock, either way
    read_lag_ms: int = 0  # reads of orders, fills, positions and balance show the state of so long ago
    v1_compat: bool = False  # the retired V1 write endpoints work
    pause: Pause = "none"
    cancel_all_tail_ms: int = 0  # a cancel-all also catches orders placed so soon after it
    cancel_all_tail_delay_ms: int = 0  # ... and takes them so long after they were answered as resting
    historical_cutoff: int | None = None  # Unix seconds; None: 90 days ago
    latency_ms: int = 0  # every answer is delayed; other requests go on meanwhile
    clock_offset_ms: int = 0  # the exchange's clock minus this machine's
