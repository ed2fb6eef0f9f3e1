"""Every setting there is: its name, default, how its value is read, and what it means. Data, no decisions.

The variable of a key follows from its name: `venue.demo.base_url` is OMS_VENUE__DEMO__BASE_URL. The table in
docs/configuration.md and config.example.toml are held to this one by tests.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oms.config import hooks, values
from oms.config.hosts import base_url_reader
from oms.config.values import Reader
from oms.lifecycle.states import Resend

MAX_CONCURRENCY = 64  # more senders only share the same interpreter; measured, there is no gain above it
MAX_BATCH_SIZE = 10_000  # above the write bucket of every tier (10 tokens an order)


class Environment(StrEnum):
    """Which exchange. Each has its own hosts, keys and ledger file."""

    SANDBOX = "sandbox"
    DEMO = "demo"
    PROD = "prod"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting."""

    name: str  # dotted, as in TOML
    default: Any
    read: Reader
    meaning: str
    flag: str = ""  # the command line option that sets it, if there is one
    default_shown: str = ""  # where the default is not one value
    is_secret: bool = False  # not to be repeated where it is wrong

    @property
    def variable(self) -> str:
        return "OMS_" + self.name.upper().replace(".", "__")


def _venue_keys(environment: Environment) -> list[Key]:
    section = f"venue.{environment}"
    where = {
        Environment.SANDBOX: 'Where the sandbox answers, if you start it yourself (loopback only). "" starts one.',
        Environment.DEMO: 'Another of the demo hosts, or a test exchange on loopback. "" is the demo exchange.',
        Environment.PROD: 'Another of the production hosts; never loopback. "" is the exchange.',
    }[environment]
    return [
        Key(f"{section}.base_url", "", base_url_reader(environment), where),
        Key(f"{section}.key_id", "", values.text, "API key id. Else KALSHI_API_KEY_ID."),
        Key(
            f"{section}.private_key_path",
            "",
            values.text,
            "PEM file of that key, readable by you alone; relative to the configuration file. "
            "Else KALSHI_PRIVATE_KEY_PATH.",
        ),
    ]


def _limit(name: str, read: Reader, meaning: str) -> Key:
    return Key(f"limits.{name}", None, values.off_or(read), meaning, default_shown="off")


_LIMITS = (
    _limit("max_order_count", values.contracts_e2, "Contracts of one order, at most."),
    _limit(
        "max_order_cost_dollars",
        values.dollars_e6,
        "What one order can cost without fees, at most: count x price for a bid, count x (1 - price) for an ask.",
    ),
    _limit(
        "price_collar_dollars",
        values.dollars_e6,
        "How far a bid may be above the best ask, an ask below the best bid (or beyond its own side's best where the "
        "other is empty). Reads the market before recording.",
    ),
    Key(
        "limits.refuse_crossing",
        False,
        values.switch,
        "Refuse a price that meets the best opposite one. Reads the market before recording.",
        default_shown="false",
    ),
    Key(
        "limits.check_market",
        False,
        values.switch,
        "Refuse an order in a market that is not active or past its close, or at a price off its grid. Reads the "
        "market before recording.",
        default_shown="false",
    ),
    Key(
        "limits.market_max_age_s",
        60.0,
        values.seconds(above_zero=True),
        "For how long what was read of a market counts for the three above.",
    ),
    _limit("max_open_orders", values.integer(0, 10**9), "Orders that may rest, be in doubt or be queued at once."),
    _limit(
        "max_market_exposure_dollars",
        values.dollars_e6,
        "The most that positions and live orders of one market can lose.",
    ),
    _limit("max_event_exposure_dollars", values.dollars_e6, "The same, of all markets of an event together."),
    _limit("max_total_exposure_dollars", values.dollars_e6, "The same, of the whole account."),
    _limit(
        "max_orders_per_s",
        values.integer(1, 10**6),
        "Orders sent in any one second, at most; what is above it waits its turn.",
    ),
    _limit(
        "duplicate_window_s",
        values.seconds(above_zero=True),
        "An order equal to one asked for less than so long ago (ticker, side, price, count, subaccount) is refused, in "
        "the same file too.",
    ),
    Key(
        "limits.allow_tickers",
        (),
        values.patterns,
        "The only tickers that may be traded; * stands for any text. Empty is all. A variable holds `A-*,B` or "
        '`["A-*", "B"]`.',
    ),
    Key("limits.deny_tickers", (), values.patterns, "Tickers that may not be traded, whatever is allowed."),
    _limit(
        "max_daily_loss_dollars",
        values.dollars_e6,
        "After a realized loss of more than this since midnight UTC, fees counted, only orders that can do nothing but"
        " close what is held are sent: `reduce_only`, or no more contracts than other live orders leave to be closed.",
    ),
)


_HOOKS = (
    Key(
        "hooks.on_event",
        (),
        hooks.command,
        'A program and its arguments, such as ["notify.sh"], told of events as JSON on its standard input; no shell.',
        default_shown="[]",
    ),
    Key(
        "hooks.webhook",
        "",
        hooks.webhook,
        "An address that is sent the same by POST: https, or http to loopback. Shown masked.",
        is_secret=True,
    ),
    Key(
        "hooks.events",
        hooks.EVENTS,
        hooks.events,
        "Of what: in_doubt, parked, break, halt, refused, filled.",
        default_shown="all six",
    ),
)

KEYS: tuple[Key, ...] = (
    Key("environment", Environment.SANDBOX, values.word(Environment), "Which exchange.", flag="--env"),
    Key("venue.timeout_s", 10.0, values.seconds(above_zero=True), "Total deadline of one request."),
    *(key for environment in Environment for key in _venue_keys(environment)),
    Key(
        "ledger.url",
        "",
        values.ledger_url,
        "The ledger: an absolute path or sqlite:////absolute/path (postgresql://... is not supported yet).",
        default_shown="one SQLite file per environment under $XDG_STATE_HOME/oms",
    ),
    Key("submit.concurrency", 8, values.integer(1, MAX_CONCURRENCY), "Requests in flight at once, 1 to 64."),
    Key(
        "submit.batch_size",
        None,
        values.auto_or_integer(1, MAX_BATCH_SIZE),
        "Orders per request: 1 uses the single-order endpoint, auto follows the account's write bucket.",
        default_shown="auto",
    ),
    Key(
        "submit.in_flight_horizon_s",
        60.0,
        values.seconds(above_zero=True),
        "How long after its signed timestamp a request may still take effect: the fence of every proof of absence. "
        "Below 30 warns outside the sandbox.",
        default_shown="60 (sandbox: 3)",
    ),
    Key(
        "submit.resend",
        Resend.WHEN_ABSENT,
        values.word(Resend),
        "What to do with an order in doubt: when_absent (only after absence is proven), at_once, never.",
    ),
    Key(
        "submit.ttl_s",
        0.0,
        values.seconds(above_zero=False),
        "An order not sent after so long is withdrawn; 0 is never.",
        flag="--ttl",
    ),
    Key("submit.wait_s", 60.0, values.seconds(above_zero=True), "How long to wait for an exchange out of reach."),
    *_LIMITS,
    *_HOOKS,
)

BY_NAME = {key.name: key for key in KEYS}
BY_VARIABLE = {key.variable: key for key in KEYS}
SECTIONS = frozenset(
    key.name[:at] for key in KEYS for at, character in enumerate(key.name) if character == "."
)  # fmt: skip
