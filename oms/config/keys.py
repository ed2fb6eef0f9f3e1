"""Every setting there is: its name, default, how its value is read, and what it means. Data, no decisions.

The variable of a key follows from its name: `venue.demo.base_url` is OMS_VENUE__DEMO__BASE_URL. The table in
docs/configuration.md and config.example.toml are held to this one by tests.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oms.config import values
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
)

BY_NAME = {key.name: key for key in KEYS}
BY_VARIABLE = {key.variable: key for key in KEYS}
SECTIONS = frozenset(
    key.name[:at] for key in KEYS for at, character in enumerate(key.name) if character == "."
)  # fmt: skip
