"""The control endpoint: settings, pauses, markets, money and strangers, changed while the exchange runs.

It is outside /trade-api and no part of Kalshi's interface. All of a change is checked before any of it is made.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec

from oms.sandbox import amounts, happenings
from oms.sandbox.account import LONGEST_LAG_US
from oms.sandbox.exchange import Exchange
from oms.sandbox.faults import read_rules
from oms.sandbox.happenings import Happenings
from oms.sandbox.knobs import Dedupe, Pause, Tier
from oms.sandbox.limits import Meter
from oms.sandbox.state import Moment
from oms.sandbox.tickets import LATEST_EXPIRY_S


class SeedFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults drawn by seed for a share of the requests."""

    rate: Annotated[float, msgspec.Meta(ge=0, le=1)]
    seed: str = "0"


_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_LAG_US // 1000)]
_Offset = Annotated[int, msgspec.Meta(ge=-(10**12), le=10**12)]  # thirty years either way
_Second = Annotated[int, msgspec.Meta(ge=0, le=LATEST_EXPIRY_S)]


class Change(Happenings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /sandbox/control; what is not given stays as it is."""

    latency_ms: _Milliseconds | None = None
    tier: Tier | None = None
    read_lag_ms: _Milliseconds | None = None
    dedupe: Dedupe | None = None
    burn_refused_ids: bool | None = None
    skew_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] | None = None
    v1_compat: bool | None = None
    pause: Pause | None = None
    clock_offset_ms: _Offset | None = None
    cancel_all_tail_ms: _Milliseconds | None = None
    cancel_all_tail_delay_ms: _Milliseconds | None = None
    historical_cutoff: _Second | None = None
    faults: list[Any] | None = None
    seed_faults: SeedFaults | None = None


_KNOBS = (
    "latency_ms",
    "tier",
    "read_lag_ms",
    "dedupe",
    "burn_refused_ids",
    "v1_compat",
    "clock_offset_ms",
    "cancel_all_tail_ms",
    "cancel_all_tail_delay_ms",
    "historical_cutoff",
)


def apply(exchange: Exchange, body: bytes, now_us: int) -> dict[str, Any]:
    """Make the changes a control request asks for and answer the state after them.

    Raises ValueError saying what is wrong with it, and then nothing was changed.
    """
    try:
        change = msgspec.json.decode(body, type=Change)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ValueError(str(exc)) from exc
    when = Moment(now_us, now_us)
    steps: list[Callable[[], object]] = _checked(exchange, change, when)
    exchange.advance(now_us)
    done = [step() for step in steps]
    exchange.state.journal.commit()
    answer = state_document(exchange, now_us)
    answer.update(fact for fact in done if isinstance(fact, tuple))
    return answer


def _checked(exchange: Exchange, change: Change, when: Moment) -> list[Callable[[], object]]:
    """Everything to be done, checked, nothing done yet."""
    knobs = exchange.state.knobs
    steps: list[Callable[[], object]] = []
    for name in _KNOBS:
        value = getattr(change, name)
        if value is not None:
            steps.append(partial(setattr, knobs, name, value))
    if change.skew_s is not None:
        skew_ms = change.skew_s * 1000
        steps.append(lambda: setattr(knobs, "skew_ms", skew_ms))
    if change.tier is not None:
        meter = Meter(change.tier)
        steps.append(lambda: setattr(exchange, "meter", meter))
    if change.pause is not None:
        pause = change.pause
        steps.append(lambda: _pause(exchange, pause, when))
    if change.faults is not None:
        rules = read_rules(change.faults)
        steps.append(lambda: exchange.faults.set_rules(rules))
    if change.seed_faults is not None:
        drawn = change.seed_faults
        steps.append(lambda: exchange.faults.set_rate(drawn.rate, drawn.seed))
    return steps + happenings.steps(exchange, change, when)


def _pause(exchange: Exchange, pause: Pause, when: Moment) -> None:
    exchange.state.knobs.pause = pause
    if pause != "none":
        exchange.desk.start_pause(when)


def state_document(exchange: Exchange, now_us: int) -> dict[str, Any]:
    """What GET /sandbox/control answers: the settings, the faults, and a few counts."""
    state, faults = exchange.state, exchange.faults
    account = state.accounts[state.user_id]
    return {
        **msgspec.structs.asdict(state.knobs),
        "now": amounts.time_text(now_us),
        "user_id": state.user_id,
        "faults": [msgspec.to_builtins(rule) for rule in faults.rules],
        "seed_faults": {"rate": faults.rate, "seed": faults.seed},
        "orders": len(account.orders),
        "resting": len(account.resting),
        "fills": len(account.fills),
    }
